"""Small folders in the shape of the official ones, made by hand, and the counts that go with them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from mmcs.prepare.karpathy import COCO
from mmcs.prepare.suites import Part, Request


def photograph(number: int, size: tuple[int, int] = (60, 40), kind: str = "JPEG", **options) -> bytes:
    """A picture of its own, noisy enough that encoding it anew would change its bytes."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind, **options)
    return buffer.getvalue()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def images(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        write(folder / name, photograph(number))
    return folder


def request(folder: Path, **options) -> Request:
    return Request([folder / "images"], [folder / "captions"], **options)


def samples(shards: Path) -> list[dict]:
    """The samples of a split in their order: the ``.json`` with the bytes of the picture and the text beside it."""
    found: dict[str, dict] = {}
    for shard in sorted(shards.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, extension = member.name.split(".")
                found.setdefault(key, {})[extension] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return [json.loads(each["json"]) | {"jpg": each["jpg"], "txt": each["txt"].decode()} for each in found.values()]


def json_lines(*rows: dict) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


XM_KEYS = ("0a", "0b", "0c")
XM_PARTS = {"test": Part(3, {"en": 6, "de": 5, "zh-Hans": 3})}


def xm_rows() -> list[dict]:
    """Two English captions an image, one or two German, one Chinese; fields that the official file has beside them."""
    rows = []
    for key in XM_KEYS:
        german = [f"Bild {key}", f"Foto {key}"] if key != "0b" else ["Bild 0b"]
        row: dict = {"image/key": key, "image/locale": "de"}
        for language, texts in {
            "de": german,
            "en": [f"z first of {key}", f"a second of {key}"],
            "zh": [f"图 {key}"],
        }.items():
            row[language] = {
                "caption": texts,
                "caption/tokenized": ["not this"],
                "caption/tokenized/lowercase": ["nor this"],
            }
        rows.append(row)
    return rows


def xm3600(folder: Path, rows: list[dict] | None = None) -> Path:
    write(folder / "captions" / "captions.jsonl", json_lines(*(xm_rows() if rows is None else rows)))
    images(folder / "images", *(f"{key}.jpg" for key in XM_KEYS))
    return folder


XTD_IMAGES = ("COCO_train2014_000000000009.jpg", "COCO_val2014_000000000042.jpg", "COCO_train2014_000000000025.jpg")
XTD_PARTS = {"test": Part(3, {"en": 3, "de": 3, "ja": 3, "ru": 3})}


def xtd10(folder: Path) -> Path:
    """The repository: English and Russian in XTD10, German in MIC, Japanese in STAIR; some lines end as Windows ends them."""
    root = folder / "captions"
    write(root / "XTD10/test_image_names.txt", "".join(f"{name}\n" for name in XTD_IMAGES))
    write(root / "XTD10/test_1kcaptions_en.txt", "a zebra\na dog\na cat\n")
    write(root / "XTD10/test_1kcaptions_ru.txt", "зебра\r\nсобака\u2028она спит\r\nкошка")
    write(root / "MIC/test_1kcaptions_de.txt", "ein Zebra\nein Hund\neine Katze\n")
    write(root / "STAIR/test_1kcaptions_jp.txt", "シマウマ\n犬\u3000です\n猫\n")
    write(root / "README.md", "# XTD10\n")
    images(folder / "images" / "train2014", XTD_IMAGES[0], XTD_IMAGES[2])
    images(folder / "images" / "val2014", XTD_IMAGES[1])
    return folder


M30K_IMAGES = {
    "train": ("1.jpg", "2.jpg"),
    "val": ("3.jpg",),
    "test_2016_flickr": ("4.jpg",),
    "test_2017_mscoco": ("5.jpg",),
}
M30K_SIZES = {
    "train": (2, ("en", "de", "cs")),
    "val": (1, ("en", "de", "cs")),
    "test_2016_flickr": (1, ("en", "de", "cs")),
    "test_2017_mscoco": (1, ("en", "de")),
}
M30K_TASK2_SIZES = {"train": (2, ("en", "de")), "val": (1, ("en", "de")), "test_2016": (1, ("en", "de"))}


def multi30k(folder: Path) -> Path:
    """The repository with both tasks; the tokenised copies beside the raw files must not be taken."""
    root = folder / "captions" / "data"
    for split, names in M30K_IMAGES.items():
        mark = "#367178" if split == "test_2017_mscoco" else ""
        write(root / f"task1/image_splits/{split}.txt", "".join(f"{name}{mark}\n" for name in names))
        for language in M30K_SIZES[split][1]:
            text = "".join(f"{language} of {name}\n" for name in names)
            write(root / f"task1/raw/{split}.{language}.gz", gzip.compress(text.encode()))
            write(root / f"task1/tok/{split}.lc.norm.tok.{language}", "tokenised\n" * len(names))
    for split, names in {"train": ("1.jpg", "2.jpg"), "val": ("3.jpg",), "test_2016": ("4.jpg",)}.items():
        write(root / f"task2/image_splits/{split}_images.txt", "".join(f"{name}\n" for name in names))
        for number in range(1, 6):
            for language in ("en", "de"):
                text = "".join(f"{language} {6 - number} of {name}\n" for name in names)
                write(root / f"task2/raw/{split}.{number}.{language}.gz", gzip.compress(text.encode()))
    images(folder / "images" / "flickr30k-images", *(f"{number}.jpg" for number in range(1, 6)))
    return folder


XFLICKR_PARTS = {"test": Part(2, {"en": 2, "de": 2, "zh-Hans": 2})}


def xflickrco(folder: Path) -> Path:
    """A clone of IGLUE: another set has files of the same names, languages list images in different orders."""
    root = folder / "captions" / "datasets"
    flickr = {"id": "100", "img_path": "100.jpg"}
    coco = {"id": 7, "img_path": "COCO_val2014_000000000007.jpg"}
    annotations = root / "xFlickrCO" / "annotations"
    write(
        annotations / "en/test.jsonl",
        json_lines({"sentences": ["A  man. "], **flickr}, {"sentences": ["Food."], **coco}),
    )
    write(
        annotations / "de/test.jsonl",
        json_lines({"sentences": ["Essen."], **coco}, {"sentences": ["Ein Mann."], **flickr}),
    )
    write(annotations / "zh/test.jsonl", json_lines({"sentences": [""], **flickr}, {"sentences": ["食物"], **coco}))
    write(annotations / "de/train_1.jsonl", "not read\n")
    write(root / "xFlickrCO/annotations_machine-translate/de/test_gmt.jsonl", "not read\n")
    write(root / "XVNLI/annotations/en/test.jsonl", json_lines({"premise": "not this"}))
    images(folder / "images" / "flickr30k", "100.jpg")
    images(folder / "images" / "coco" / "val2017", "000000000007.jpg")
    return folder


def karpathy_image(split: str, number: int, *raw: str) -> dict:
    sentences = [
        {"tokens": text.lower().split(), "raw": text, "imgid": number, "sentid": place}
        for place, text in enumerate(raw)
    ]
    return {
        "filepath": "val2014" if split != "train" else "train2014",
        "filename": f"COCO_{'val' if split != 'train' else 'train'}2014_{number:012d}.jpg",
        "imgid": number,
        "split": split,
        "sentids": list(range(len(raw))),
        "sentences": sentences,
        "cocoid": number,
    }


KARPATHY_PARTS = {"train": Part(2, {"en": 3}), "val": Part(1, {"en": 1}), "test": Part(1, {"en": 3})}
COCO_SMALL = replace(COCO, parts=KARPATHY_PARTS)


def karpathy(folder: Path, rows: list[dict] | None = None, dataset: str = "coco") -> Path:
    rows = rows or [
        karpathy_image("test", 1, "A man on a moped. ", "A man.", "A man."),
        karpathy_image("restval", 2, "A cat", "Another\ncat"),
        karpathy_image("train", 3, "A dog"),
        karpathy_image("val", 4, "A bird"),
    ]
    write(folder / "captions" / "dataset_coco.json", json.dumps({"images": rows, "dataset": dataset}))
    for row in rows:
        images(folder / "images", f"{row['filepath']}/{row['filename']}")
    return folder
