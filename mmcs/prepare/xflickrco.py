"""xFlickr&CO: 1,000 photographs of Flickr30k and 1,000 of COCO, one caption each in eight languages, written anew by people.

``annotations/LANGUAGE/test.jsonl`` has an object a line: ``img_path``, ``id``, ``sentences`` (a list).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.prepare.shards import Prepared
from mmcs.prepare.suite_files import Captions, Listed, as_path, as_texts
from mmcs.prepare.suites import Absent, Item, Known, Part, Request, prepare_suite

LANGUAGES = ("en", "de", "es", "id", "ja", "ru", "tr", "zh-Hans")
PARTS = {"test": Part(2000, dict.fromkeys(LANGUAGES, 2000))}
FILE = "test.jsonl"
NOTES = (
    "1,000 of xFlickr&CO's 2,000 images are Karpathy's test split of COCO, out of COCO's val2014: a model trained on all of "
    "COCO has seen them. The other 1,000 are Karpathy's test split of Flickr30k.",
)


def prepare_xflickrco(request: Request, out: str | os.PathLike[str], *, parts: Mapping[str, Part] = PARTS) -> Prepared:
    """Makes the suite; see ``suites.prepare_suite``.

    Args:
        request: what the user has and wants.
        out: the folder to make.
        parts: what each split should hold.
    """
    known = Known(
        name="xflickrco",
        title="xFlickr&CO",
        source="xFlickr&CO of IGLUE (Bugliarello et al. 2022), annotations/LANGUAGE/test.jsonl",
        licence="MIT (the repository of the captions); Flickr's terms of use (images, from Flickr30k and COCO)",
        parts=parts,
        notes=NOTES,
    )
    return prepare_suite(known, read_xflickrco, request, out)


def read_xflickrco(files: Captions) -> tuple[list[Item], Absent]:
    """The items in the order of the English file, then those that only others have."""
    paths = _paths(files)
    images: dict[str, PurePosixPath] = {}
    captions: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for language in sorted(paths, key=lambda tag: (tag != "en", tag)):
        listed = Listed()
        for where, row in files.rows(paths[language]):
            image = as_path(row.get("img_path"), f"{where} (img_path)")
            listed.add(str(image), where)
            images[str(image)] = image
            captions[str(image)][language] = as_texts(row.get("sentences"), f"{where} (sentences)")
    absent = {("test", language): f"no {language.partition('-')[0]}/{FILE}" for language in LANGUAGES}
    return [Item(name, image, captions[name]) for name, image in images.items()], absent


def _paths(files: Captions) -> dict[str, Path]:
    """The file of each language.

    The repository holds other sets' ``test.jsonl`` as well; where there is more than one folder of languages, the one below
    ``xFlickrCO`` is taken.
    """
    folders: dict[Path, dict[str, Path]] = defaultdict(dict)
    for path in files.all():
        if path.name != FILE:
            continue
        try:
            folders[path.resolve().parent.parent][language_tag(path.resolve().parent.name)] = path
        except UserError:  # a folder that is no language: another set
            continue
    if len(folders) > 1:
        folders = {folder: found for folder, found in folders.items() if "xFlickrCO" in folder.parts}
    if not folders:
        raise UserError(f"{files} holds no LANGUAGE/{FILE} (the folder xFlickrCO/annotations of IGLUE's repository).")
    if len(folders) > 1:
        raise DataError(f"{' and '.join(map(str, folders))} both hold LANGUAGE/{FILE}; name one with {files.option}.")
    (found,) = folders.values()
    return found
