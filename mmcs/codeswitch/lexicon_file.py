"""The file of a lexicon (``.lex``): its layout, and opening it so that nothing in it can crash, hang or mislead a reader.

Files are written by ``mmcs.lexicons.format``, which takes the layout from here; ``mmcs.codeswitch.lexicon`` looks phrases up.

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
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mmcs.common.language_tags import language_tag, languages_of
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
MAX_LANGUAGES = 256
MAX_LABELS = 255
MAX_LABEL_BYTES = 15
MAX_TOKENS = 1 << 16

# A look-up walks at most so many occupied slots. The writer leaves half of the table empty.
_MAX_PROBES = 1 << 16
_BLOCK = 1 << 17  # numbers that are checked at a time

Sections = dict[str, tuple[int, memoryview]]


class LexiconFile(NamedTuple):
    """A lexicon file that is open and checked.

    Attributes:
        data: the whole file, mapped.
        header: as in the file, but with canonical language tags.
        tags: the language of each index in ``entry_languages``.
        sections: where each section starts in the file, and its bytes.
    """

    data: mmap.mmap
    header: dict[str, Any]
    tags: tuple[str, ...]
    sections: Sections


def open_file(path: Path, expected: str | None) -> LexiconFile:
    """Maps ``path`` and checks it.

    Args:
        path: the file.
        expected: its checksum, where another process has checked the file: then its content is not read.

    Raises:
        UserError: there is no such file. DataError: it is damaged, cut off, of a newer format, or no lexicon.
    """
    data = _map(path)
    header, start = _read_header(data, path)
    if wrong := _wrong_value(header):
        raise contradiction(path, f"its header has no valid '{wrong}'")
    sections = _sections(data, header, start, path)
    # A worker that reopens the file of its parent need not read all of it: the parent did.
    if expected is None:
        if hashlib.sha256(memoryview(data)[start:]).hexdigest() != header["checksum"]:
            raise DataError(f"{path} is damaged (its checksum differs); build or copy it again.")
        if wrong := _wrong_table(sections) or _wrong_entries(sections, header):
            raise contradiction(path, wrong)
    elif header["checksum"] != expected:
        raise DataError(f"{path} was replaced while it was in use; start the run again.")
    header, tags = _with_canonical_tags(header)
    return LexiconFile(data, header, tags, sections)


def contradiction(path: Path, why: str) -> DataError:
    """The error for a file with correct checksums that the writer cannot have written."""
    return DataError(f"{path} contradicts itself ({why}); build it again.")


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
    try:
        header = json.loads(raw)
        json.dumps(header, ensure_ascii=False).encode()  # half a surrogate pair cannot be printed
    except (ValueError, RecursionError):
        raise contradiction(path, "its header is not JSON") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{path} is not an mmcs lexicon; 'mmcs lexicon build' makes one.")
    return header, start


def _wrong_value(header: dict[str, Any]) -> str:
    """The first key of the header whose value is missing or of a wrong type; "" where there is none."""
    checks: dict[str, Callable[[Any], bool]] = {
        "version": lambda value: value == VERSION,
        "languages": lambda value: _texts(value) and 0 < len(value) == len(set(value)) <= MAX_LANGUAGES,
        "source_language": lambda value: isinstance(value, str),
        "max_tokens": lambda value: _count(value) and value < MAX_TOKENS,
        "phrases": _count,
        "entries": _counts,
        "candidates": _counts,
        "pos": lambda value: (
            _texts(value)
            and value[:1] == [""]
            and 1 <= len(value) == len(set(value)) <= MAX_LABELS + 1
            and max(len(label.encode()) for label in value) <= MAX_LABEL_BYTES
        ),
        "sections": lambda value: _counts(value) and value.keys() >= set(SECTIONS),
        "checksum": lambda value: isinstance(value, str),
        "sources": lambda value: isinstance(value, list) and all(map(_is_source, value)),
    }
    return next((key for key, is_right in checks.items() if not is_right(header.get(key))), "")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_count, value.values()))


def _is_source(value: Any) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(k), str) for k in ("name", "provenance", "licence")):
        return False
    if not isinstance(value.get("language", ""), str) or not _texts(value.get("notes", [])):
        return False
    tallies = [value.get(key, {}) for key in ("cleaned", "left_out")]
    return all(isinstance(tally, dict) and all(map(_is_counted, tally.values())) for tally in tallies)


def _is_counted(about: Any) -> bool:
    """Whether it is a number and examples, as ``Tally.as_dict`` gives them for a cause."""
    if not isinstance(about, dict) or not _count(about.get("count")):
        return False
    return _texts(about.get("examples")) and bool(about["examples"])


def _sections(data: mmap.mmap, header: dict[str, Any], start: int, path: Path) -> Sections:
    """Each section's place in the file and its bytes."""
    whole, begin = memoryview(data), start
    sections: Sections = {}
    lengths = header["sections"]
    for name in SECTIONS:
        end = start + lengths[name]
        sections[name] = (start, whole[start:end])
        start = end
    if start != len(data):
        raise DataError(f"{path} has {len(data)} bytes where {start} are expected; it was cut off: copy it again.")
    phrases, entries, slots = lengths["longest"], lengths["entry_languages"], lengths["table"] // 4
    consistent = (
        [lengths[name] for name in SECTIONS[:3]] == [4 * phrases + 4, 4 * phrases + 4, 4 * entries + 4]
        and lengths["table"] == 4 * slots
        and slots > phrases
        and slots & (slots - 1) == 0
        and begin % 4 == 0
    )
    if not consistent:
        raise contradiction(path, "its sections do not fit each other")
    return sections


