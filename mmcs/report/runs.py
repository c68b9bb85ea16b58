"""Run folders as the report reads them: results, per-query ranks, and runs of several seeds pooled into systems."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcs.errors import UserError
from mmcs.evaluation.protocols import ALL_CAPTIONS
from mmcs.evaluation.ranking import TASKS, About
from mmcs.evaluation.results import read_results
from mmcs.evaluation.rows import per_query
from mmcs.evaluation.trec import Queries, read_queries
from mmcs.report.names import experiment_label
from mmcs.report.settings import training_settings

Key = tuple[str, str, str, str]  # suite, split, language, task


@dataclass(frozen=True)
class Run:
    """One evaluated run: its folder, what results.json says of it, and its queries, ordered by id."""

    path: Path
    results: dict[str, Any]
    queries: dict[Key, Queries]

    @property
    def experiment(self) -> str:
        return self.results["experiment"]

    @property
    def seed(self) -> int | None:
        return self.results.get("seed")


@dataclass(frozen=True)
class System:
    """Runs of one experiment that differ in their seed alone.

    Attributes:
        label: what people read; unique in a comparison.
        experiment: the configuration's name.
        runs: one per seed.
    """

    label: str
    experiment: str
    runs: list[Run]

    def figures(self, key: Key) -> NDArray[np.float64]:
        """Per-query figures (seeds, N, 6) in the order of ``mmcs.evaluation.rows.METRICS``."""
        return np.stack([per_query(run.queries[key].ranks, run.queries[key].ndcg) for run in self.runs])


def load_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        UserError: it holds no results or no per-query ranks.
        DataError: one of its files is damaged.
    """
    results = read_results(folder)
    abouts = [About(**{key: own[key] for key in own if key != "file"}) for own in results.get("rankings", ())]
    direct = [own for own in abouts if own.query_transform is None and own.setting != "MLIR" and own.task in TASKS]
    if not direct:
        raise UserError(
            f"{folder} names no rankings of captions and images, which a comparison reads; evaluate the run again."
        )
    protocols = {own.protocol for own in direct}
    protocol = ALL_CAPTIONS if ALL_CAPTIONS in protocols else min(protocols)
    queries = {
        (own.suite, own.split, own.language, own.task): _by_id(
            read_queries(folder / "retrieval" / f"{own.file}.queries.tsv", own)
        )
        for own in direct
        if own.protocol == protocol
    }
    return Run(folder, results, queries)


def check_comparable(runs: Sequence[Run]) -> None:
    """Refuses runs that did not answer the same queries.

    Raises:
        UserError: names the two runs and the first difference.
    """
    first = runs[0]
    for other in runs[1:]:
        if other.path.resolve() in [run.path.resolve() for run in runs if run is not other]:
            raise UserError(f"{other.path} is named twice; name each run once.")
        for key in sorted(first.queries.keys() ^ other.queries.keys()):
            owner = first if key in first.queries else other
            raise UserError(
                f"{first.path} and {other.path} cannot be compared: only {owner.path} was evaluated on "
                f"{_spoken(key)}; evaluate both on the same suites and languages."
            )
        for key, own in first.queries.items():
            theirs = other.queries[key]
            if own.ids != theirs.ids or own.groups != theirs.groups:
                raise UserError(
                    f"{first.path} and {other.path} cannot be compared: their queries of {_spoken(key)} differ "
                    f"({len(own.ids)} and {len(theirs.ids)}); evaluate both on the same data."
                )


def pool(runs: Sequence[Run]) -> list[System]:
    """Runs of one experiment with equal settings and different seeds become one system; the order is kept."""
    alike: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        alike[run.experiment, json.dumps(training_settings(run.results["config"]))].append(run)
    parts: list[list[Run]] = []
    for own in alike.values():
        seeds = {run.seed for run in own}
        parts += [own] if len(seeds) == len(own) else [[run] for run in own]
    experiments = [part[0].experiment for part in parts]
    systems = []
    for part in parts:
        label = experiment_label(part[0].experiment)
        if experiments.count(part[0].experiment) > 1:
            label = f"{label}, {part[0].path.parent.name}/{part[0].path.name}"
        systems.append(System(label, part[0].experiment, part))
    return systems


def _by_id(queries: Queries) -> Queries:
    order = sorted(range(len(queries.ids)), key=queries.ids.__getitem__)
    return Queries(
        about=queries.about,
        ids=[queries.ids[place] for place in order],
        groups=[queries.groups[place] for place in order],
        ranks=queries.ranks[order],
        ndcg=queries.ndcg[order],
        texts=[queries.texts[place] for place in order],
    )


def _spoken(key: Key) -> str:
    suite, split, language, task = key
    return f"{suite} ({split}), {language}, {task.replace('_', ' ')}"
