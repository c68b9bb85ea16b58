"""Reading a lexicon (``.lex``): memory-mapped, so that all workers share one copy of it.

Strategies look candidates up here. ``lexicon_file`` describes, opens and checks the file.
"""

from __future__ import annotations

import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmcs.codeswitch.lexicon_file import MAX_CANDIDATES, contradiction, open_file

_WEIGHTS = [struct.Struct(f"<{n}f") for n in range(MAX_CANDIDATES + 1)]
# Languages whose capital I is that of a dotless letter: what case-folding takes for "i" is another word there.
DOTLESS = frozenset({"tr", "az", "crh", "tt", "kk", "gag", "ba"})
_DOTLESS_FOLD = str.maketrans({"I": "\u0131", "\u0130": "i"})
# Languages whose texts mostly leave out the signs of vowels that dictionaries and schoolbooks write, and tatweel.
_UNPOINTED = frozenset({"ar", "fa", "ur", "ps", "ckb", "he"})
# The apostrophe of print as that of keyboards, and nothing in place of what shows nothing (``segment`` keeps it in words).
_UNSEEN = str.maketrans("\u2019", "'", "\u00ad\u2060\ufeff\u200e\u200f")
_POINTS = re.compile("[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]")


class Candidate(NamedTuple):
    """A translation: its text, its weight in (0, 1], and its part of speech as the source labels it ("" where it does not)."""

    text: str
    weight: float
    pos: str = ""


Ranked = tuple[Candidate, ...]


def normalise(phrase: str, language: str = "en") -> str:
    """The one form of a phrase for building and for look-up: NFC, case-folded, white space collapsed and stripped.

    The apostrophe of print (U+2019) becomes that of keyboards: captions have either. Soft hyphens and other marks that
    show nothing are removed. In Turkish and its kin a capital I
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
    folded = unicodedata.normalize("NFD", phrase.translate(_UNSEEN)).casefold()
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
        self._map, self.header, self._tags, sections = open_file(self.path, _expected)
        self.languages: tuple[str, ...] = tuple(self.header["languages"])
        self.source_language: str = self.header["source_language"]
        self.max_tokens: int = self.header["max_tokens"]
        self._labels: tuple[str, ...] = tuple(self.header["pos"])
        self._normalise = normaliser(self.source_language)
        # Mostly one number per language; in files of older versions several tags may name one.
        self._language_bytes = {
            language: [bytes([i]) for i, tag in enumerate(self._tags) if tag == language] for language in self.languages
        }
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
        keys = self._language_bytes.get(language)
        i = -1 if keys is None else self._find(phrase)
        if keys is None or i < 0:
            return ()
        entry = self._entry(i, keys)
        return self._record(entry) if entry >= 0 else ()

    def longest(self, beginning: str) -> int:
        """Words of the longest phrase that begins with the words ``beginning`` (normalised) or is them; 0 where none does."""
        i = self._find(beginning)
        return 0 if i < 0 else self._map[self._longest + i]

    def rows(self) -> Iterator[tuple[str, str, Ranked]]:
        """All entries as ``(phrase, language, candidates)``, sorted by the phrase's UTF-8 bytes, then by language.

        Raises:
            DataError: the file contradicts itself. It may have correct checksums and be forged.
        """
        data, bounds = self._map, self._entry_bounds
        last = ""
        for i in range(len(bounds) - 1):
            if bounds[i] < bounds[i + 1]:
                last = phrase = self._phrase(i, last)
                found: dict[str, int] = {}
                for entry in range(bounds[i], bounds[i + 1]):
                    found.setdefault(self._tags[data[self._entry_languages + entry]], entry)
                for language in sorted(found):
                    yield phrase, language, self._record(found[language])

    def phrases(self) -> Iterator[str]:
        """The phrases, sorted by their UTF-8 bytes.

        Raises:
            DataError: see ``rows``.
        """
        bounds, last = self._entry_bounds, ""
        for i in range(len(bounds) - 1):
            if bounds[i] < bounds[i + 1]:
                last = self._phrase(i, last)
                yield last

    def items(self, language: str) -> Iterator[tuple[str, Ranked]]:
        """The phrases that ``language`` translates, sorted by their UTF-8 bytes, with their candidates.

        Raises:
            DataError: see ``rows``.
        """
        keys = self._language_bytes.get(language)
        if keys is None:
            return
        last = ""
        for i in range(len(self._entry_bounds) - 1):
            entry = self._entry(i, keys)
            if entry >= 0:
                last = phrase = self._phrase(i, last)
                yield phrase, self._record(entry)

    def languages_of(self, phrase: str) -> tuple[str, ...]:
        """The languages that translate a normalised phrase."""
        i = self._find(phrase)
        if i < 0:
            return ()
        start, end = self._entry_languages + self._entry_bounds[i], self._entry_languages + self._entry_bounds[i + 1]
        return tuple(sorted({self._tags[index] for index in self._map[start:end]}))

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

    def _phrase(self, i: int, last: str) -> str:
        """Phrase ``i``, which comes after ``last``."""
        raw = self._map[self._phrases + self._phrase_bounds[i] : self._phrases + self._phrase_bounds[i + 1]]
        try:
            phrase = raw.decode()
        except UnicodeDecodeError:
            raise contradiction(self.path, f"phrase {i} is not UTF-8") from None
        if raw <= last.encode() or min(raw) < 32 or phrase != self._normalise(phrase):
            raise contradiction(self.path, f"phrase {i}, {phrase!r}, is out of order or not in normal form")
        return phrase

    def _entry(self, i: int, languages: Sequence[bytes]) -> int:
        """Number of the entry of phrase ``i`` in a language with these numbers, -1 where there is none."""
        bounds, base = self._entry_bounds, self._entry_languages
        for language in languages:
            found = self._map.find(language, base + bounds[i], base + bounds[i + 1])
            if found >= 0:
                return found - base
        return -1

    def _record(self, entry: int) -> Ranked:
        data, labels, bounds = self._map, self._labels, self._record_bounds
        record = data[self._records + bounds[entry] : self._records + bounds[entry + 1]]
        n = record[0]
        try:
            if n == 1:  # most of them
                found: Ranked = (
                    Candidate(record[6:].decode(), _WEIGHTS[1].unpack_from(record, 1)[0], labels[record[5]]),
                )
            else:
                texts = record[1 + 5 * n :].decode().split("\0")
                names = [labels[i] for i in record[1 + 4 * n : 1 + 5 * n]]
                found = tuple(map(Candidate, texts, _WEIGHTS[n].unpack_from(record, 1), names))
                if len(texts) != n:
                    found = ()
        except (UnicodeDecodeError, IndexError):
            found = ()
        for text, weight, _ in found:
            if not text or "\0" in text or not 0 < weight <= 1:
                found = ()
        if not found:
            raise contradiction(self.path, f"the candidates of entry {entry} are damaged")
        return found


def _reopen(path: str, checksum: str) -> Lexicon:
    return Lexicon(path, _expected=checksum)
