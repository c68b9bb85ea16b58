"""What systems answered, language by language, and what a difference between two of them is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.statistics import Difference, NonInferiority, bonferroni, non_inferiority
from mmcs.report.cells import Cell, cells, differences
from mmcs.report.names import experiment_label
from mmcs.report.runs import Answers, Run, System, load_runs
from mmcs.retrieval.languages import ENGLISH


@dataclass(frozen=True)
class Gain:
    """A difference and what it is worth.

    Attributes:
        difference: first minus second, recall@10 of captions that ask for images.
        corrected: its p-value times the number of tests in its table (Bonferroni).
        not_lost: of English alone, whether a loss of a point or more is excluded.
    """

    difference: Difference
    corrected: float
    not_lost: NonInferiority | None = None


def system_of(name: str, folders: Sequence[Path]) -> System:
    return System(experiment_label(name), name, load_runs(list(folders)))


def by_experiment(folders: Sequence[Path]) -> list[System]:
    runs: dict[str, list[Run]] = {}
    for run in load_runs(list(folders)):
        runs.setdefault(run.experiment, []).append(run)
    return [System(experiment_label(name), name, own) for name, own in runs.items()]


def plain_answers(system: System, sets: Mapping[str, Sequence[str]]) -> Answers:
    return system.answers(_place(system.runs[0]), TASKS[0], [language for own in sets.values() for language in own])


def bilingual_answers(folders: Mapping[str, Sequence[Path]], sets: Mapping[str, Sequence[str]]) -> Answers:
    """Each seen language asked of its own model; the others, and English, of all models."""
    models = {language: load_runs(list(own)) for language, own in folders.items()}
    every = [run for own in models.values() for run in own]
    found: Answers = {}
    for members in sets.values():
        for language in members:
            runs = models.get(language, every)
            found[language] = [run.queries[*_place(run), language, TASKS[0]] for run in runs]
    return found


def transformed_answers(system: System, transform: str, sets: Mapping[str, Sequence[str]]) -> Answers:
    """Answers to queries that were changed, in the languages in which they were."""
    wanted = {language for own in sets.values() for language in own}
    return {
        about.language: [run.read(about) for run in system.runs]
        for about in system.runs[0].rankings
        if about.query_transform == transform and about.task == TASKS[0] and about.language in wanted
    }


def some_of(sets: Mapping[str, Sequence[str]], answers: Answers) -> dict[str, list[str]]:
    """The sets as far as they were answered in; of a set, all or those that were."""
    found = {name: [language for language in own if language in answers] for name, own in sets.items()}
    return {name: own for name, own in found.items() if own}


def each_of(sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {language: [language] for own in sets.values() for language in own}


def differences_of(first: Answers, second: Answers, sets: Mapping[str, Sequence[str]]) -> dict[str, Difference]:
    """Each set by itself: of BL-CS languages have different numbers of runs."""
    return {
        name: differences({language: first[language] for language in own}, second, {name: own})[name]
        for name, own in sets.items()
    }


def family(found: Mapping[tuple[str, str], Mapping[str, Difference]]) -> dict[tuple[str, str], dict[str, Gain]]:
    """All differences of one table, corrected for how many they are."""
    flat = [(pair, name, own) for pair, of in found.items() for name, own in of.items()]
    result: dict[tuple[str, str], dict[str, Gain]] = {pair: {} for pair in found}
    for (pair, name, own), p_value in zip(flat, bonferroni([own.p_value for *_, own in flat]), strict=True):
        result[pair][name] = _gain(own, p_value, name == ENGLISH)
    return result


def figures_of(answers: Answers, sets: Mapping[str, Sequence[str]]) -> dict[str, Cell]:
    """Of languages with different numbers of runs (BL-CS), each set by itself."""
    return {
        name: cells({language: answers[language] for language in own}, {name: own})[name] for name, own in sets.items()
    }


def _place(run: Run) -> tuple[str, str]:
    return next(iter(run.protocols))


def _gain(difference: Difference, corrected: float, english: bool) -> Gain:
    return Gain(difference, corrected, non_inferiority(difference) if english else None)
