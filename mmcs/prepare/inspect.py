"""What shards hold and what in them cannot be read: every sample goes through the stages that training reads with.

So what is reported as unusable here is what training drops, under the same causes (``mmcs.stream.drops.CAUSES``).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mmcs.prepare.images import ImageError, open_image
from mmcs.prepare.records import SPLITS, Tally
from mmcs.progress import track
from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import BadSample
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import IMAGE_EXTENSIONS, ReadSample
from mmcs.stream.sources import Shard, expand, sizes


@dataclass(slots=True)
class Report:
    """Counts over all samples; ``problems`` holds those that cannot be used, by cause.

    ``captions`` counts texts by language (BCP 47), ``captioned`` the samples that have any in it; ``sides`` are the
    pictures' longer sides in pixels.
    """

    shards: int = 0
    bytes: int = 0
    samples: int = 0
    usable: int = 0
    groups: set[str] = field(default_factory=set)
    captions: Counter[str] = field(default_factory=Counter)
    captioned: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    sides: Counter[int] = field(default_factory=Counter)
    problems: Tally = field(default_factory=Tally)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        by_number = sorted(self.captions, key=lambda language: (-self.captions[language], language))
        return {
            "shards": self.shards,
            "bytes": self.bytes,
            "samples": self.samples,
            "usable": self.usable,
            "groups": len(self.groups),
            "captions": {
                language: {"texts": self.captions[language], "samples": self.captioned[language]}
                for language in by_number
            },
            "image_formats": dict(self.formats.most_common()),
            "image_longer_side": self._sides(),
            "unusable": self.problems.as_dict(),
        }

    def _sides(self) -> dict[str, float]:
        if not self.sides:
            return {}
        return {
            "smallest": min(self.sides),
            "median": statistics.median(self.sides.elements()),
            "largest": max(self.sides),
        }


def inspect_shards(shards: str) -> Report:
    """Reads and decodes every sample of ``shards``, named as ``mmcs.stream.sources.expand`` takes them.

    A prepared set's folder stands for all of its splits.

    Raises:
        UserError: no shard matches.
        DataError: a ``sizes.json`` cannot be used.
    """
    found = expand(_splits_of(shards))
    report = Report(shards=len(found))
    pairs = list(zip(found, sizes(found), strict=True))
    total = sum(promised for _, promised in pairs)
    for sample in track(_samples(pairs, report), "Reading", total):
        report.samples += 1
        if sample is not None:
            _count(report, sample)
    return report


def print_report(report: Report, console: Console | None = None) -> None:
    """Prints the report: tables on a terminal, plain lines elsewhere."""
    console = console or Console(soft_wrap=True, highlight=False)
    content = report.as_dict()
    side = content["image_longer_side"]
    console.print(
        f"{content['samples']:,} samples ({content['usable']:,} usable) in {content['shards']:,} shards, "
        f"{content['bytes']:,} bytes, {content['groups']:,} groups"
    )
    if side:
        formats = ", ".join(f"{name} {n:,}" for name, n in content["image_formats"].items())
        console.print(
            f"images: {formats}; longer side {side['smallest']} to {side['largest']} px, median {side['median']:g}"
        )
    captions = [(tag, f"{each['texts']:,}", f"{each['samples']:,}") for tag, each in content["captions"].items()]
    unusable = [
        (cause, f"{each['count']:,}", ", ".join(each["examples"])) for cause, each in content["unusable"].items()
    ]
    print_table(console, "captions", ("language", "texts", "samples"), captions)
    print_table(console, "unusable", ("cause", "samples", "first"), unusable)


def _splits_of(shards: str) -> list[str]:
    """The folders of a prepared set's splits, or what was given."""
    folder = Path(shards)
    if not folder.is_dir() or any(folder.glob("*.tar")):
        return [shards]
    return [str(folder / split) for split in SPLITS if any((folder / split).glob("*.tar"))] or [shards]


def _samples(shards: list[tuple[Shard, int]], report: Report) -> Iterator[dict[str, Any] | None]:
    """Every sample through read, parse and decode; None for one that cannot be used, which is counted."""
    read, parse, decode = ReadSample(), ParseSample(), DecodeImage(lambda image: image)
    for shard, promised in shards:
        try:
            held = read.index(shard)
            report.bytes += read.length(shard)
        except OSError as problem:
            report.problems.add("unreadable archive", f"{shard.label} ({problem})")
            continue
        for ordinal in range(max(len(held), promised)):
            sample: dict[str, Any] = {"origin": shard, "ordinal": ordinal, "promised": promised, "epoch": 0, "pass": 0}
            try:
                if promised <= ordinal < len(held) and ordinal not in held.damage:
                    raise BadSample("not in sizes.json")
                sample = parse(read(sample))
                content = next((sample["files"][name] for name in IMAGE_EXTENSIONS if name in sample["files"]), b"")
                sample = decode(sample)
                sample["format"] = _format_of(content)
                yield sample
            except BadSample as problem:
                key = held.keys[ordinal] if ordinal < len(held) else ""
                detail = f" ({problem.detail})" if problem.detail else ""
                report.problems.add(problem.cause, f"{shard.label}/{key or f'#{ordinal}'}{detail}")
                yield None


def _format_of(content: bytes) -> str:
    try:
        return open_image(content).format or "unknown"
    except ImageError:  # a JPEG that only the faster decoder reads
        return "unknown"


def _count(report: Report, sample: dict[str, Any]) -> None:
    report.usable += 1
    report.groups.add(sample["group"])
    for language, texts in sample["captions"].items():
        report.captions[language] += len(texts)
        report.captioned[language] += 1
    report.formats[sample["format"]] += 1
    report.sides[max(sample["image"].shape[1:])] += 1


def print_table(console: Console, title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A table on a terminal, lines with tabs elsewhere, nothing without rows."""
    if not rows:
        return
    if not console.is_terminal:
        print(f"{title}:", file=console.file)
        for row in rows:
            print("  " + "\t".join(row), file=console.file)
        return
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
