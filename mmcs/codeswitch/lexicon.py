"""Reading a lexicon (``.lex``): memory-mapped, so that all workers share one copy of it.

Strategies look candidates up here. Files are written by ``mmcs.lexicons.format``, which takes the layout from here.

Layout, little-endian: ``PREAMBLE`` (magic, format version, length and SHA-256 of the header), the header (JSON, UTF-8), then
the sections back to back. ``header["sections"]`` gives their lengths in bytes, ``header["checksum"]`` their SHA-256.

    phrase_bounds   u32[P+1] where each phrase starts in ``phrases`` and, last, where all end; sorted by their UTF-8 bytes
    entry_bounds    u32[P+1] the same for each phrase's entries. None: the phrase only begins longer ones
    record_bounds   u32[E+1] the same for each entry's record in ``records``
    table           u32[T]   open addressing, CRC-32 of the phrase modulo T (a power of two): phrase number + 1, 0 where empty
    longest         u8[P]    words of the longest phrase that begins with this one or is it, at most 255
    entry_languages u8[E]    index into ``header["languages"]``, ascending within a phrase
    phrases         bytes    UTF-8
    records         bytes    one per entry: number n of candidates (u8), n weights (f32), n parts of speech (u8, indices into
                             ``header["pos"]``), n texts joined by NUL (UTF-8)
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmcs.errors import DataError, UserError

FORMAT = "mmcs lexicon"
MAGIC = b"MMCS.LEX"
VERSION = 2
PREAMBLE = struct.Struct("<8sII32s")
SECTIONS = (
    "phrase_bounds",
    "entry_bounds",
    "record_bounds",
    "table",
    "longest",
    "entry_languages",
    "phrases",
    "records",
)
MAX_CANDIDATES = 255

_WEIGHTS = [struct.Struct(f"<{n}f") for n in range(MAX_CANDIDATES + 1)]
# Languages whose capital I is that of a dotless letter: what case-folding takes for "i" is another word there.
DOTLESS = frozenset({"tr", "az", "crh", "tt", "kk", "gag", "ba"})
_DOTLESS_FOLD = str.maketrans({"I": "\u0131", "\u0130": "i"})
# Languages whose texts mostly leave out the signs of vowels that dictionaries and schoolbooks write, and tatweel.
_UNPOINTED = frozenset({"ar", "fa", "ur", "ps", "ckb", "he"})
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]")


class Candidate(NamedTuple):
    """A translation: its text, its weight in (0, 1], and its part of speech as the source labels it ("" where it does not)."""

    text: str
    weight: float
    pos: str = ""


Ranked = tuple[Candidate, ...]


def normalise(phrase: str, language: str = "en") -> str:
    """The one form of a phrase for building and for look-up: NFC, case-folded, white space collapsed and stripped.

    The apostrophe of print (U+2019) becomes that of keyboards: captions have either. In Turkish and its kin a capital I
    is a dotless i (Unicode, SpecialCasing); Arabic, Hebrew and their kin lose the signs of vowels, which few texts write.

    Args:
        phrase: in any capitals.
        language: of the phrase (BCP 47).
    """
    return normaliser(language)(phrase)


def normaliser(language: str) -> Callable[[str], str]:
    """``normalise`` for one language."""
    base = language.split("-", 1)[0]
    return _fold_dotless if base in DOTLESS else _fold_unpointed if base in _UNPOINTED else _fold


def _fold_dotless(phrase: str) -> str:
    return _fold(unicodedata.normalize("NFC", phrase).translate(_DOTLESS_FOLD))


def _fold_unpointed(phrase: str) -> str:
    return _fold(_POINTS.sub("", unicodedata.normalize("NFC", phrase)))


def _fold(phrase: str) -> str:
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
        try:
            self._lay_out(start, _expected)
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{self.path} contradicts itself (its header is not an mmcs lexicon's); build it again."
            ) from None

    def _lay_out(self, start: int, expected: str | None) -> None:
        header = self.header
        sections = _sections(self._map, header, start, self.path)
        # A worker that reopens the file of its parent need not read all of it: the parent did.
        if expected is None:
            if hashlib.sha256(memoryview(self._map)[start:]).hexdigest() != header["checksum"]:
                raise DataError(f"{self.path} is damaged (its checksum differs); build or copy it again.")
        elif header["checksum"] != expected:
            raise DataError(f"{self.path} was replaced while it was in use; start the run again.")
        self.languages: tuple[str, ...] = tuple(map(str, header["languages"]))
        self.source_language = str(header["source_language"])
        self.max_tokens = int(header["max_tokens"])
        self._labels: tuple[str, ...] = tuple(map(str, header["pos"]))
        self._language_bytes = {language: bytes([i]) for i, language in enumerate(self.languages)}
        self._phrases, self._records, self._entry_languages, self._longest = (
            sections[name][0] for name in ("phrases", "records", "entry_languages", "longest")
        )
        self._phrase_bounds, self._entry_bounds, self._record_bounds, self._table = (
            sections[name][1].cast("I") for name in ("phrase_bounds", "entry_bounds", "record_bounds", "table")
        )

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
        return int(self.header["phrases"])

    def __contains__(self, phrase: str) -> bool:
        """Whether any language translates a normalised phrase."""
        i = self._find(phrase)
        return i >= 0 and self._entry_bounds[i] < self._entry_bounds[i + 1]

    def candidates(self, phrase: str, language: str) -> Ranked:
        """Ranked candidates of a normalised phrase, best first; empty where the language lacks it."""
        key = self._language_bytes.get(language)
        i = -1 if key is None else self._find(phrase)
        if key is None or i < 0:
            return ()
        entry = self._entry(i, key)
        return self._record(entry) if entry >= 0 else ()

    def longest(self, beginning: str) -> int:
        """Words of the longest phrase that begins with the words ``beginning`` (normalised) or is them; 0 where none does."""
        i = self._find(beginning)
        return 0 if i < 0 else self._map[self._longest + i]

    def rows(self) -> Iterator[tuple[str, str, Ranked]]:
        """All entries as ``(phrase, language, candidates)``, sorted by the phrase's UTF-8 bytes, then by language."""
        bounds = self._entry_bounds
        for i in range(len(bounds) - 1):
            if bounds[i] < bounds[i + 1]:
                phrase = self._phrase(i).decode()
                for entry in range(bounds[i], bounds[i + 1]):
                    yield phrase, self.languages[self._map[self._entry_languages + entry]], self._record(entry)

    def items(self, language: str) -> Iterator[tuple[str, Ranked]]:
        """The phrases that ``language`` translates, sorted by their UTF-8 bytes, with their candidates."""
        key = self._language_bytes.get(language)
        if key is None:
            return
        for i in range(len(self._entry_bounds) - 1):
            entry = self._entry(i, key)
            if entry >= 0:
                yield self._phrase(i).decode(), self._record(entry)

    def languages_of(self, phrase: str) -> tuple[str, ...]:
        """The languages that translate a normalised phrase."""
        i = self._find(phrase)
        if i < 0:
            return ()
        start, end = self._entry_languages + self._entry_bounds[i], self._entry_languages + self._entry_bounds[i + 1]
        return tuple(self.languages[index] for index in self._map[start:end])

    def _find(self, phrase: str) -> int:
        """Number of a phrase, -1 where it is unknown."""
        key = phrase.encode("utf-8", "surrogatepass")
        table, bounds, base, data = self._table, self._phrase_bounds, self._phrases, self._map
        mask = len(table) - 1
        slot = zlib.crc32(key) & mask
        while i := table[slot]:
            if data[base + bounds[i - 1] : base + bounds[i]] == key:
                return i - 1
            slot = (slot + 1) & mask
        return -1

    def _phrase(self, i: int) -> bytes:
        return self._map[self._phrases + self._phrase_bounds[i] : self._phrases + self._phrase_bounds[i + 1]]

    def _entry(self, i: int, language: bytes) -> int:
        """Number of the entry of phrase ``i`` in ``language``, -1 where there is none."""
        bounds, base = self._entry_bounds, self._entry_languages
        return max(self._map.find(language, base + bounds[i], base + bounds[i + 1]) - base, -1)

    def _record(self, entry: int) -> Ranked:
        data, labels, bounds = self._map, self._labels, self._record_bounds
        record = data[self._records + bounds[entry] : self._records + bounds[entry + 1]]
        n = record[0]
        if n == 1:  # most of them
            return (Candidate(record[6:].decode(), _WEIGHTS[1].unpack_from(record, 1)[0], labels[record[5]]),)
        texts = record[1 + 5 * n :].decode().split("\0")
        return tuple(
            map(
                Candidate, texts, _WEIGHTS[n].unpack_from(record, 1), [labels[i] for i in record[1 + 4 * n : 1 + 5 * n]]
            )
        )


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
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path} is not an mmcs lexicon; 'mmcs lexicon build' makes one.")
    return header, start


def _sections(data: mmap.mmap, header: dict[str, Any], start: int, path: Path) -> dict[str, tuple[int, memoryview]]:
    """Each section's place in the file and its bytes."""
    whole, sections, begin = memoryview(data), {}, start
    lengths = header["sections"]
    for name in SECTIONS:
        end = start + lengths[name]
        sections[name] = (start, whole[start:end])
        start = end
    if start != len(data):
        raise DataError(f"{path} has {len(data)} bytes where {start} are expected; it was cut off: copy it again.")
    phrases, entries, slots = len(sections["longest"][1]), lengths["entry_languages"], lengths["table"] // 4
    consistent = (
        [lengths[name] for name in SECTIONS[:3]] == [4 * phrases + 4, 4 * phrases + 4, 4 * entries + 4]
        and slots > phrases
        and slots & (slots - 1) == 0
        and begin % 4 == 0
    )
    if not consistent:
        raise DataError(f"{path} contradicts itself (its sections do not fit each other); build it again.")
    return sections
