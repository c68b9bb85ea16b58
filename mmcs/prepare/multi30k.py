"""Multi30k: photographs of Flickr30k. Task 1 has one English caption an image and its translations (German, French, Czech);
task 2 has five English and five German ones, written independently.

``SPLIT.LANGUAGE`` (task 2: ``SPLIT.NUMBER.LANGUAGE``), with or without ``.gz``, go line by line with the lists of images in
``image_splits``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mmcs.errors import UserError
from mmcs.prepare.shards import Prepared
from mmcs.prepare.suite_files import Captions, aligned, image_list
from mmcs.prepare.suites import Absent, Item, Known, Part, Request, prepare_suite

TASKS = (1, 2)
# What each official split holds: images and languages; captions a language and image: one in task 1, five in task 2.
SIZES: dict[int, dict[str, tuple[int, tuple[str, ...]]]] = {
    1: {
        "train": (29000, ("en", "de", "fr", "cs")),
        "val": (1014, ("en", "de", "fr", "cs")),
        "test_2016_flickr": (1000, ("en", "de", "fr", "cs")),
        "test_2017_flickr": (1000, ("en", "de", "fr")),
        "test_2017_mscoco": (461, ("en", "de", "fr")),
        "test_2018_flickr": (1071, ("en", "de", "fr", "cs")),
    },
    2: {"train": (29000, ("en", "de")), "val": (1014, ("en", "de")), "test_2016": (1000, ("en", "de"))},
}
CAPTIONS_AN_IMAGE = {1: 1, 2: 5}
LANGUAGES = ("en", "de", "fr", "cs")
NOTES = {
    "test_2017_mscoco": (
        "Multi30k's test_2017_mscoco has 267 images of COCO's train2014 and 194 of its val2014: a model trained on COCO has "
        "seen most of them (409 stand in the training part of Karpathy's split, train and restval).",
    )
}


def prepare_multi30k(
    request: Request,
    out: str | os.PathLike[str],
    *,
    task: int = 1,
    test_set: str | None = None,
    sizes: Mapping[str, tuple[int, tuple[str, ...]]] | None = None,
) -> Prepared:
    """Makes the suite; see ``suites.prepare_suite``.

    Args:
        request: what the user has and wants.
        out: the folder to make.
        task: 1 or 2.
        test_set: which of the official test sets becomes the split ``test``; None: that of 2016.
        sizes: what each official split should hold; None: ``SIZES[task]``.

    Raises:
        UserError, DataError: also an unknown test set.
    """
    sizes = SIZES[task] if sizes is None else sizes
    tests = [name for name in sizes if name.startswith("test")]
    test_set = tests[0] if test_set is None else test_set
    if test_set not in tests:
        raise UserError(
            f"Multi30k's task {task} has no test set '{test_set}' (--test-set); it has: {', '.join(tests)}."
        )
    official = {"train": "train", "val": "val", "test": test_set}
    number = CAPTIONS_AN_IMAGE[task]
    parts = {
        split: Part(sizes[name][0], dict.fromkeys(sizes[name][1], number * sizes[name][0]))
        for split, name in official.items()
    }
    known = Known(
        name="multi30k",
        title=f"Multi30k (task {task})",
        source=f"Multi30k, task {task} (Elliott et al. 2016, 2017; Barrault et al. 2018); test split: {test_set}",
        licence="none stated (captions); Flickr's terms of use, non-commercial research and education (images)",
        parts=parts,
        notes=NOTES.get(test_set, ()),
    )
    asked = request.splits or tuple(official)

    def read(files: Captions) -> tuple[list[Item], Absent]:
        items: list[Item] = []
        absent: Absent = {}
        for split, name in official.items():
            if split in asked:
                own, missing = read_split(files, name, split, task)
                items, absent = items + own, absent | missing
        return items, absent

    return prepare_suite(known, read, request, out, {"task": task, "test_set": test_set})


def read_split(files: Captions, name: str, split: str, task: int) -> tuple[list[Item], Absent]:
    """The items of an official split, in the order of its list of images.

    A language of which a file is missing or does not line up is left out of the split.

    Raises:
        UserError: there is no list.
    """
    lists = (f"{name}.txt", f"{name}_images.txt")
    index = files.find(*(lists if task == 1 else reversed(lists)))
    if index is None:
        raise UserError(
            f"{files} holds no {lists[task - 1]} (a list of images of Multi30k, in its folder image_splits); clone the whole "
            "repository, or name other splits with --splits."
        )
    names = image_list(files, index)
    numbers = [""] if task == 1 else [f".{number}" for number in range(1, CAPTIONS_AN_IMAGE[task] + 1)]
    columns: dict[str, list[list[str]]] = {}
    absent: Absent = {}
    for language in LANGUAGES:
        stems = [f"{name}{number}.{language}" for number in numbers]
        paths: dict[str, Path] = {stem: path for stem in stems if (path := files.find(stem, f"{stem}.gz")) is not None}
        lines, apart = aligned(paths, files, len(names), index)
        if len(lines) == len(stems):
            columns[language] = [lines[stem] for stem in stems]
        else:
            missing = next((stem for stem in stems if stem not in paths), "")
            absent[split, language] = next(iter(apart.values()), f"no {missing}")
    items = [
        Item(str(image), image, {language: [lines[place] for lines in own] for language, own in columns.items()}, split)
        for place, image in enumerate(names)
    ]
    return items, absent