def _wrong_table(sections: Sections) -> str:
    """What is wrong with the hash table; "" where nothing is: every look-up ends soon at a phrase that exists."""
    import numpy as np

    slots, phrases = np.frombuffer(sections["table"][1], "<u4"), len(sections["longest"][1])
    occupied = run = 0
    for at in range(0, len(slots), _BLOCK):
        block = slots[at : at + _BLOCK]
        if block.max() > phrases:
            return "its table names phrases that it does not have"
        occupied += int(np.count_nonzero(block))
        bounds = np.concatenate(([-1], np.flatnonzero(block == 0), [len(block)]))
        gaps = np.diff(bounds) - 1
        if max(int(gaps.max()), run + int(gaps[0])) > _MAX_PROBES:
            return "its table is too full"
        run = int(gaps[-1]) if len(gaps) > 1 else run + len(block)
    return "" if occupied == phrases else f"its table has {occupied} phrases instead of {phrases}"


def _wrong_entries(sections: Sections, header: dict[str, Any]) -> str:
    """What is wrong with bounds, records and counts; "" where nothing is."""
    import numpy as np

    for name, of in (("phrase_bounds", "phrases"), ("entry_bounds", "entry_languages"), ("record_bounds", "records")):
        bounds = np.frombuffer(sections[name][1], "<u4")
        blocks = (bounds[at : at + _BLOCK + 1] for at in range(0, len(bounds), _BLOCK))
        if bounds[0] != 0 or bounds[-1] != len(sections[of][1]) or not all(np.all(b[1:] >= b[:-1]) for b in blocks):
            return f"its {name} are wrong"
    bounds, records = (np.frombuffer(sections[name][1], "<u4") for name in ("entry_bounds", "record_bounds"))
    data, languages = (np.frombuffer(sections[name][1], "u1") for name in ("records", "entry_languages"))
    begins = np.zeros(len(languages) + 1, bool)  # entries that are the first of their phrase
    begins[bounds] = True
    number = len(header["languages"])
    entries, candidates = np.zeros(number, np.int64), np.zeros(number, np.int64)
    for at in range(0, len(languages), _BLOCK):
        block, starts = languages[at : at + _BLOCK], records[at : at + _BLOCK + 1]
        lengths = np.diff(starts)
        # A record holds at least its count and, per candidate, a weight, a label, and a letter with what separates it.
        if lengths.min() < 7 or np.any(lengths < 7 * (sizes := data[starts[:-1]].astype(np.uint32))) or not sizes.min():
            return "its records are wrong"
        descends = np.diff(block.astype(np.int16)) <= 0
        if block.max() >= number or np.any(descends & ~begins[at + 1 : at + len(block)]):
            return "its entries name wrong languages"
        entries += np.bincount(block, minlength=number)
        candidates += np.bincount(block, weights=sizes, minlength=number).astype(np.int64)
    found = {"entries": entries.tolist(), "candidates": candidates.tolist()}
    for key, counts in found.items():
        if header[key] != dict(zip(header["languages"], counts, strict=True)):
            return f"its header has other numbers of {key}"
    if np.count_nonzero(begins[:-1]) != header["phrases"]:
        return "its header has another number of phrases"
    longest = int(np.frombuffer(sections["longest"][1], "u1").max(initial=0))
    return "" if longest == min(header["max_tokens"], 255) else "its header has another 'max_tokens'"


def _with_canonical_tags(header: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The header with canonical tags (``DE`` and ``de-DE`` are ``de``), and the language of each index.

    Files of older versions hold tags as they were typed. Where two of them name one language, it has the entries of both.
    """
    canonical = {name: _canonical(name) for name in header["languages"]}
    languages = languages_of(canonical.values())
    canonical = {name: languages[tag] for name, tag in canonical.items()}
    tags = tuple(canonical.values())
    changed = header | {
        "languages": sorted(set(tags)),
        "source_language": _canonical(header["source_language"]),
        "sources": [
            source | {"language": canonical[source["language"]]} if source.get("language") in canonical else source
            for source in header["sources"]
        ],
    }
    for key in ("entries", "candidates"):
        counts: Counter[str] = Counter()
        for name, tag in canonical.items():
            counts[tag] += header[key][name]
        changed[key] = {tag: counts[tag] for tag in changed["languages"]}
    return changed, tags


def _canonical(tag: str) -> str:
    try:
        return language_tag(tag)
    except UserError:  # an older version took any two letters
        return tag
