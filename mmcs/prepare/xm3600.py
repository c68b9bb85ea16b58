"""Crossmodal-3600 (XM3600): 3,600 photographs from all over the world, captions in 36 languages written by people.

``captions.jsonl`` has an object a line: ``image/key``, ``image/locale``, and by language an object with the list ``caption``;
its tokenised copies are not read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.prepare.shards import Prepared
from mmcs.prepare.suite_files import Captions, Listed, as_path, as_texts
from mmcs.prepare.suites import Absent, Item, Known, Part, Request, prepare_suite

# Thapliyal et al. 2022, table of captions per language; together 261,375.
CAPTIONS = {
    "ar": 7367, "bn": 3600, "cs": 7207, "da": 7264, "de": 8643, "el": 7204, "en": 7200, "es": 8614, "fa": 7245, "fi": 7127,
    "fil": 7109, "fr": 8562, "he": 7200, "hi": 8503, "hr": 7280, "hu": 7216, "id": 7126, "it": 8471, "ja": 7185, "ko": 7650,
    "mi": 4732, "nl": 8059, "no": 7213, "pl": 7141, "pt": 7243, "quz": 7200, "ro": 7123, "ru": 7200, "sv": 7273, "sw": 7046,
    "te": 7200, "th": 7200, "tr": 7233, "uk": 7215, "vi": 7350, "zh-Hans": 7174,
}  # fmt: skip
PARTS = {"test": Part(3600, CAPTIONS)}


def prepare_xm3600(request: Request, out: str | os.PathLike[str], *, parts: Mapping[str, Part] = PARTS) -> Prepared:
    """Makes the suite; see ``suites.prepare_suite``.

    Args:
        request: what the user has and wants.
        out: the folder to make.
        parts: what each split should hold.
    """
    known = Known(
        name="xm3600",
        title="XM3600",
        source="Crossmodal-3600 (Thapliyal et al. 2022), captions.jsonl and its images",
        licence="CC-BY-4.0 (captions); CC-BY-2.0, each by its author (images, from Open Images)",
        parts=parts,
        protocols=("first_caption", "all_captions"),
    )
    return prepare_suite(known, read_xm3600, request, out)


def read_xm3600(files: Captions) -> tuple[list[Item], Absent]:
    """The items of ``captions.jsonl``, in its order."""
    path = files.only("captions.jsonl", "XM3600's captions; unpack captions.zip")
    items: list[Item] = []
    listed, tags = Listed(), dict[str, str]()
    for where, row in files.rows(path):
        key = row.get("image/key")
        image = as_path(f"{key}.jpg" if isinstance(key, str) and key else None, f"{where} (image/key)")
        listed.add(str(key), where)
        captions: dict[str, list[str]] = {}
        for name, value in row.items():
            if name.startswith("image/") or not isinstance(value, dict):
                continue
            if name not in tags:
                try:
                    tags[name] = language_tag(name)
                except UserError as error:
                    raise DataError(f"{where}: {error}") from None
            captions.setdefault(tags[name], []).extend(as_texts(value.get("caption"), f"{where} ({name}, caption)"))
        items.append(Item(str(key), image, captions))
    return items, {}
