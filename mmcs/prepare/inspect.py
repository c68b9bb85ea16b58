"""What shards hold and what in them cannot be read: every sample goes through the stages that training reads with.

So what is reported as unusable here is what training drops, under the same causes (``mmcs.stream.drops.CAUSES``).
"""

from __future__ import annotations

import io
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from mmcs.common.image_formats import image_formats
from mmcs.prepare.records import SPLITS, Tally
from mmcs.progress import track
from mmcs.stream.decode import DecodeImage, image_file
from mmcs.stream.drops import HINTS, NO_LANGUAGE, BadSample, Drop
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import Reading, Shard


@dataclass(slots=True)
class Report:
    """Counts over all samples; ``problems`` holds those that cannot be used, by cause.

    ``captions`` counts texts by language (BCP 47), ``captioned`` the samples that have any in it; ``sides`` are the
    pictures' longer sides in pixels. ``no_language`` counts samples by key of ``captions`` that is no language, ``wrapped``
    the captions with line breaks in them.
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
    no_language: Counter[str] = field(default_factory=Counter)
    wrapped: int = 0
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
            "no_language": dict(self.no_language.most_common()),
            "captions_with_line_breaks": self.wrapped,
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


def inspect_shards(shards: str, reading: Reading | None = None) -> Report:
    """Reads and decodes every sample of ``shards``, named as ``mmcs.stream.sources.expand`` takes them.

    A prepared set's folder stands for all of its splits.

    Raises:
        UserError: no shard matches.
        DataError: a ``sizes.json`` cannot be used.
    """
    reading = reading or Reading()
    found = reading.expand(_splits_of(shards))
    report = Report(shards=len(found))
    pairs = list(zip(found, sizes(found), strict=True))
    total = sum(promised for _, promised in pairs)
    for sample in track(_samples(pairs, report, reading.text_language), "Reading", total):
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
    for cause in content["unusable"]:
        if cause in HINTS:
            console.print(f"{cause}: {HINTS[cause]}", markup=False)
    for key, count in content["no_language"].items():
        console.print(f"{count:,} samples have captions under {key}, {NO_LANGUAGE}: {HINTS[NO_LANGUAGE]}", markup=False)
    if report.wrapped:
        console.print(
            f"{report.wrapped:,} captions have line breaks: caption_lines of a source (--caption-lines) splits them"
        )


def _splits_of(shards: str) -> list[str]:
    """The folders of a prepared set's splits, or what was given."""
    folder = Path(shards)
    if not folder.is_dir() or any(folder.glob("*.tar")):
        return [shards]
    return [str(folder / split) for split in SPLITS if any((folder / split).glob("*.tar"))] or [shards]


def _samples(shards: list[tuple[Shard, int]], report: Report, language: str) -> Iterator[dict[str, Any] | None]:
    """Every sample through read, parse and decode; None for one that cannot be used, which is counted."""
    read, parse = ReadSample(), ParseSample(text_language=language)
    decode = DecodeImage(lambda image: image)
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
                content = image_file(sample)
                sample = decode(sample)
                sample["format"] = _format_of(content)
                yield sample
            except BadSample as problem:
                key = held.keys[ordinal] if ordinal < len(held) else ""
                _drop(report, Drop(problem.cause, shard.label, key or f"#{ordinal}", problem.detail))
                yield None
        for drop in read.surplus(shard, len(held)):
            _drop(report, drop)
            yield None


def _drop(report: Report, drop: Drop) -> None:
    detail = f" ({drop.detail})" if drop.detail else ""
    report.problems.add(drop.cause, f"{drop.shard}/{drop.key}{detail}")


def _format_of(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=image_formats()) as image:
            return image.format or "unknown"
    except Exception:  # a JPEG that only the faster decoder reads
        return "unknown"


def _count(report: Report, sample: dict[str, Any]) -> None:
    report.usable += 1
    report.no_language.update(detail for _, detail in sample.get("noted", ()))
    report.wrapped += sum("\n" in text for texts in sample["captions"].values() for text in texts)
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
