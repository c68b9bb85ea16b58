"""Reading a lexicon (``.lex``): memory-mapped, so that all workers share one copy of it.

Strategies look candidates up here. Files are written by ``mmcs.lexicons.format``, which takes the layout from here.

Layout, little-endian: ``PREAMBLE`` (magic, format version, length and SHA-256 of the header), the header (JSON, UTF-8), then
the sections back to back. ``header["sections"]`` gives their lengths in bytes, ``header["checksum"]`` their SHA-256.

    phrase_ends     u32[P]  end of each phrase in ``phrases``; phrases are sorted by their UTF-8 bytes
    table           u32[T]  open addressing, CRC-32 of the phrase modulo T (a power of two): phrase number + 1, 0 where empty
    entry_ends      u32[P]  end of each phrase's entries
    record_ends     u32[E]  end of each entry's record in ``records``
    entry_languages u8[E]   index into ``header["languages"]``, ascending within a phrase
    phrases         bytes   UTF-8
    records         bytes   one per entry: number n of candidates (u8), n weights (f32), n texts joined by NUL (UTF-8)
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError

FORMAT = "mmcs lexicon"
MAGIC = b"MMCS.LEX"
VERSION = 1
PREAMBLE = struct.Struct("<8sII32s")
SECTIONS = ("phrase_ends", "table", "entry_ends", "record_ends", "entry_languages", "phrases", "records")
MAX_CANDIDATES = 255
# Look-ups that a process remembers: at most about 10 MB, and nearly every look-up in captions hits.
CACHE_SIZE = 16_384

Ranked = tuple[tuple[str, float], ...]
_WEIGHTS = [struct.Struct(f"<{n}f") for n in range(MAX_CANDIDATES + 1)]


def normalise(phrase: str) -> str:
    """The one form of a phrase for building and for look-up: NFC, case-folded, white space collapsed and stripped.

    The apostrophe of print (U+2019) becomes that of keyboards: captions have either.
    """
    if phrase.isascii():
        return " ".join(phrase.lower().split())
    folded = unicodedata.normalize("NFD", phrase.replace("\u2019", "'")).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


class Lexicon:
    """Source phrases and, per target language, their ranked candidates. Pickled by its path: processes share its pages.

    Attributes:
        path: the file, absolute.
        header: its header: languages, counts, sources with provenance and licence, checksum.
        languages: BCP 47 tags of the target languages, sorted.
        source_language: BCP 47 tag.
        max_tokens: words of the longest phrase.
    """

    def __init__(self, path: str | os.PathLike[str], *, _expected: str | None = None) -> None:
        self.path = Path(path).absolute()
        self._map = _map(self.path)
        self.header, start = _read_header(self._map, self.path)
        sections = _sections(self._map, self.header, start, self.path)
        checksum = self.header["checksum"]
        # A worker that reopens the file of its parent need not read all of it: the parent did.
        if _expected is None:
            if hashlib.sha256(memoryview(self._map)[start:]).hexdigest() != checksum:
                raise DataError(f"{self.path} is damaged (its checksum differs); build or copy it again.")
        elif checksum != _expected:
            raise DataError(f"{self.path} was replaced while it was in use; start the run again.")
        self.languages: tuple[str, ...] = tuple(self.header["languages"])
        self.source_language: str = self.header["source_language"]
        self.max_tokens: int = self.header["max_tokens"]
        self._language_bytes = {language: bytes([i]) for i, language in enumerate(self.languages)}
        self._phrases, self._records, self._entry_languages = (
            sections[name][0] for name in ("phrases", "records", "entry_languages")
        )
        self._phrase_ends, self._table, self._entry_ends, self._record_ends = (
            sections[name][1].cast("I") for name in ("phrase_ends", "table", "entry_ends", "record_ends")
        )
        self._cached = lru_cache(CACHE_SIZE)(self._look_up)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Lexicon:
        """Opens and verifies ``path``.

        Raises:
            UserError: there is no such file.
            DataError: it is damaged, cut off, of a newer format, or no lexicon.
        """
        return cls(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (str(self.path), self.header["checksum"])

    def __len__(self) -> int:
        """Number of source phrases."""
        return len(self._phrase_ends)

    def candidates(self, phrase: str, language: str) -> Ranked:
        """Ranked ``(text, weight)`` of a normalised phrase, best first; empty where the language lacks it."""
        return self._cached(phrase, language)

    def items(self, language: str) -> Iterator[tuple[str, Ranked]]:
        """All phrases that ``language`` translates, sorted by their UTF-8 bytes, with their candidates."""
        key = self._language_bytes.get(language)
        if key is None:
            return
        for i in range(len(self)):
            entry = self._entry(i, key)
            if entry >= 0:
                yield self._phrase(i).decode(), self._record(entry)

    def phrases(self, language: str) -> Iterator[str]:
        """The phrases that ``language`` translates, sorted by their UTF-8 bytes."""
        key = self._language_bytes.get(language)
        if key is not None:
            yield from (self._phrase(i).decode() for i in range(len(self)) if self._entry(i, key) >= 0)

    def languages_of(self, phrase: str) -> tuple[str, ...]:
        """The languages that translate a normalised phrase."""
        i = self._find(phrase)
        if i < 0:
            return ()
        first = self._entry_ends[i - 1] if i else 0
        return tuple(self.languages[self._map[self._entry_languages + n]] for n in range(first, self._entry_ends[i]))

    def _look_up(self, phrase: str, language: str) -> Ranked:
        key = self._language_bytes.get(language)
        i = -1 if key is None else self._find(phrase)
        if key is None or i < 0:
            return ()
        entry = self._entry(i, key)
        return self._record(entry) if entry >= 0 else ()

    def _find(self, phrase: str) -> int:
        """Number of a phrase, -1 where it is unknown."""
        key = phrase.encode("utf-8", "surrogatepass")
        table = self._table
        mask = len(table) - 1
        slot = zlib.crc32(key) & mask
        while i := table[slot]:
            if self._phrase(i - 1) == key:
                return i - 1
            slot = (slot + 1) & mask
        return -1

    def _phrase(self, i: int) -> bytes:
        ends = self._phrase_ends
        return self._map[self._phrases + (ends[i - 1] if i else 0) : self._phrases + ends[i]]

    def _entry(self, i: int, language: bytes) -> int:
        """Number of the entry of phrase ``i`` in ``language``, -1 where there is none."""
        ends, base = self._entry_ends, self._entry_languages
        return max(self._map.find(language, base + (ends[i - 1] if i else 0), base + ends[i]) - base, -1)

    def _record(self, entry: int) -> Ranked:
        ends = self._record_ends
        start = self._records + (ends[entry - 1] if entry else 0)
        weights = _WEIGHTS[self._map[start]]
        texts = self._map[start + 1 + weights.size : self._records + ends[entry]].decode().split("\0")
        return tuple(zip(texts, weights.unpack_from(self._map, start + 1), strict=True))


def _reopen(path: str, checksum: str) -> Lexicon:
    return Lexicon(path, _expected=checksum)


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as handle:
            if os.fstat(handle.fileno()).st_size < PREAMBLE.size:
                raise DataError(f"{path} is not an mmcs lexicon (too short); 'mmcs lexicon build' makes one.")
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise UserError(f"there is no lexicon {path}; 'mmcs lexicon build' makes one.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a lexicon file (.lex).") from None


def _read_header(data: mmap.mmap, path: Path) -> tuple[dict[str, Any], int]:
    """The header and where the sections start."""
    magic, version, length, digest = PREAMBLE.unpack_from(data)
    if magic != MAGIC:
        raise DataError(f"{path} is not an mmcs lexicon; 'mmcs lexicon build' makes one.")
    if version != VERSION:
        raise DataError(
            f"{path} has lexicon format {version}, this mmcs reads {VERSION}; update mmcs or build it again."
        )
    start = PREAMBLE.size + length
    if start > len(data):
        raise DataError(f"{path} is cut off ({len(data)} bytes, its header alone needs {start}); copy it again.")
    raw = data[PREAMBLE.size : start]
    if hashlib.sha256(raw).digest() != digest:
        raise DataError(f"{path} is damaged (the checksum of its header differs); build or copy it again.")
    header = json.loads(raw)
    if header.get("format") != FORMAT:
        raise DataError(f"{path} is not an mmcs lexicon; 'mmcs lexicon build' makes one.")
    return header, start


def _sections(data: mmap.mmap, header: dict[str, Any], start: int, path: Path) -> dict[str, tuple[int, memoryview]]:
    """Each section's place in the file and its bytes."""
    whole, sections = memoryview(data), {}
    for name in SECTIONS:
        end = start + header["sections"][name]
        sections[name] = (start, whole[start:end])
        start = end
    if start != len(data):
        raise DataError(f"{path} has {len(data)} bytes where {start} are expected; it was cut off: copy it again.")
    return sections
