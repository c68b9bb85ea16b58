"""Systems against each other: figures with intervals, paired differences, and the claims that follow.

Numbers only, no files: ``compare`` brings the systems, ``words`` turns claims into sentences, ``page`` and ``terminal``
show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmcs.evaluation.direct import is_direct
from mmcs.evaluation.proximity import MIN_LANGUAGES, Distances, Proximity, proximity
from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.statistics import Difference
from mmcs.report.cells import Cell, cells, differences
from mmcs.report.claims import Claim, candidates, claims, pairs
from mmcs.report.further import Further, further
from mmcs.report.language_verdicts import LanguageVerdict, language_verdicts
from mmcs.report.matrix import Matrix, matrices
from mmcs.report.names import UNTRAINED
from mmcs.report.runs import Place, System
from mmcs.report.settings import Settings, compare_settings
from mmcs.report.terms import Term, TermReport, report_terms
from mmcs.retrieval.languages import ENGLISH


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
    matrices: dict[str, Matrix] = field(default_factory=dict)
    proximity: dict[str, Proximity] = field(default_factory=dict)
    further: list[Further] = field(default_factory=list)
    terms: list[TermReport] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found; ``words.summary`` tells it, ``page.write_page`` shows it.

    Attributes:
        suites: with captions and images; empty where the runs were evaluated on text alone.
        texts: figures of sets of text alone (BEIR format).
        text_notes: what must be said beside them.
        step: at which unfinished runs are compared by their validations; None: by their evaluations.
        unfinished: folders of the runs without results.json.
    """

    systems: list[System]
    baseline: System
    suites: list[SuiteComparison]
    settings: Settings
    texts: list[Further] = field(default_factory=list)
    text_notes: list[str] = field(default_factory=list)
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


def compare_systems(
    systems: Sequence[System],
    baseline: System,
    seen: set[str],
    terms: Sequence[Term] = (),
    distances: Distances | None = None,
) -> Comparison:
    """Figures, differences and settings of systems that answered the same queries.

    Args:
        systems: from ``runs.pool``; one alone makes no claims.
        baseline: one of them.
        seen: the languages that have a lexicon.
        terms: the user's, to report on.
        distances: of languages from English; without them there is no ``proximity``.
    """
    protocols = baseline.runs[0].protocols
    trained = [system for system in systems if system.experiment != UNTRAINED]
    texts, text_notes = _texts(systems, baseline)
    return Comparison(
        systems=list(systems),
        baseline=baseline,
        suites=[_suite(place, systems, baseline, seen, terms, distances) for place in sorted(protocols)],
        settings=compare_settings({system.label: system.runs[0].results["config"] for system in trained}),
        texts=texts,
        text_notes=text_notes,
    )


def _texts(systems: Sequence[System], base: System) -> tuple[list[Further], list[str]]:
    """Figures of what is no suite of captions and images, and the notes on it."""
    places = dict.fromkeys(
        (about.suite, about.split, about.protocol)
        for system in systems
        for about in system.runs[0].rankings
        if (about.suite, about.split) not in base.runs[0].protocols
    )
    found = [own for suite, split, name in places for own in further(systems, base, (suite, split), name, {})]
    rows = [row for system in systems for run in system.runs for row in run.results["rows"]]
    notes = [
        f"{row['suite']}: {note}"
        for row in rows
        if (row["suite"], row["split"], row["protocol"]) in places
        for note in row.get("notes", ())
    ]
    return found, list(dict.fromkeys(notes))


def _suite(
    place: Place,
    systems: Sequence[System],
    base: System,
    seen: set[str],
    terms: Sequence[Term],
    distances: Distances | None,
) -> SuiteComparison:
    suite, split = place
    protocol = base.runs[0].protocols[place]
    queries = base.runs[0].queries
    sets = _sets([key[2] for key in queries if (key[:2], key[3]) == (place, TASKS[0])], seen)
    languages = [language for members in sets.values() for language in members]
    answers = {task: {system.label: system.answers(place, task, languages) for system in systems} for task in TASKS}
    asked = pairs(systems, base)
    every = {**{language: [language] for language in languages}, **sets}
    found = {
        (first, second): differences(answers[TASKS[0]][first], answers[TASKS[0]][second], every)
        for first, second in asked
    }
    against = {system.label: found[system.label, base.label] for system in systems if system is not base}
    chosen = [system.label for system in candidates(systems, base)]
    return SuiteComparison(
        suite=suite,
        split=split,
        protocol=protocol,
        languages=languages,
        sets=sets,
        cells={task: {label: cells(own, sets) for label, own in of.items()} for task, of in answers.items()},
        claims=claims(asked, found, base.label),
        n_queries={
            task: {language: len(own[0].ids) for language, own in of[base.label].items()}
            for task, of in answers.items()
        },
        n_groups=len({group for own in answers[TASKS[0]][base.label].values() for group in own[0].groups}),
        candidates=chosen,
        notes=_notes(systems, suite),
        verdicts=language_verdicts(against, languages),
        other_protocols=_other_protocols(systems, place, protocol, sets),
        matrices=matrices(systems, place, protocol),
        proximity=_proximity({label: against[label] for label in chosen}, languages, distances),
        further=further(systems, base, place, protocol, sets),
        terms=report_terms(answers[TASKS[0]], base.label, terms) if terms else [],
    )


def _sets(present: Sequence[str], seen: set[str]) -> dict[str, list[str]]:
    """English, languages with a lexicon and without; all but English where none has one."""
    sets = {
        ENGLISH: [ENGLISH] if ENGLISH in present else [],
        "seen": sorted(language for language in present if language in seen and language != ENGLISH),
        "unseen": sorted(language for language in present if language not in seen and language != ENGLISH),
    }
    if not sets["seen"]:
        sets["non_english"] = sets.pop("unseen")
    return {name: members for name, members in sets.items() if members}


def _notes(systems: Sequence[System], suite: str) -> list[str]:
    runs = [run for system in systems for run in system.runs]
    return list(
        dict.fromkeys(note for run in runs for note in run.results.get("suites", {}).get(suite, {}).get("notes", ()))
    )


def _other_protocols(
    systems: Sequence[System], place: Place, protocol: str, sets: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, dict[str, dict[str, Cell]]]]:
    """Figures under each further protocol that all runs share, over the languages that it has."""
    runs = [run for system in systems for run in system.runs]
    shared = [
        about
        for about in runs[0].rankings
        if (about.suite, about.split) == place
        and about.protocol != protocol
        and is_direct(about.as_dict())
        and all(about in run.rankings for run in runs)
    ]
    found: dict[str, dict[str, dict[str, dict[str, Cell]]]] = {}
    for name in dict.fromkeys(about.protocol for about in shared):
        for task in TASKS:
            own = {about.language: about for about in shared if (about.protocol, about.task) == (name, task)}
            members = {key: [language for language in of if language in own] for key, of in sets.items()}
            found.setdefault(name, {})[task] = {
                system.label: cells(
                    {language: [run.read(about) for run in system.runs] for language, about in own.items()},
                    {key: of for key, of in members.items() if of},
                )
                for system in systems
            }
    return found


def _proximity(
    against: Mapping[str, Mapping[str, Difference]], languages: Sequence[str], distances: Distances | None
) -> dict[str, Proximity]:
    if distances is None:
        return {}
    found = {
        label: proximity({language: own[language].value for language in languages}, distances)
        for label, own in against.items()
    }
    return {label: own for label, own in found.items() if len(own.languages) >= MIN_LANGUAGES}
