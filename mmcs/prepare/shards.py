"""Records into a prepared set: img2dataset's layout, one folder per split, a manifest in each and one above.

    OUT/manifest.json
    OUT/{train,val,test}/{00000..}.tar, sizes.json, manifest.json      (no folder for a split without samples)

The tars are the same byte for byte whenever the records are. OUT appears only when all of it is there. Called by
stamps.py, emoji.py, table.py and suites.py; reading shards is the business of mmcs/stream.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mmcs.errors import DataError
from mmcs.files import atomic_folder
from mmcs.prepare.images import ImageError, Picture
from mmcs.prepare.layout import Plan
from mmcs.prepare.records import SPLITS, Record, Tally

SCHEMA = 2  # 1: concepts were cut at any article, and so were the splits
MANIFEST = "manifest.json"
CHUNK = 64  # records in memory at a time
ALLOWED_BY = "--max-dropped"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a set comes from.

    Attributes:
        name: of the set.
        source, licence: in words.
        arguments: what else was asked for (for reuse).
        evaluation: for sets that are evaluated on, called when all records are written: ``protocols`` by name, which
            figures are quoted with, and ``notes``, sentences printed with every figure.
    """

    name: str
    source: str
    licence: str
    arguments: dict[str, Any] = field(default_factory=dict)
    evaluation: Callable[[], dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A complete prepared set: its folder, its manifest, and whether it was there already."""

    folder: Path
    manifest: dict[str, Any]
    reused: bool


def write_splits(
    records: Iterable[Record],
    out: str | os.PathLike[str],
    origin: Origin,
    layout: Plan,
    *,
    left_out: Tally,
    dropped: Tally,
    max_dropped: float = 0.1,
    allowed_by: str = ALLOWED_BY,
) -> Prepared:
    """Streams records into the shards of a prepared set.

    Args:
        records: in the order of the samples; same order, same bytes.
        out: the folder to make.
        origin: where they come from.
        layout: which split each falls into, and what of its picture is kept.
        left_out: what the source chose to leave out; it may be filled while the records are drawn.
        dropped: what could not be used; pictures that cannot be converted are added here.
        max_dropped: the share of dropped records above which nothing is written.
        allowed_by: the option that raises it, for the sentence of the error.

    Raises:
        DataError: no sample is left, or more than ``max_dropped`` of the records could not be used.
        UserError: ``out`` holds something already.
    """
    with atomic_folder(out) as partial:
        writers = {split: SplitWriter(partial / split, layout.samples_per_shard) for split in SPLITS}
        for record, picture in converted(records, layout):
            writer = writers[layout.split(record)]
            if isinstance(picture, ImageError):
                writer.dropped.add(str(picture), record.name)
                dropped.add(str(picture), record.name)
            else:
                writer.write(record, picture)
        for writer in writers.values():
            writer.close()
        written = {split: writer for split, writer in writers.items() if writer.samples}
        refuse_losses(sum(writer.samples for writer in written.values()), dropped.as_dict(), max_dropped, allowed_by)
        head: dict[str, Any] = {
            "schema": SCHEMA,
            "name": origin.name,
            "source": origin.source,
            "licence": origin.licence,
        }
        if origin.evaluation is not None:
            head["evaluation"] = origin.evaluation()
        summaries = {split: writer.summary() for split, writer in written.items()}
        for split, summary in summaries.items():
            _write_json(partial / split / MANIFEST, {**head, "split": split, **summary})
        manifest = {
            **head,
            "arguments": {**layout.as_dict(), **origin.arguments},
            **_added_up(summaries.values()),
            "splits": summaries,
            "left_out": left_out.as_dict(),
            "dropped": dropped.as_dict(),
        }
        _write_json(partial / MANIFEST, manifest)
    return Prepared(Path(out), manifest, reused=False)


def converted(records: Iterable[Record], layout: Plan) -> Iterator[tuple[Record, Picture | ImageError]]:
    """Each record with its converted picture, or with the reason why there is none; in order, in threads."""

    def one(record: Record) -> Picture | ImageError:
        try:
            return layout.picture(record)
        except ImageError as error:
            return error

    stream = iter(records)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore", UserWarning)  # Pillow's about damaged metadata, which it passes over
        while chunk := list(islice(stream, CHUNK)):
            yield from zip(chunk, pool.map(one, chunk), strict=True)


class SplitWriter:
    """Writes one split's samples into numbered tars and counts what they hold. The folder is made by the first."""

    def __init__(self, folder: Path, samples_per_shard: int) -> None:
        self.folder = folder
        self.samples_per_shard = samples_per_shard
        self.samples = 0
        self.sizes: dict[str, int] = {}
        self.captions: Counter[str] = Counter()
        self.groups: set[str] = set()
        self.dropped = Tally()
        self._tar: tarfile.TarFile | None = None

    def write(self, record: Record, picture: Picture) -> None:
        shard, index = divmod(self.samples, self.samples_per_shard)
        name = f"{shard:05d}.tar"
        if index == 0:
            self._open(name)
        key = f"{shard:05d}{index:04d}"
        meta = {
            "key": key,
            "url": record.name,
            "caption": record.caption,
            "captions": record.captions,
            "group": record.group,
            "width": picture.width,
            "height": picture.height,
            "original_width": picture.original_width,
            "original_height": picture.original_height,
            "sha256": hashlib.sha256(picture.jpeg).hexdigest(),
        }
        self._add(f"{key}.jpg", picture.jpeg)
        self._add(f"{key}.json", json.dumps(meta, ensure_ascii=False).encode())
        self._add(f"{key}.txt", record.caption.encode())
        self.samples += 1
        self.sizes[name] = index + 1
        self.groups.add(record.group)
        self.captions["en"] += 1
        self.captions.update({language: len(texts) for language, texts in record.captions.items()})

    def close(self) -> None:
        """Ends the last tar and writes ``sizes.json``."""
        if self._tar is not None:
            self._tar.close()
            _write_json(self.folder / "sizes.json", self.sizes)

    def summary(self) -> dict[str, Any]:
        """The counts of the split, for its manifest."""
        return {
            "samples": self.samples,
            "groups": len(self.groups),
            "shards": len(self.sizes),
            "captions": dict(sorted(self.captions.items())),
            "dropped": self.dropped.as_dict(),
        }

    def _open(self, name: str) -> None:
        if self._tar is not None:
            self._tar.close()
        self.folder.mkdir(exist_ok=True)
        self._tar = tarfile.open(self.folder / name, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (close() ends it)

    def _add(self, name: str, data: bytes) -> None:
        assert self._tar is not None
        info = tarfile.TarInfo(name)  # its time and owner are 0, so that the same samples give the same bytes
        info.size = len(data)
        info.mode = 0o644
        self._tar.addfile(info, io.BytesIO(data))


def _added_up(summaries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    captions: Counter[str] = Counter()
    samples = groups = 0
    for summary in summaries:
        captions.update(summary["captions"])
        samples += summary["samples"]
        groups += summary["groups"]  # a group is in one split
    return {"samples": samples, "groups": groups, "captions": dict(sorted(captions.items()))}


def refuse_losses(written: int, dropped: dict[str, dict[str, Any]], max_dropped: float, allowed_by: str) -> None:
    """Raises DataError where nothing was written, or more than the share ``max_dropped`` was dropped (``Tally.as_dict``)."""
    causes = ", ".join(f"{cause}: {own['count']} (such as {own['examples'][0]})" for cause, own in dropped.items())
    if not written:
        raise DataError(f"No picture with a caption is left, so there is nothing to write ({causes or 'none found'}).")
    lost = sum(own["count"] for own in dropped.values())
    if lost > max_dropped * (written + lost):
        bound = f", more than {max_dropped:.0%}" if max_dropped else ""
        raise DataError(
            f"{lost} of {written + lost} pictures cannot be used{bound} ({causes}); "
            f"fix them, or allow more with {allowed_by}."
        )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
