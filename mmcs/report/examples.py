"""Queries whose right image moved most between two systems, with the images that both put first.

Chosen by rule, gains and losses alike, so that the page does not show the pretty ones only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.trec import Queries, read_qrels, read_run
from mmcs.report.comparison import Comparison, SuiteComparison
from mmcs.report.picture import Pictures, thumbnail
from mmcs.report.runs import Key, Run, System
from mmcs.retrieval.languages import ENGLISH

SHOWN = 5  # images per query and system
_FEW = 20  # languages: up to so many, two queries that gained and two that lost are shown for each, beyond it one


@dataclass(frozen=True)
class Image:
    """A retrieved image.

    Attributes:
        name: its id.
        caption: what it shows, in English; its id where the suite has no English captions.
        right: whether it is one that the query asks for.
        picture: a data URI; None without pictures.
    """

    name: str
    caption: str
    right: bool
    picture: str | None


@dataclass(frozen=True)
class Example:
    """One query, asked before (the baseline) and after.

    Attributes:
        english: its text in English; None where the suite has none.
        gained: whether the right image climbed.
        before, after: the right image's place; n_gallery: of how many.
        images_before, images_after: the first images, best first.
    """

    text: str
    english: str | None
    gained: bool
    before: int
    after: int
    n_gallery: int | None
    images_before: list[Image]
    images_after: list[Image]


@dataclass(frozen=True)
class LanguageExamples:
    """A language's examples, those that gained first, and of how many queries the right image moved up or down."""

    language: str
    examples: list[Example]
    up: int
    down: int
    n_queries: int


@dataclass(frozen=True)
class _English:
    """English captions: of groups (concepts), the first one each, and of images by their ids."""

    of_group: dict[str, str]
    of_image: dict[str, str]


def examples(
    comparison: Comparison, part: SuiteComparison, after: System, pictures: Pictures | None
) -> list[LanguageExamples]:
    """For each language the queries that gained most and those that lost most, by 1 / rank, in the systems' first runs.

    Equal changes are told apart by the queries' ids; of one group (concept) only one query is shown in either direction.

    Args:
        comparison: supplies the baseline.
        part: the suite.
        after: the system shown against the baseline.
        pictures: image id → an encoded image, or None where there is none.
    """
    runs = comparison.baseline.runs[0], after.runs[0]
    english = _english(runs[0], (part.suite, part.split, ENGLISH, TASKS[0]))
    picture = functools.cache(lambda name: thumbnail(pictures(name)) if pictures else None)
    sizes = {row["file"]: row["n_gallery"] for row in runs[0].results.get("rows", ()) if "file" in row}
    each = 2 if len(part.languages) <= _FEW else 1
    found = []
    for language in part.languages:
        key = (part.suite, part.split, language, TASKS[0])
        queries, ranks = runs[0].queries[key], runs[1].queries[key].ranks
        change = 1 / ranks - 1 / queries.ranks
        chosen = [*_most(change, queries.groups, each), *_most(-change, queries.groups, each)]
        wanted = [queries.ids[place] for place in chosen]
        first = [_first(run, key, wanted, english, picture) for run in runs]
        own = [
            Example(
                text=queries.texts[place],
                english=english.of_group.get(queries.groups[place]),
                gained=bool(change[place] > 0),
                before=int(queries.ranks[place]),
                after=int(ranks[place]),
                n_gallery=sizes.get(queries.about.file),
                images_before=first[0].get(queries.ids[place], []),
                images_after=first[1].get(queries.ids[place], []),
            )
            for place in chosen
        ]
        found.append(LanguageExamples(language, own, int((change > 0).sum()), int((change < 0).sum()), len(change)))
    return found


def _most(change: NDArray[np.float64], groups: Sequence[str], each: int) -> list[int]:
    """Places of the largest positive changes, largest first, each of another group."""
    chosen: dict[str, int] = {}
    for place in np.argsort(-change, kind="stable").tolist():
        if change[place] <= 0 or len(chosen) == each:
            break
        chosen.setdefault(groups[place], place)
    return list(chosen.values())


def _english(run: Run, key: Key) -> _English:
    """Empty where the suite has no English captions."""
    english = _English({}, {})
    queries = run.queries.get(key)
    stem = None if queries is None else _stem(run, queries)
    if queries is None or stem is None:
        return english
    images = read_qrels(stem.with_name(f"{stem.name}.qrels"))
    for query, group, text in zip(queries.ids, queries.groups, queries.texts, strict=True):
        english.of_group.setdefault(group, text)
        for image in sorted(images.get(query, ())):
            english.of_image.setdefault(image, text)
    return english


def _first(
    run: Run, key: Key, wanted: Collection[str], english: _English, picture: Callable[[str], str | None]
) -> dict[str, list[Image]]:
    """The first images of each query that is wanted; nothing where the run's files are gone."""
    stem = _stem(run, run.queries[key])
    if stem is None:
        return {}
    right = read_qrels(stem.with_name(f"{stem.name}.qrels"))
    return {
        query: [
            Image(name, english.of_image.get(name, name), name in right.get(query, ()), picture(name))
            for name in names[:SHOWN]
        ]
        for query, names in read_run(stem.with_name(f"{stem.name}.run.gz"), wanted).items()
    }


def _stem(run: Run, queries: Queries) -> Path | None:
    """Where a ranking's files lie, without what follows their common name; None where they are gone."""
    stem = run.path / "retrieval" / queries.about.file
    there = all(stem.with_name(f"{stem.name}.{end}").is_file() for end in ("run.gz", "qrels"))
    return stem if there else None
