"""Queries that one system finds and the other does not, with the images that both put first.

Chosen by rule, gains and losses alike, so that the page does not show the pretty ones only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.trec import read_qrels, read_run
from mmcs.report.comparison import Comparison, SuiteComparison
from mmcs.report.runs import Key, System

Pictures = Callable[[str], "bytes | None"]
SHOWN = 5  # images per query and system
LANGUAGES = 3


@dataclass(frozen=True)
class Image:
    """A retrieved image: its id, whether it is right, and the picture as a data URI (None without pictures)."""

    name: str
    right: bool
    picture: str | None


@dataclass(frozen=True)
class Example:
    """One query: the rank of the right image before (baseline) and after, and both systems' first images."""

    language: str
    text: str
    gained: bool
    before: int
    after: int
    images_before: list[Image]
    images_after: list[Image]


def examples(comparison: Comparison, part: SuiteComparison, after: System, pictures: Pictures | None) -> list[Example]:
    """In up to three languages the query that gained most and the one that lost most, by 1 / rank.

    Args:
        comparison: supplies the baseline.
        part: the suite.
        after: the system shown against the baseline.
        pictures: image id → JPEG bytes, or None where there are none.
    """
    foreign = [language for language in part.languages if language not in part.sets.get("en", [])]
    chosen = []
    for language in foreign[:LANGUAGES]:
        key = (part.suite, part.split, language, TASKS[0])
        before_run, after_run = comparison.baseline.runs[0], after.runs[0]
        queries = before_run.queries[key]
        before, now = queries.ranks, after_run.queries[key].ranks
        change = 1 / now - 1 / before
        for place in dict.fromkeys((int(np.argmax(change)), int(np.argmin(change)))):
            if change[place] == 0:
                continue
            chosen.append(
                Example(
                    language=language,
                    text=queries.texts[place],
                    gained=bool(change[place] > 0),
                    before=int(before[place]),
                    after=int(now[place]),
                    images_before=_first(comparison.baseline, key, queries.ids[place], pictures),
                    images_after=_first(after, key, queries.ids[place], pictures),
                )
            )
    return chosen


def _first(system: System, key: Key, query: str, pictures: Pictures | None) -> list[Image]:
    stem = system.runs[0].path / "retrieval" / system.runs[0].queries[key].about.file
    run = stem.with_name(f"{stem.name}.run.gz")
    if pictures is None or not run.is_file():
        return []
    right = read_qrels(stem.with_name(f"{stem.name}.qrels")).get(query, set())
    return [Image(name, name in right, _data_uri(pictures(name))) for name in read_run(run)[query][:SHOWN]]


def _data_uri(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
