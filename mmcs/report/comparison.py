"""Systems against each other: figures with intervals, paired differences, and the claims that follow.

Numbers only, no files: ``compare`` brings the systems, ``words`` turns claims into sentences, ``page`` and ``terminal``
show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmcs.evaluation.protocols import ALL_CAPTIONS
from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.statistics import Difference, bonferroni, non_inferiority, paired_differences
from mmcs.report.cells import PRIMARY, Cell, cells
from mmcs.report.claims import PRIMARY_SETS, Claim
from mmcs.report.further import Further
from mmcs.report.language_verdicts import LanguageVerdict
from mmcs.report.names import BASELINE, CONTROLS, UNTRAINED, UPPER_BOUNDS
from mmcs.report.runs import System
from mmcs.report.settings import Settings, compare_settings
from mmcs.report.terms import TermReport
from mmcs.retrieval.languages import ENGLISH

if TYPE_CHECKING:
    from mmcs.evaluation.proximity import Proximity


@dataclass(frozen=True)
class SuiteComparison:
    """All systems on one suite and split.

    Attributes:
        protocol: under which everything here is taken, but for ``other_protocols``.
        notes: what must be said beside the suite's figures (known contamination), from the runs' results.
        languages: as shown: English, then seen, then unseen.
        sets: name → languages, those that are not empty.
        cells: task → system label → language or set → figures.
        claims: the one primary family, those of the candidates first.
        n_queries: task → language → queries.
        n_groups: concepts, the unit of every interval.
        candidates: labels of the systems whose benefit is asked about.
        verdicts: label of each system but the baseline → language → verdict; a secondary family.
        other_protocols: protocol → task → label → language or set → figures.
        matrices: label → (query language, gallery language) → recall@10 of captions that ask for captions of the same
            image; without the diagonal, empty where not evaluated.
        proximity: label of a candidate → its gain per language against the language's distance from English; only
            where four languages or more have a distance.
        further: whatever else all or some of the runs were evaluated on, of this suite.
        terms: reports on the user's terms, the one of all languages together last; empty without terms.
    """

    suite: str
    split: str
    protocol: str
    languages: list[str]
    sets: dict[str, list[str]]
    cells: dict[str, dict[str, dict[str, Cell]]]
    claims: list[Claim]
    n_queries: dict[str, dict[str, int]]
    n_groups: int
    candidates: list[str]
    notes: list[str] = field(default_factory=list)
    verdicts: dict[str, dict[str, LanguageVerdict]] = field(default_factory=dict)
    other_protocols: dict[str, dict[str, dict[str, dict[str, Cell]]]] = field(default_factory=dict)
    matrices: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)
    proximity: dict[str, Proximity] = field(default_factory=dict)
    further: list[Further] = field(default_factory=list)
    terms: list[TermReport] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found; ``words.summary`` tells it, ``page.write_page`` shows it.

    Attributes:
        suites: with captions and images; empty where the runs were evaluated on text alone.
        texts: figures of sets of text alone (BEIR format).
        step: at which unfinished runs are compared by their validations; None: by their evaluations.
        unfinished: folders of the runs without results.json.
    """

    systems: list[System]
    baseline: System
    suites: list[SuiteComparison]
    settings: Settings
    texts: list[Further] = field(default_factory=list)
    step: int | None = None
    unfinished: list[str] = field(default_factory=list)

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
    figures = {task: {system.label: cells(system, suite, split, task, sets) for system in systems} for task in TASKS}
    own = {language: some[suite, split, language, TASKS[0]] for language in languages}
    candidates = _candidates(systems, base)
    return SuiteComparison(
        suite=suite,
        split=split,
        protocol=ALL_CAPTIONS,
        languages=languages,
        sets=sets,
        cells=figures,
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
    lost = [non_inferiority(difference) if name == ENGLISH else None for _, _, name, difference in found]
    p_values = [
        difference.p_value if own is None else min(1.0, 2 * own.p_value)
        for (*_, difference), own in zip(found, lost, strict=True)
    ]
    return [
        Claim(
            first=first.label,
            second=second.label,
            of=name,
            against_control=second in controls and second is not base,
            difference=difference,
            p_value=p_value,
            corrected=corrected,
            n_claims=len(found),
            not_lost=own,
        )
        for (first, second, name, difference), own, p_value, corrected in zip(
            found, lost, p_values, bonferroni(p_values), strict=True
        )
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
