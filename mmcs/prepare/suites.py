"""Evaluation suites into shards: what every set has in common. A source (xm3600.py, xtd10.py, …) reads its caption files into
``Item``s; here they are compared with the official counts, joined with their pictures and written.

An image is its own group, named as its source names it: photographs that share a caption stay apart, and a COCO or Flickr
image is one group in whatever set it stands.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.prepare.images import MAX_BYTES, RASTER
from mmcs.prepare.layout import SuiteLayout
from mmcs.prepare.picture_files import inventory
from mmcs.prepare.records import Record, Tally
from mmcs.prepare.reuse import find_prepared
from mmcs.prepare.shards import Origin, Prepared, write_splits
from mmcs.prepare.suite_files import Captions, Images
from mmcs.progress import track

ALLOWED_BY = "--allow-incomplete"
MISSING = "images missing"
ALL_NAMED = 1000  # no set has as many languages: each that is missing is named
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_SUFFIX = re.compile(r"\.(?:jpe?g|png|webp)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a suite.

    Attributes:
        name: the source's id of it.
        file: its path below a folder of pictures.
        captions: BCP 47 tag to captions as the source has them, in its order, English among them.
        split: train, val or test.
    """

    name: str
    file: PurePosixPath
    captions: dict[str, list[str]]
    split: str = "test"


@dataclass(frozen=True, slots=True)
class Part:
    """What a split officially holds: images, and captions (blank ones too) by language."""

    images: int
    captions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a set.

    Attributes:
        name, title: for the manifest and for people.
        source, licence: in words.
        parts: what each split officially holds.
        protocols: those that figures on it are quoted with, in order; the names of ``mmcs.evaluation``.
        notes: sentences that stand beside every figure.
    """

    name: str
    title: str
    source: str
    licence: str
    parts: Mapping[str, Part]
    protocols: Sequence[str] = ("all_captions",)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for.

    Attributes:
        images: folders with the pictures.
        captions: files and folders with the captions.
        layout: sizes.
        splits: which to prepare, where a set has several; None: all.
        allow_incomplete: go on with what is there where something is missing.
    """

    images: Sequence[Path]
    captions: Sequence[Path]
    layout: SuiteLayout = field(default_factory=SuiteLayout)
    splits: Sequence[str] | None = None
    allow_incomplete: bool = False


#: By split and language, why a language is missing from a split, as far as files tell.
Absent = dict[tuple[str, str], str]
#: Reads a set's caption files.
Reader = Callable[[Captions], tuple[list[Item], Absent]]


def prepare_suite(
    known: Known,
    read: Reader,
    request: Request,
    out: str | os.PathLike[str],
    arguments: Mapping[str, Any] | None = None,
) -> Prepared:
    """Makes a suite's shards, or finds them in ``out`` when they were made from the same files.

    Args:
        known: the set.
        read: reads its caption files.
        request: what the user has and wants.
        out: the folder to make.
        arguments: what else tells one preparation of the set from another.

    Raises:
        UserError: a path does not exist, or ``out`` holds something else.
        DataError: a file cannot be used; the set is not complete, unless that is allowed.
    """
    known = _chosen(known, request.splits)
    images, captions = Images(request.images), Captions(request.captions)
    items, absent = read(captions)
    items = [item for item in items if item.split in known.parts]
    left_out, dropped = Tally(), Tally()
    incomplete = differences(items, known.parts, absent)
    pictures = _with_pictures(items, images, left_out, dropped)
    made_with = {
        "images": [str(folder.resolve()) for folder in images.given],
        "captions_sha256": captions.sha256.hexdigest(),
        **(arguments or {}),
        "splits": list(known.parts),
        "allow_incomplete": request.allow_incomplete,
        "pictures": inventory(((item.name, path) for item, path in pictures), dropped.counts[MISSING]),
    }
    asked = made_with | ({"allow_incomplete": None} if request.allow_incomplete else {})
    if (found := find_prepared(out, known.name, request.layout, asked)) is not None:
        return found
    if not request.allow_incomplete and (told := _told(incomplete, dropped)):
        others = f", or leave its split out with --splits ({', '.join(known.parts)})" if len(known.parts) > 1 else ""
        raise DataError(
            f"{known.title} is not complete: {told}. Get what is missing{others}, or go on with what is there with {ALLOWED_BY}."
        )

    def evaluation() -> dict[str, Any]:
        told = _told(incomplete, dropped)  # pictures that turned out to be damaged, too
        notes = [*known.notes, *([f"This is not all of {known.title}: {told}."] if told else [])]
        return {"protocols": list(known.protocols), "notes": notes, "incomplete": incomplete.as_dict()}

    return write_splits(
        _records(pictures, known.title, dropped),
        out,
        Origin(known.name, known.source, known.licence, made_with, evaluation),
        request.layout,
        left_out=left_out,
        dropped=dropped,
        max_dropped=1.0 if request.allow_incomplete else 0.0,
        allowed_by=ALLOWED_BY,
    )


