"""Writing a lexicon (``.lex``): the same entries give the same bytes. Every builder and every command on lexicons ends here.

The layout is described where it is read: ``mmcs.codeswitch.lexicon_file``.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from mmcs.codeswitch.lexicon import Candidate, normalise
from mmcs.codeswitch.lexicon_file import (
    FORMAT,
    MAGIC,
    MAX_CANDIDATES,
    MAX_LABEL_BYTES,
    MAX_LABELS,
    MAX_LANGUAGES,
    PREAMBLE,
    SECTIONS,
    VERSION,
)
from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file

MAX_SECTION = 2**32 - 1
_CHUNK = 1 << 20

Entries = Mapping[str, Mapping[str, Sequence[Candidate | tuple[str, float]]]]
Row = tuple[str, str, Sequence[Candidate | tuple[str, float]]]


def write_lexicon(
    path: str | os.PathLike[str], entries: Entries, *, source_language: str, sources: Sequence[Mapping[str, Any]]
) -> Path:
    """Writes ``entries`` to ``path``: per language (BCP 47) the normalised phrases and their candidates, best first.

    Raises:
        ValueError, UserError, DataError: see ``write_sorted``.
    """
    languages = sorted(language for language in entries if entries[language])
    phrases = sorted({phrase for language in languages for phrase in entries[language]}, key=str.encode)

    def rows() -> Iterator[Row]:
        for phrase in phrases:
            for language in languages:
                candidates = entries[language].get(phrase)
                if candidates is not None:
                    yield phrase, language, candidates

    return write_sorted(path, rows(), source_language=source_language, sources=sources)


def write_sorted(
    path: str | os.PathLike[str], rows: Iterable[Row], *, source_language: str, sources: Sequence[Mapping[str, Any]]
) -> Path:
    """Writes rows that are already in order to ``path``; memory grows by some 16 bytes per phrase and entry, no more.

    Args:
        path: the file, replaced when all is written.
        rows: ``(phrase, language, candidates)``, sorted by the phrase's UTF-8 bytes and then by language, each once:
            a normalised phrase, a BCP 47 tag, and the candidates, best first, with weights in (0, 1] (kept as float32).
        source_language: BCP 47 tag of the phrases.
        sources: where the entries come from; each has at least ``name``, ``provenance`` and ``licence``.

    Raises:
        ValueError: rows out of order, a phrase that is not normalised, or a candidate that cannot be stored.
        UserError: more than 256 languages. DataError: nothing to write, or more than 4 GiB of one kind.
    """
    for source in sources:
        if missing := {"name", "provenance", "licence"} - source.keys():
            raise ValueError(f"a source of a lexicon lacks {', '.join(sorted(missing))}: {dict(source)}")
    target = Path(path)
    with atomic_file(target) as partial, tempfile.TemporaryFile(dir=partial.parent) as texts:
        writer = _Writer(texts, source_language)
        for row in rows:
            writer.add(*row)
        if not writer.entries:
            raise DataError(f"nothing to write to {target}: no language has an entry.")
        header, sections = writer.finish()
        header |= {"sources": [dict(source) for source in sources]}
        _write(partial, header, sections)
    return target


class _Writer:
    """Takes rows in order; phrases and numbers stay in memory as plain arrays, records go to ``spool``."""

    def __init__(self, spool: IO[bytes], source_language: str) -> None:
        self.spool = spool
        self.source_language = source_language
        self.phrases = bytearray()
        self.phrase_bounds, self.entry_bounds, self.record_bounds = array("I", [0]), array("I", [0]), array("I", [0])
        self.hashes = array("I")
        self.longest = bytearray()
        self.entry_languages = bytearray()
        self.order: dict[str, int] = {}  # languages in order of appearance; sorted at the end
        self.labels: dict[str, int] = {"": 0}
        self.entries: Counter[str] = Counter()
        self.candidates: Counter[str] = Counter()
        self.number = self.max_tokens = 0
        self.last: tuple[bytes, str] = (b"", "")
        self.open: list[tuple[bytes, int]] = []  # the words of the last phrase, and the phrase that ends with each

    def add(self, phrase: str, language: str, candidates: Sequence[Candidate | tuple[str, float]]) -> None:
        """One row."""
        key = phrase.encode()
        if (key, language) <= self.last:
            raise ValueError(f"rows are out of order, or doubled: {phrase!r}, {language} after {self.last}")
        if key != self.last[0] or not key:
            self._begin(phrase, key)
        self.last = (key, language)
        if language not in self.order and len(self.order) == MAX_LANGUAGES:
            raise UserError(f"a lexicon holds at most {MAX_LANGUAGES} languages; write two files.")
        record = self._record(phrase, candidates)
        self.spool.write(record)
        self.record_bounds.append(_bounded(self.record_bounds[-1] + len(record)))
        self.entry_languages.append(self.order.setdefault(language, len(self.order)))
        self.entry_bounds[-1] += 1
        self.entries[language] += 1
        self.candidates[language] += len(candidates)

    def _begin(self, phrase: str, key: bytes) -> None:
        if not phrase or phrase != normalise(phrase, self.source_language) or min(key) < 32:
            raise ValueError(f"phrase {phrase!r} is not normalised, or holds a control character")
        self.number += 1
        if b" " not in key:  # most of them
            self.max_tokens = max(self.max_tokens, 1)
            self.open = [(key, len(self.hashes))]
            self._phrase(key)
            self.longest[-1] = 1
            return
        tokens = key.split(b" ")
        self.max_tokens = max(self.max_tokens, len(tokens))
        # Phrases that begin alike stand in a row, each beginning before what it begins: the open ones are a stack.
        shared = 0
        while shared < len(self.open) and shared < len(tokens) and self.open[shared][0] == tokens[shared]:
            shared += 1
        del self.open[shared:]
        for n in range(shared, len(tokens)):
            self.open.append((tokens[n], len(self.hashes)))
            self._phrase(b" ".join(tokens[: n + 1]))
        for _, index in self.open:
            self.longest[index] = min(255, max(self.longest[index], len(tokens)))

    def _phrase(self, key: bytes) -> None:
        self.phrases += key
        self.phrase_bounds.append(_bounded(len(self.phrases)))
        self.entry_bounds.append(self.entry_bounds[-1])
        self.hashes.append(zlib.crc32(key))
        self.longest.append(0)

    def _record(self, phrase: str, candidates: Sequence[Candidate | tuple[str, float]]) -> bytes:
        if not 0 < len(candidates) <= MAX_CANDIDATES:
            raise ValueError(f"phrase {phrase!r} has {len(candidates)} candidates; 1 to {MAX_CANDIDATES} can be stored")
        texts, weights, labels = [], array("f"), bytearray()
        for text, weight, *rest in candidates:
            weights.append(weight)
            # The least float32 may be 0 where the weight was not; NaN is no weight either.
            if not text or "\0" in text or not (0 < weight <= 1 and weights[-1] > 0):
                raise ValueError(f"candidate {text!r} (weight {weight}) of phrase {phrase!r} cannot be stored")
            texts.append(text)
            pos = rest[0] if rest else ""
            label = self.labels.get(pos)
            labels.append(self._label(pos, phrase) if label is None else label)
        return b"%c%b%b%b" % (len(texts), weights.tobytes(), bytes(labels), "\0".join(texts).encode())

    def _label(self, pos: str, phrase: str) -> int:
        if len(pos.encode()) > MAX_LABEL_BYTES or len(self.labels) > MAX_LABELS:
            raise ValueError(f"part of speech {pos!r} of phrase {phrase!r} is too long, or one too many")
        return self.labels.setdefault(pos, len(self.labels))

    def finish(self) -> tuple[dict[str, Any], dict[str, Iterable[bytes]]]:
        """The header without sources and checksum, and the sections."""
        languages = sorted(self.order)
        # Numbers were given in order of appearance; within a phrase languages came sorted, and sorted they stay.
        renumbered = bytes(languages.index(language) for language in self.order).ljust(256, b"\0")
        header = {
            "format": FORMAT,
            "version": VERSION,
            "source_language": self.source_language,
            "languages": languages,
            "max_tokens": self.max_tokens,
            "phrases": self.number,
            "entries": {language: self.entries[language] for language in languages},
            "candidates": {language: self.candidates[language] for language in languages},
            "pos": list(self.labels),
        }
        return header, {
            "phrase_bounds": [self.phrase_bounds.tobytes()],
            "entry_bounds": [self.entry_bounds.tobytes()],
            "record_bounds": [self.record_bounds.tobytes()],
            "table": [_table(self.hashes)],
            "longest": [bytes(self.longest)],
            "entry_languages": [bytes(self.entry_languages.translate(renumbered))],
            "phrases": [bytes(self.phrases)],
            "records": _chunks(self.spool),
        }


def _table(hashes: Sequence[int]) -> bytes:
    """The hash table that finds the phrases; at most half full, so that a probe ends soon."""
    size = 1 << max(2, (2 * len(hashes) - 1).bit_length())
    mask = size - 1
    table = array("I", bytes(4 * size))
    for i, value in enumerate(hashes, 1):
        slot = value & mask
        while table[slot]:
            slot = (slot + 1) & mask
        table[slot] = i
    return table.tobytes()


def _chunks(spool: IO[bytes]) -> Iterator[bytes]:
    spool.seek(0)
    while chunk := spool.read(_CHUNK):
        yield chunk


def _write(path: Path, header: dict[str, Any], sections: Mapping[str, Iterable[bytes]]) -> None:
    """Sections first, to a place left open for them: their checksum stands in the header before them."""
    digest, lengths = hashlib.sha256(), dict.fromkeys(SECTIONS, 0)
    with tempfile.TemporaryFile(dir=path.parent) as body:
        for name in SECTIONS:
            for chunk in sections[name]:
                digest.update(chunk)
                lengths[name] += len(chunk)
                body.write(chunk)
        header = header | {"sections": lengths, "checksum": digest.hexdigest()}
        raw = json.dumps(header, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        raw += b" " * (-(PREAMBLE.size + len(raw)) % 8)  # the numbers that follow stand on their own bounds
        with path.open("wb") as handle:
            handle.write(PREAMBLE.pack(MAGIC, VERSION, len(raw), hashlib.sha256(raw).digest()))
            handle.write(raw)
            for chunk in _chunks(body):
                handle.write(chunk)


def _bounded(end: int) -> int:
    if end > MAX_SECTION:
        raise DataError("more than 4 GiB of phrases or candidates do not fit one lexicon; write two files.")
    return end
