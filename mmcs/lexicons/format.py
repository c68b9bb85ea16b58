"""Writing a lexicon (``.lex``): the same entries give the same bytes. Every builder and ``shuffle`` ends here.

The layout is described where it is read: ``mmcs.codeswitch.lexicon``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import FORMAT, MAGIC, MAX_CANDIDATES, PREAMBLE, SECTIONS, VERSION, normalise
from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file

MAX_LANGUAGES = 256
MAX_SECTION = 2**32 - 1

Entries = Mapping[str, Mapping[str, Sequence[tuple[str, float]]]]


def write_lexicon(
    path: str | os.PathLike[str], entries: Entries, *, source_language: str, sources: Sequence[Mapping[str, Any]]
) -> Path:
    """Writes ``entries`` to ``path``.

    Args:
        path: the file, replaced when all is written.
        entries: per language (BCP 47) the normalised phrases and their candidates, best first, each with a weight in
            (0, 1]; weights are kept as float32.
        source_language: BCP 47 tag of the phrases.
        sources: where the entries come from; each has at least ``name``, ``provenance`` and ``licence``.

    Raises:
        ValueError: a phrase that is not normalised, or a candidate that cannot be stored.
        UserError: more than 256 languages. DataError: nothing to write, or more than 4 GiB of one kind.
    """
    for source in sources:
        if missing := {"name", "provenance", "licence"} - source.keys():
            raise ValueError(f"a source of a lexicon lacks {', '.join(sorted(missing))}: {dict(source)}")
    languages = sorted(language for language in entries if entries[language])
    if not languages:
        raise DataError(f"nothing to write to {path}: no language has an entry.")
    if len(languages) > MAX_LANGUAGES:
        raise UserError(f"a lexicon holds at most {MAX_LANGUAGES} languages, got {len(languages)}; write two files.")
    phrases = sorted({phrase for language in languages for phrase in entries[language]}, key=str.encode)
    for phrase in phrases:
        if not phrase or phrase != normalise(phrase):
            raise ValueError(f"phrase {phrase!r} is not normalised")
    sections = _index(phrases) | _records(phrases, languages, entries)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "source_language": source_language,
        "languages": languages,
        "max_tokens": max(len(phrase.split(" ")) for phrase in phrases),
        "phrases": len(phrases),
        "entries": {language: len(entries[language]) for language in languages},
        "candidates": {language: sum(map(len, entries[language].values())) for language in languages},
        "sources": [dict(source) for source in sources],
        "sections": {name: len(sections[name]) for name in SECTIONS},
        "checksum": _checksum(sections[name] for name in SECTIONS),
    }
    raw = json.dumps(header, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    raw += b" " * (-(PREAMBLE.size + len(raw)) % 8)  # the numbers that follow stand on their own bounds
    with atomic_file(path) as partial, partial.open("wb") as handle:
        handle.write(PREAMBLE.pack(MAGIC, VERSION, len(raw), hashlib.sha256(raw).digest()))
        handle.write(raw)
        for name in SECTIONS:
            handle.write(sections[name])
    return Path(path)


def _index(phrases: Sequence[str]) -> dict[str, bytes]:
    """The phrases and the hash table that finds them; at most half full, so that a probe ends soon."""
    keys = [phrase.encode() for phrase in phrases]
    size = 1 << max(2, (2 * len(keys) - 1).bit_length())
    table = array("I", bytes(4 * size))
    for i, key in enumerate(keys):
        slot = zlib.crc32(key) & (size - 1)
        while table[slot]:
            slot = (slot + 1) & (size - 1)
        table[slot] = i + 1
    return {"phrases": b"".join(keys), "phrase_ends": _ends(map(len, keys)), "table": table.tobytes()}


def _records(phrases: Sequence[str], languages: Sequence[str], entries: Entries) -> dict[str, bytes]:
    records: list[bytes] = []
    entry_languages, counts = bytearray(), []
    for phrase in phrases:
        before = len(records)
        for index, language in enumerate(languages):
            candidates = entries[language].get(phrase)
            if candidates is not None:
                records.append(_record(phrase, candidates))
                entry_languages.append(index)
        counts.append(len(records) - before)
    return {
        "records": b"".join(records),
        "record_ends": _ends(map(len, records)),
        "entry_languages": bytes(entry_languages),
        "entry_ends": _ends(counts),
    }


def _record(phrase: str, candidates: Sequence[tuple[str, float]]) -> bytes:
    if not 0 < len(candidates) <= MAX_CANDIDATES:
        raise ValueError(f"phrase {phrase!r} has {len(candidates)} candidates; 1 to {MAX_CANDIDATES} can be stored")
    for text, weight in candidates:
        if not text or "\0" in text or not (0 < weight <= 1 and math.isfinite(weight)):
            raise ValueError(f"candidate {text!r} (weight {weight}) of phrase {phrase!r} cannot be stored")
    weights = array("f", (weight for _, weight in candidates))
    if min(weights) <= 0:
        raise ValueError(f"a weight of phrase {phrase!r} is too small for a float32")
    return bytes([len(candidates)]) + weights.tobytes() + "\0".join(text for text, _ in candidates).encode()


def _ends(lengths: Iterable[int]) -> bytes:
    """Running sums of ``lengths`` as u32."""
    ends, at = array("I"), 0
    for length in lengths:
        at += length
        if at > MAX_SECTION:
            raise DataError("more than 4 GiB of phrases or candidates do not fit one lexicon; write two files.")
        ends.append(at)
    return ends.tobytes()


def _checksum(sections: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for section in sections:
        digest.update(section)
    return digest.hexdigest()
