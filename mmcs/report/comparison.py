"""Systems against each other: figures with intervals, paired differences, and the claims that follow.

Numbers only, no files: ``compare`` brings the systems, ``words`` turns claims into sentences, ``page`` and ``terminal``
show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.rows import METRICS
from mmcs.evaluation.statistics import (
    Difference,
    bonferroni,
    interval,
    mean_over_languages,
    paired_differences,
    resampled_means,
)
from mmcs.report.names import BASELINE, CONTROLS, UNTRAINED, UPPER_BOUNDS
from mmcs.report.runs import System
from mmcs.report.settings import Settings, compare_settings
from mmcs.retrieval.languages import ENGLISH

PRIMARY = METRICS.index("recall@10")
PRIMARY_SETS = ("seen", "unseen", "non_english", "en")


@dataclass(frozen=True)
class Cell:
    """Figures of one system in one language or set: (value, low, high) per metric, 0…1.

    Attributes:
        spread: standard deviation of recall@10 over the seeds; None with one seed.
    """

    figures: dict[str, tuple[float, float, float]]
    spread: float | None


@dataclass(frozen=True)
class Claim:
    """A paired difference of recall@10 in image retrieval between two systems over a set of languages.

    Attributes:
        first, second: labels; the difference is first minus second.
        of: ``"seen"``, ``"unseen"``, ``"non_english"`` or ``"en"``.
        against_control: whether ``second`` is a control, otherwise it is the baseline.
        corrected: the p-value, corrected (Bonferroni) for all claims of the comparison.
    """

    first: str
    second: str
    of: str
    against_control: bool
    difference: Difference
    corrected: float


@dataclass(frozen=True)
class SuiteComparison:
    """All systems on one suite and split.

    Attributes:
        languages: as shown: English, then seen, then unseen.
        sets: name → languages, those that are not empty.
        cells: task → system label → language or set → figures.
        claims: primary ones first.
        n_queries: task → language → queries.
        n_groups: concepts, the unit of every interval.
        candidates: labels of the systems whose benefit is asked about.
    """

    suite: str
    split: str
    languages: list[str]
    sets: dict[str, list[str]]
    cells: dict[str, dict[str, dict[str, Cell]]]
    claims: list[Claim]
    n_queries: dict[str, dict[str, int]]
    n_groups: int
    candidates: list[str]


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found; ``words.summary`` tells it, ``page.write_page`` shows it."""

    systems: list[System]
    baseline: System
    suites: list[SuiteComparison]
    settings: Settings

    def difference(self, first: str, second: str, of: str, suite: str | None = None) -> Difference:
        """The difference between two experiments over a set of languages.

        Raises:
            KeyError: no such pair was compared.
        """
        labels = {system.label: system.experiment for system in self.systems}
        for part in self.suites:
            for claim in part.claims if suite in (None, part.suite) else []:
                if (labels[claim.first], labels[claim.second], claim.of) == (first, second, of):
                    return claim.difference
        raise KeyError((first, second, of))


def compare_systems(systems: Sequence[System], baseline: System, seen: set[str]) -> Comparison:
    """Figures, differences and settings of systems that answered the same queries.

    Args:
        systems: from ``runs.pool``; one alone makes no claims.
        baseline: one of them.
        seen: the languages that have a lexicon.
    """
    parts = sorted({key[:2] for key in baseline.runs[0].queries})
    trained = [system for system in systems if system.experiment != UNTRAINED]
    return Comparison(
        systems=list(systems),
        baseline=baseline,
        suites=[_suite(suite, split, systems, baseline, seen) for suite, split in parts],
        settings=compare_settings({system.label: system.runs[0].results["config"] for system in trained}),
    )


