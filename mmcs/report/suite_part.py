"""What the page shows of one suite: plots drawn, maps coloured, verdicts counted, examples chosen. ``page`` renders it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from mmcs.evaluation.ranking import TASKS
from mmcs.report import words
from mmcs.report.comparison import Comparison, SuiteComparison
from mmcs.report.examples import examples
from mmcs.report.further import Further
from mmcs.report.heat_map import HeatMap, difference_map, most_of, share_map
from mmcs.report.names import SETS, UNTRAINED, language_name
from mmcs.report.picture import Pictures, pictures_of
from mmcs.report.plot import Look, difference_plot, dot_plot
from mmcs.report.proximity_plot import proximity_legend, proximity_plot
from mmcs.report.proximity_words import correlations, relation
from mmcs.report.runs import System

METRIC = "recall@10"


def suite_part(
    comparison: Comparison, part: SuiteComparison, place: int, looks: dict[str, Look], pictures: Pictures | None
) -> dict[str, Any]:
    """What the templates show of one suite.

    Args:
        place: of the suite on the page; prefixes its anchors and the ids in its plots.
        looks: of each system's label.
        pictures: image id → an encoded image (or None); by default out of the suite's shards, where they lie here.
    """
    best = _best(comparison, part) if part.candidates else None
    runs = [run for system in comparison.systems for run in system.runs]
    found = pictures_of(part.suite, part.split, runs) if pictures is None else None
    moved = examples(comparison, part, best, pictures or found) if best else []
    return {
        "suite": part,
        "id": f"suite{place}",
        "claims": [(claim, words.verdict(claim, part)) for claim in part.claims],
        "told": [_told(label, part) for label in part.candidates if label in part.verdicts],
        "n_tests": sum(map(len, part.verdicts.values())),
        "groups": _groups(part),
        "versus": _versus(comparison, part),
        "differences": _differences(comparison, part, looks, f"differences{place}"),
        "legend": [(label, look.colour, look.sign) for label, look in looks.items()],
        "recalls": _recalls(part, looks, f"recalls{place}"),
        "maps": _maps(comparison, part),
        "proximity": [
            _proximity(label, part, f"proximity{place}-{number}") for number, label in enumerate(part.proximity)
        ],
        "further": by_kind(part.further),
        "best": best.label if best else "",
        "examples": moved,
        "changed": len(found.changed) if found else 0,
    }


def _groups(part: SuiteComparison) -> str:
    """What the strong lines of a plot divide."""
    titles = [SETS[name] for name in part.sets]
    return f"{', '.join(titles[:-1])} and {titles[-1]}" if len(titles) > 1 else titles[0]


def _best(comparison: Comparison, part: SuiteComparison) -> System:
    """The candidate with the highest mean over the languages asked about, to take examples from."""
    of = next(name for name in ("seen", "non_english", "en", "unseen") if name in part.sets)
    candidates = [system for system in comparison.systems if system.label in part.candidates]
    return max(candidates, key=lambda system: part.cells[TASKS[0]][system.label][of].figures[METRIC][0])


def _told(label: str, part: SuiteComparison) -> str:
    """In which languages a system helps, hurts, or in how many that cannot be told."""
    by_verdict: dict[str, list[str]] = defaultdict(list)
    for language, verdict in part.verdicts[label].items():
        by_verdict[verdict.verdict].append(language)
    label = f"{label[:1].upper()}{label[1:]}"
    if set(by_verdict) == {"cannot tell yet"}:
        return f"“{label}”: in no language can these queries tell whether it helps or hurts."
    parts = [f"{what} in {_counted(by_verdict[what])}" for what in ("helps", "hurts")]
    open_ = len(by_verdict["cannot tell yet"])
    rest = f"; in {open_} {_languages(open_)} these queries cannot tell" if open_ else ""
    return f"“{label}” {' and '.join(parts)}{rest}."


def _counted(languages: Sequence[str]) -> str:
    if not languages:
        return "no language"
    return f"{len(languages)} {_languages(len(languages))} ({words.names(list(languages))})"


def _languages(count: int) -> str:
    return "language" if count == 1 else "languages"


def _versus(comparison: Comparison, part: SuiteComparison) -> list[str]:
    """Labels of the columns of verdicts: candidates first."""
    labels = [system.label for system in comparison.systems if system.label in part.verdicts]
    return sorted(labels, key=lambda label: label not in part.candidates)


def _differences(
    comparison: Comparison, part: SuiteComparison, looks: dict[str, Look], name: str
) -> dict[str, Any] | None:
    """The plot of differences and its legend, without untrained models: they lie so far off that nothing else shows."""
    trained = [system.label for system in comparison.systems if system.experiment != UNTRAINED]
    shown = [label for label in _versus(comparison, part) if label in trained] or _versus(comparison, part)
    if not shown:
        return None
    own = {label: part.verdicts[label] for label in shown}
    series = {
        label: {key: (one.difference.value, one.difference.low, one.difference.high) for key, one in verdicts.items()}
        for label, verdicts in own.items()
    }
    clear = {
        label: [language for language, one in verdicts.items() if one.verdict != "cannot tell yet"]
        for label, verdicts in own.items()
    }
    told = " ".join(_told(label, part) for label in shown)
    title = f"Difference in recall at 10 from {comparison.baseline.label}, per language on {part.suite}. {told}"
    plot = difference_plot(series, clear, list(part.sets.values()), looks, title, name)
    return {
        "plot": Markup(plot),  # made by plot.py, which escapes the texts it is given
        "legend": [(label, looks[label].colour, looks[label].sign) for label in shown],
    }


def _recalls(part: SuiteComparison, looks: dict[str, Look], name: str) -> Markup:
    cells = part.cells[TASKS[0]]
    series = {label: {key: own[key].figures[METRIC] for key in part.languages} for label, own in cells.items()}
    means = [
        f"{label}: "
        + ", ".join(f"{100 * own[key].figures[METRIC][0]:.1f} % in {words.set_title(key, part)}" for key in part.sets)
        for label, own in cells.items()
    ]
    title = f"Recall at 10 of image retrieval per language and system on {part.suite}. Means: {'; '.join(means)}."
    return Markup(dot_plot(series, list(part.sets.values()), looks, title, name))


def _maps(comparison: Comparison, part: SuiteComparison) -> dict[str, list[tuple[str, HeatMap]]]:
    """Heat maps: each candidate minus the baseline, then each system by itself on one scale."""
    asked = {language for matrix in part.matrices.values() for pair in matrix for language in pair}
    languages = [language for language in part.languages if language in asked]
    base = comparison.baseline.label
    differences = [
        (
            label,
            difference_map(
                f"{label} minus {base}, in points of {METRIC}", part.matrices[label], part.matrices[base], languages
            ),
        )
        for label in part.candidates
        if label in part.matrices and base in part.matrices
    ]
    shares = [
        (label, share_map(f"{label}: {METRIC} in %", matrix, languages, most_of(list(part.matrices.values()))))
        for label, matrix in part.matrices.items()
    ]
    return {"differences": differences, "shares": shares}


def _proximity(label: str, part: SuiteComparison, name: str) -> dict[str, Any]:
    own = part.proximity[label]
    points = dict(zip(own.languages, zip(own.distances, own.gains, strict=True), strict=True))
    said = relation(own)
    title = f"Gain of {label} per language against the language's distance from English. {said}"
    return {
        "label": label,
        "plot": Markup(proximity_plot(points, part.sets, title, name)),
        "legend": proximity_legend(
            {key: [one for one in own_set if one in points] for key, own_set in part.sets.items()}
        ),
        "relation": said,
        "correlations": correlations(own),
        "points": [(language_name(language), *points[language]) for language in own.languages],
        "own": own,
    }


def by_kind(further: Sequence[Further]) -> dict[str, list[Further]]:
    """Settings by their kind, in their order."""
    kinds: dict[str, list[Further]] = defaultdict(list)
    for one in further:
        kinds[one.kind].append(one)
    return dict(kinds)
