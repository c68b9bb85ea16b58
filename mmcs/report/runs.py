"""Run folders as the report reads them: results, per-query ranks, and runs of several seeds pooled into systems."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.evaluation.direct import is_direct
from mmcs.evaluation.protocols import ALL_CAPTIONS
from mmcs.evaluation.ranking import About
from mmcs.evaluation.results import NAME, read_results
from mmcs.evaluation.trec import Queries, read_queries
from mmcs.model.random_weights import random_label
from mmcs.report.names import experiment_label
from mmcs.report.settings import training_settings

Place = tuple[str, str]  # suite, split
Key = tuple[str, str, str, str]  # suite, split, language, task
Answers = dict[str, list[Queries]]  # language → the same queries, once per seed


@dataclass(frozen=True)
class Run:
    """One run: its folder, what results.json says of it, and its queries, ordered by id.

    Attributes:
        queries: captions that ask for images and images that ask for captions, under the protocol that is compared.
        protocols: suite and split → that protocol.
        rankings: all that was ranked, whose queries ``read`` reads.
    """

    path: Path
    results: dict[str, Any]
    queries: dict[Key, Queries]
    protocols: dict[Place, str]
    rankings: list[About]

    @property
    def experiment(self) -> str:
        return self.results["experiment"]

    @property
    def seed(self) -> int | None:
        return self.results.get("seed")

    def read(self, about: About) -> Queries:
        """The queries of one of ``rankings``, ordered by id.

        Raises:
            DataError: their file is missing or damaged.
        """
        queries = read_queries(self.path / "retrieval" / f"{about.file}.queries.tsv", about)
        order = sorted(range(len(queries.ids)), key=queries.ids.__getitem__)
        return Queries(
            about=about,
            ids=[queries.ids[place] for place in order],
            groups=[queries.groups[place] for place in order],
            ranks=queries.ranks[order],
            ndcg=queries.ndcg[order],
            texts=[queries.texts[place] for place in order],
        )


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

    def answers(self, place: Place, task: str, languages: Sequence[str]) -> Answers:
        """What it answered in each language, under the protocol that is compared."""
        return {language: [run.queries[*place, language, task] for run in self.runs] for language in languages}


def load_runs(folders: Sequence[Path], protocol: str | None = None) -> list[Run]:
    """Reads the folders of evaluated runs.

    Args:
        protocol: to compare under where all runs were evaluated so; by default, and elsewhere, all captions, or the
            first protocol by name that all share.

    Raises:
        UserError: a folder holds no results or does not say what was ranked; no protocol is shared, or none is ``protocol``.
        DataError: a file is damaged.
    """
    results = [read_results(folder) for folder in folders]
    rankings = [_rankings(folder, own) for folder, own in zip(folders, results, strict=True)]
    chosen = _protocols(folders, [[about for about in own if is_direct(about.as_dict())] for own in rankings], protocol)
    loaded = []
    for folder, own, abouts in zip(folders, results, rankings, strict=True):
        run = Run(folder, own, {}, chosen, abouts)
        for about in abouts:
            place = (about.suite, about.split)
            if is_direct(about.as_dict()) and about.protocol == chosen[place]:
                run.queries[*place, about.language, about.task] = run.read(about)
        loaded.append(run)
    return loaded


def _rankings(folder: Path, results: Mapping[str, Any]) -> list[About]:
    entries = results.get("rankings", [])
    if not entries:
        raise UserError(f"{folder} does not say what was ranked, which a comparison reads; evaluate the run again.")
    try:
        return [About(**{key: entry[key] for key in entry if key != "file"}) for entry in entries]
    except TypeError as error:
        raise DataError(f"the rankings in {folder / NAME} are damaged ({error}); evaluate the run again.") from error


def _protocols(folders: Sequence[Path], direct: Sequence[Sequence[About]], wanted: str | None) -> dict[Place, str]:
    """Per suite and split the protocol that all runs which know it share."""
    found: dict[Place, list[tuple[Path, set[str]]]] = defaultdict(list)
    for folder, abouts in zip(folders, direct, strict=True):
        for place in dict.fromkeys((about.suite, about.split) for about in abouts):
            own = {about.protocol for about in abouts if (about.suite, about.split) == place}
            found[place].append((folder, own))
    chosen = {}
    for place, runs in found.items():
        shared = set.intersection(*(own for _, own in runs))
        if not shared:
            told = ", ".join(f"{folder}: {'/'.join(sorted(own))}" for folder, own in runs)
            raise UserError(f"the runs share no protocol on {place[0]} ({place[1]}): {told}; evaluate them under one.")
        chosen[place] = next((own for own in (wanted, ALL_CAPTIONS) if own in shared), min(shared))
    if wanted is not None and wanted not in chosen.values():
        known = sorted({protocol for runs in found.values() for _, own in runs for protocol in own})
        raise UserError(
            f"not all of these runs were evaluated under the protocol {wanted!r} (known: {', '.join(known) or 'none'})."
        )
    return chosen


def check_comparable(runs: Sequence[Run], evaluated: str = "evaluate") -> None:
    """Refuses runs that did not answer the same queries.

    Args:
        evaluated: what to do to both again, for the sentence.

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
                f"{first.path} and {other.path} cannot be compared: only {owner.path} has figures of {_spoken(key)}; "
                f"{evaluated} both on the same suites and languages."
            )
        for key, own in first.queries.items():
            theirs = other.queries[key]
            if own.ids != theirs.ids or own.groups != theirs.groups:
                raise UserError(
                    f"{first.path} and {other.path} cannot be compared: their queries of {_spoken(key)} differ "
                    f"({len(own.ids)} and {len(theirs.ids)}); {evaluated} both on the same data."
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
    labels = _labels(parts)
    return [System(label, part[0].experiment, part) for label, part in zip(labels, parts, strict=True)]


def _labels(parts: Sequence[Sequence[Run]]) -> list[str]:
    """The experiment's label; of several systems of one experiment with as much of their paths as tells them apart."""
    plain = [_plain_label(part[0]) for part in parts]
    labels = []
    for part, label in zip(parts, plain, strict=True):
        others = [
            one[0].path.resolve().parts
            for one, own in zip(parts, plain, strict=True)
            if own == label and one is not part
        ]
        labels.append(f"{label}, {_tail(part[0].path, others)}" if others else label)
    return labels


def _plain_label(run: Run) -> str:
    label, random = experiment_label(run.experiment), run.results.get("random_weights")
    if not random:
        return label
    return f"{label}, {'' if run.seed is None else 'from '}{random_label(random)}"


def _tail(path: Path, others: Collection[tuple[str, ...]]) -> str:
    parts = path.resolve().parts
    for count in range(2, len(parts) + 1):
        if all(other[-count:] != parts[-count:] for other in others):
            return "/".join(parts[-count:])
    return str(path)


def _spoken(key: Key) -> str:
    suite, split, language, task = key
    return f"{suite} ({split}), {language}, {task.replace('_', ' ')}"