def differences(items: Sequence[Item], parts: Mapping[str, Part], absent: Absent) -> Tally:
    """What the items lack, or have too much, against the official counts.

    Captions are counted where the images are all there; otherwise their number follows from that of the images.

    Args:
        items: as read, blank captions among them.
        parts: the official counts.
        absent: why languages are missing.

    Raises:
        DataError: an image stands in two splits, or nothing has an English caption.
    """
    splits: dict[str, str] = {}
    images: Counter[str] = Counter()
    captions: Counter[tuple[str, str]] = Counter()
    for item in items:
        if splits.setdefault(item.name, item.split) != item.split:
            raise DataError(
                f"{item.name} stands in two splits, {splits[item.name]} and {item.split}; remove one of them."
            )
        images[item.split] += 1
        captions.update({(item.split, language): len(texts) for language, texts in item.captions.items()})
    if not any(captions[split, "en"] for split in parts):
        why = next((f" ({absent[split, 'en']})" for split in parts if (split, "en") in absent), "")
        raise DataError(f"There is no English caption, which every sample needs{why}.")
    found = Tally(kept=ALL_NAMED)
    for split, part in parts.items():
        if images[split] != part.images:
            found.add("number of images", f"{images[split]:,} instead of {part.images:,} in {split}")
        for language, number in part.captions.items() if images[split] else ():
            where = language if len(parts) == 1 else f"{language} in {split}"
            if not captions[split, language]:
                why = f" ({absent[split, language]})" if (split, language) in absent else ""
                found.add("languages missing", where + why)
            elif captions[split, language] != number and images[split] == part.images:
                found.add("number of captions", f"{captions[split, language]:,} instead of {number:,} in {where}")
    return found


def _chosen(known: Known, splits: Sequence[str] | None) -> Known:
    """The set with the splits that were asked for."""
    if splits is None:
        return known
    for split in splits:
        if split not in known.parts:
            raise UserError(f"{known.title} has no split '{split}' (--splits); it has: {', '.join(known.parts)}.")
    return replace(known, parts={split: part for split, part in known.parts.items() if split in splits})


def _with_pictures(items: Sequence[Item], images: Images, left_out: Tally, dropped: Tally) -> list[tuple[Item, Path]]:
    """The items that can be used, their captions tidied, each with its picture."""
    found = []
    for item in track(items, "Looking for pictures"):
        tidy: dict[str, list[str]] = {}
        for language, texts in item.captions.items():
            kept = [text for raw in texts if (text := _SPACE.sub(" ", raw).strip())]
            if len(kept) < len(texts):
                left_out.add("blank captions", f"{item.name} in {language}")
            if kept:
                tidy[language] = kept
        path = images.of(item.file)
        if path is None:
            dropped.add(MISSING, str(item.file))
        elif "en" not in tidy:
            dropped.add("images without an English caption", item.name)
        elif path.stat().st_size > MAX_BYTES:
            dropped.add(f"more than {MAX_BYTES // 2**20} MiB", str(item.file))
        else:
            found.append((replace(item, captions=tidy), path))
    return found


def _records(pictures: Sequence[tuple[Item, Path]], title: str, dropped: Tally) -> Iterator[Record]:
    """The records, in the order of the source."""
    for item, path in track(pictures, f"Preparing {title}"):
        try:
            image = path.read_bytes()
        except OSError as error:
            dropped.add(f"unreadable file ({error.strerror})", item.name)
            continue
        first, *further = item.captions["en"]
        captions = ({"en": further} if further else {}) | {
            language: texts for language, texts in sorted(item.captions.items()) if language != "en"
        }
        yield Record(item.name, image, RASTER, first, captions, _SUFFIX.sub("", item.name), item.split)


def _told(*tallies: Tally) -> str:
    """Each cause with its number and first examples."""
    told = []
    for tally in tallies:
        for cause, number in tally.counts.items():
            more = ", …" if number > len(tally.examples[cause]) else ""
            told.append(f"{cause} ({number:,}): {', '.join(tally.examples[cause])}{more}")
    return "; ".join(told)