def _suite(suite: str, split: str, systems: Sequence[System], base: System, seen: set[str]) -> SuiteComparison:
    some = systems[0].runs[0].queries
    present = [language for (own, part, language, task) in some if (own, part, task) == (suite, split, TASKS[0])]
    sets = {
        "en": [ENGLISH] if ENGLISH in present else [],
        "seen": sorted(language for language in present if language in seen and language != ENGLISH),
        "unseen": sorted(language for language in present if language not in seen and language != ENGLISH),
    }
    if not sets["seen"]:
        sets["non_english"] = sets.pop("unseen")
    sets = {name: members for name, members in sets.items() if members}
    languages = [language for members in sets.values() for language in members]
    cells = {task: {system.label: _cells(system, suite, split, task, sets) for system in systems} for task in TASKS}
    own = {language: some[suite, split, language, TASKS[0]] for language in languages}
    candidates = _candidates(systems, base)
    return SuiteComparison(
        suite=suite,
        split=split,
        languages=languages,
        sets=sets,
        cells=cells,
        claims=_claims(systems, base, candidates, (suite, split), sets),
        n_queries={
            task: {language: len(some[suite, split, language, task].ids) for language in languages} for task in TASKS
        },
        n_groups=len({group for queries in own.values() for group in queries.groups}),
        candidates=[system.label for system in candidates],
    )


def _candidates(systems: Sequence[System], base: System) -> list[System]:
    """The systems whose benefit is in question: not the baseline, no control, no upper bound, trained."""
    others = [system for system in systems if system is not base]
    aside = {UNTRAINED, BASELINE, *CONTROLS, *UPPER_BOUNDS}
    return [system for system in others if system.experiment not in aside] or others


def _cells(
    system: System, suite: str, split: str, task: str, sets: Mapping[str, Sequence[str]], resamples: int = 1000
) -> dict[str, Cell]:
    """Figures of each language and of each set of languages, by one bootstrap over groups."""
    languages = list(dict.fromkeys(language for members in sets.values() for language in members))
    queries = system.runs[0].queries
    figures = {language: system.figures((suite, split, language, task)) for language in languages}
    groups = {language: queries[suite, split, language, task].groups for language in languages}
    samples = resampled_means({key: value.mean(axis=0) for key, value in figures.items()}, groups, resamples, seed=0)
    cells = {}
    for name, members in {**{language: [language] for language in languages}, **sets}.items():
        own = mean_over_languages(samples[:, [languages.index(language) for language in members]])
        per_seed = np.mean([figures[language].mean(axis=1) for language in members], axis=0)  # (seeds, metrics)
        cells[name] = Cell(
            figures={
                metric: (float(per_seed[:, place].mean()), *interval(own[:, place]))
                for place, metric in enumerate(METRICS)
            },
            spread=float(per_seed[:, PRIMARY].std(ddof=1)) if len(per_seed) > 1 else None,
        )
    return cells


def _claims(
    systems: Sequence[System],
    base: System,
    candidates: Sequence[System],
    where: tuple[str, str],
    sets: Mapping[str, Sequence[str]],
) -> list[Claim]:
    """Each candidate against the baseline and against each control, then the rest against the baseline."""
    controls = [system for system in systems if system.experiment in CONTROLS and system is not base]
    others = [system for system in systems if system is not base and system not in candidates]
    found = []
    for first, second, names in (
        *((system, base, PRIMARY_SETS) for system in candidates),
        *((system, control, PRIMARY_SETS[:-1]) for system in candidates for control in controls),
        *((system, base, PRIMARY_SETS) for system in others),
    ):
        differences = _differences(first, second, where, sets)
        found += [(first, second, name, differences[name]) for name in names if name in differences]
    corrected = bonferroni([difference.p_value for *_, difference in found])
    return [
        Claim(first.label, second.label, name, second in controls and second is not base, difference, p_value)
        for (first, second, name, difference), p_value in zip(found, corrected, strict=True)
    ]


def _differences(
    first: System, second: System, where: tuple[str, str], sets: Mapping[str, Sequence[str]]
) -> dict[str, Difference]:
    languages = dict.fromkeys(language for members in sets.values() for language in members)
    keys = {language: (*where, language, TASKS[0]) for language in languages}
    return paired_differences(
        {language: first.figures(key).mean(axis=0)[:, PRIMARY] for language, key in keys.items()},
        {language: second.figures(key).mean(axis=0)[:, PRIMARY] for language, key in keys.items()},
        groups={language: first.runs[0].queries[key].groups for language, key in keys.items()},
        sets=sets,
    )
