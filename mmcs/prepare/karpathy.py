"""Karpathy's splits of COCO and of Flickr30k: English, five captions or a few more an image.

``dataset_coco.json`` and ``dataset_flickr30k.json`` hold ``images``, each with ``filename``, ``filepath`` (COCO), ``split`` and
``sentences``, whose ``raw`` is read. COCO's ``restval`` belongs to the training split, as everybody takes it.
"""

from __future__ import annotations

import os
from typing import Any

from mmcs.errors import DataError
from mmcs.prepare.shards import Prepared
from mmcs.prepare.suite_files import Captions, Listed, as_object, as_path, as_texts, parse_json
from mmcs.prepare.suites import Absent, Item, Known, Part, Request, prepare_suite

SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}
# What is read of the file's objects: the rest (tokens, above all) would take most of the memory.
READ = frozenset(("dataset", "images", "filename", "filepath", "split", "sentences", "raw"))
COCO = Known(
    name="coco-karpathy",
    title="COCO (Karpathy)",
    source="COCO captions, Karpathy's split (dataset_coco.json)",
    licence="CC-BY-4.0 (captions); Flickr's terms of use (images)",
    parts={
        "train": Part(113_287, {"en": 566_747}),
        "val": Part(5000, {"en": 25_010}),
        "test": Part(5000, {"en": 25_010}),
    },
    notes=(
        "The images of Karpathy's val and test splits are out of COCO's val2014: a model trained on all of COCO has seen them.",
        "All captions count, 25,010 in the test split; figures elsewhere on five captions an image have 25,000.",
    ),
)
FLICKR = Known(
    name="flickr-karpathy",
    title="Flickr30k (Karpathy)",
    source="Flickr30k captions, Karpathy's split (dataset_flickr30k.json)",
    licence="Flickr's terms of use, non-commercial research and education (images and captions)",
    parts={
        "train": Part(29_000, {"en": 145_000}),
        "val": Part(1014, {"en": 5070}),
        "test": Part(1000, {"en": 5000}),
    },
)


def prepare_karpathy(known: Known, request: Request, out: str | os.PathLike[str]) -> Prepared:
    """Makes the suite; see ``suites.prepare_suite``.

    Args:
        known: ``COCO`` or ``FLICKR``.
        request: what the user has and wants.
        out: the folder to make.
    """
    dataset = known.name.partition("-")[0]
    name = {"coco": "dataset_coco.json", "flickr": "dataset_flickr30k.json"}[dataset]

    def read(files: Captions) -> tuple[list[Item], Absent]:
        return read_karpathy(files, name, dataset), {}

    return prepare_suite(known, read, request, out)


def read_karpathy(files: Captions, name: str, dataset: str) -> list[Item]:
    """The items of the file ``name``, in its order; its ``dataset`` has to begin with ``dataset``."""
    path = files.only(name, "Karpathy's split, out of caption_datasets.zip")
    content = as_object(parse_json(files.text(path), str(path), _trimmed), str(path))
    told = content.get("dataset", dataset)
    if not isinstance(told, str) or not told.startswith(dataset):
        raise DataError(f"{path} is of {told}, not of {dataset}; name {name} with {files.option}.")
    images = content.get("images")
    if not isinstance(images, list):
        raise DataError(f"{path} has no list 'images'; it is no file of Karpathy's splits.")
    listed = Listed()
    return [_item(image, f"{path} image {place}", listed) for place, image in enumerate(images)]


def _item(value: Any, where: str, listed: Listed) -> Item:
    image = as_object(value, where)
    name = file = as_path(image.get("filename"), f"{where} (filename)")
    listed.add(str(name), where)
    if image.get("split") not in SPLITS:
        raise DataError(f"{where} is in the split {image.get('split')!r}; known are {', '.join(SPLITS)}.")
    if image.get("filepath"):
        file = as_path(f"{image['filepath']}/{name}", f"{where} (filepath)")
    sentences = image.get("sentences")
    if not isinstance(sentences, list):
        raise DataError(f"{where} has no list 'sentences'.")
    raw = [as_object(sentence, f"{where} (sentences)").get("raw") for sentence in sentences]
    return Item(str(name), file, {"en": as_texts(raw, f"{where} (sentences, raw)")}, SPLITS[image["split"]])


def _trimmed(value: dict[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in value if key in READ}
