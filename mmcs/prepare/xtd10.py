"""XTD10: 1,000 photographs of COCO, one caption each in English and ten languages.

``test_image_names.txt`` and ``test_1kcaptions_LANGUAGE.txt`` go line by line together, wherever in the repository they lie.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.prepare.shards import Prepared
from mmcs.prepare.suite_files import Captions, aligned, image_list
from mmcs.prepare.suites import Absent, Item, Known, Part, Request, prepare_suite

LANGUAGES = ("en", "de", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh-Hans")
PARTS = {"test": Part(1000, dict.fromkeys(LANGUAGES, 1000))}
INDEX = "test_image_names.txt"
_CAPTIONS = re.compile(r"test_1kcaptions_(.+)\.txt")
SPELT = {"ja": "jp", "zh-Hans": "zh"}  # what the files call them
NOTES = (
    "800 of XTD10's 1,000 images are in COCO's train2014, 200 in its val2014: a model trained on COCO has seen most of them "
    "(946 stand in the training part of Karpathy's split, train and restval).",
)


def prepare_xtd10(request: Request, out: str | os.PathLike[str], *, parts: Mapping[str, Part] = PARTS) -> Prepared:
    """Makes the suite; see ``suites.prepare_suite``.

    Args:
        request: what the user has and wants.
        out: the folder to make.
        parts: what each split should hold.
    """
    known = Known(
        name="xtd10",
        title="XTD10",
        source="Cross-lingual-Test-Dataset-XTD10 (Aggarwal and Kale 2020; German and French of MIC, Japanese of STAIR)",
        licence="Adobe Research License, non-commercial research (captions); Flickr's terms of use (images, from COCO)",
        parts=parts,
        notes=NOTES,
    )
    return prepare_suite(known, read_xtd10, request, out)


def read_xtd10(files: Captions) -> tuple[list[Item], Absent]:
    """The items in the order of the list of images."""
    index = files.find(INDEX)
    if index is None:
        raise UserError(f"{files} holds no {INDEX} (XTD10's list of images; clone the whole repository).")
    names = image_list(files, index)
    captions, apart = aligned(_paths(files), files, len(names), index)
    absent = {("test", language): f"no test_1kcaptions_{SPELT.get(language, language)}.txt" for language in LANGUAGES}
    absent |= {("test", language): why for language, why in apart.items()}
    items = [
        Item(str(name), name, {language: [lines[place]] for language, lines in captions.items()})
        for place, name in enumerate(names)
    ]
    return items, absent


def _paths(files: Captions) -> dict[str, Path]:
    """The file of each language, in the order of tags."""
    found: dict[str, Path] = {}
    for path in files.all():
        match = _CAPTIONS.fullmatch(path.name)
        if match is None:
            continue
        try:
            tag = "ja" if match[1] == "jp" else language_tag(match[1])
        except UserError as error:
            raise DataError(f"{path}: {error}") from None
        if found.setdefault(tag, path).name != path.name:
            raise DataError(f"{found[tag]} and {path} are both {tag}; name the right one with {files.option}.")
        files.find(path.name)  # two that differ are refused
    return dict(sorted(found.items()))
