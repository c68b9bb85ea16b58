"""The tables of the page that tell of trained systems; those of further settings stand in ``further_tables``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mmcs.evaluation.proximity import Correlation, Proximity
from mmcs.evaluation.ranking import TASKS
from mmcs.report.cells import RECALL_10
from mmcs.report.names import BASELINE, CONTROLS, experiment_label, language_name
from mmcs.report.words import p_text, points, signed
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.findings import CENTRED, RECOMMENDED, UPPER_BOUND, Ablation, Findings, Row
from mmcs.study.words import TITLES, asked, percent, table, told

# Litschko et al. 2023, MRR@10 in points: what switching gains, and what is left to translated training.
PUBLISHED = {"MoIR": ("stable", "4"), "CLIR": ("+5.1", "11.1"), "MLIR": ("+3.9", "not given")}


def rows_of_systems(rows: Sequence[Row], sets: Mapping[str, Sequence[str]]) -> str:
    head = ["system", *(text for of in sets for text in (f"{TITLES[of]} ({len(sets[of])})", "difference"))]
    return table(head, [[_label(row), *(text for of in sets for text in _two(row, of))] for row in rows])


def effort(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if row.effort is not None:
            seconds = row.effort.cpu_seconds
            time = "–" if math.isnan(seconds) else f"{seconds:.0f} s"
            lines.append([_label(row), f"{row.effort.rate:g}", str(row.n_seeds), f"{row.effort.texts:,}", time])
    return table(["system", "learning rate", "runs", "texts", "CPU time"], lines)


def controls(found: Findings) -> str:
    names = [name for name in found.controls if name not in ("translate_train", UPPER_BOUND)]
    present = [control for control in (*CONTROLS, CENTRED) if control in {row.name for row in found.rows}]
    rows = []
    for name in names:
        for of in (own for own in ("seen", "unseen") if own in found.sets):
            cells = []
            for control in present:
                own = found.over_centred[name] if control == CENTRED else found.controls[name].get(control, {})
                cells.append(told(own[of]) if of in own else "–")
            rows.append([experiment_label(name), TITLES[of], *cells])
    head = ["system", "languages", *(f"minus {own if own == CENTRED else experiment_label(own)}" for own in present)]
    return table(head, rows)


def gaps(found: Findings) -> str:
    names = [name for name in found.gaps if name not in CONTROLS]
    rows = []
    for name in names:
        cells = []
        for of in (own for own in ("seen", "unseen") if own in found.sets):
            gap = found.gaps[name][of]
            cells += [percent(gap.share), points(gap.left)]
        rows.append([experiment_label(name), *cells])
    head = ["system"]
    for of in (own for own in ("seen", "unseen") if own in found.sets):
        head += [f"{TITLES[of]}: share", "left"]
    return table(head, rows) if rows else ""


def study_terms(found: Findings) -> str:
    """The study's own terms beside ours."""
    name = RECOMMENDED if RECOMMENDED in found.controls else asked(found)[-1] if asked(found) else None
    if name is None:
        return ""
    plain = {row.name: row for row in found.rows}
    rows = []
    for setting, of, what in (("MoIR", ENGLISH, "English captions"), ("CLIR", "seen", "captions with a lexicon")):
        gain, left = PUBLISHED[setting]
        ours = _mrr(plain[name], of) - _mrr(plain[BASELINE], of)
        upper = f"{signed(_mrr(plain[UPPER_BOUND], of) - _mrr(plain[name], of))}" if UPPER_BOUND in plain else "–"
        rows.append([f"{setting} ({what})", gain, signed(ours), left, upper])
    mixed = _mixed(found)
    if name in mixed and BASELINE in mixed:
        gain, left = PUBLISHED["MLIR"]
        rows.append(["MLIR (queries in mixed languages)", gain, signed(mixed[name] - mixed[BASELINE]), left, "–"])
    head = ["", "study: switching gains", f"here: {plain[name].label}", "study: left to translations", "here: left"]
    return (
        "In the study's terms (Litschko et al. 2023, text re-ranking, MRR@10 in points; here images, MRR@10, MLIR recall@10):\n\n"
        + table(head, rows)
    )


def per_language(found: Findings) -> str:
    base = next(row for row in found.rows if row.name == BASELINE)
    part = found.main.suites[0]
    label = {own.experiment: own.label for own in found.main.systems}
    shown = [name for name in ("two_view", RECOMMENDED, UPPER_BOUND) if name in label]
    reference = next((own for name, own in found.by_coverage.items() if name in (RECOMMENDED, "two_view")), None)
    covered = dict(zip(reference.languages, reference.distances, strict=True)) if reference else {}
    distances = next(iter(found.by_distance.values()), None)
    far = dict(zip(distances.languages, distances.distances, strict=True)) if distances else {}
    rows = []
    for of, members in found.sets.items():
        for language in members:
            values = [
                100 * part.cells[TASKS[0]][label[name]][language].figures[RECALL_10][0] for name in (BASELINE, *shown)
            ]
            rows.append(
                [
                    language_name(language),
                    "–" if of == ENGLISH else TITLES[of],
                    f"{100 * covered[language]:.0f} %" if language in covered else "–",
                    f"{far[language]:.2f}" if language in far else "–",
                    *(f"{value:.1f}" for value in values),
                ]
            )
    head = ["language", "lexicon", "coverage", "distance", base.label, *(experiment_label(name) for name in shown)]
    return (
        "Coverage: content words of the compared English captions that the lexicon knows, base forms included. Distance from English: URIEL's "
        "syntactic one. Single languages are shown, not tested.\n\n" + table(head, rows)
    )


def correlations(found: Findings) -> list[str]:
    lines = []
    for name in (own for own in ("two_view", RECOMMENDED) if own in found.by_distance):
        label = experiment_label(name)
        if name in found.by_coverage:
            lines.append(f"{label}: gain against coverage, {_correlation(found.by_coverage[name])}.")
        lines.append(f"{label}: gain against distance, {_correlation(found.by_distance[name])}.")
    return lines


def text_tower(found: Findings) -> str:
    if not found.text_tower:
        return ""
    own = found.finished.plan.settings["text_tower"]["overrides"]
    return (
        f"With `{' '.join(own)}`: its features cannot be cached, so that on a CPU these runs read far fewer texts than those above and are compared with each other alone; differences are to the first row.\n\n"
        + rows_of_systems(found.text_tower, found.sets)
        + "\n\n"
        + effort(found.text_tower)
    )


def ablation(own: Ablation, sets: Mapping[str, Sequence[str]]) -> str:
    shown = [of for of in ("seen", "unseen", ENGLISH) if of in sets]
    head = ["", *(text for of in shown for text in (TITLES[of], "against"))]
    rows = [[f"{own.base.label} (as it is)", *(text for of in shown for text in (_two(own.base, of)[0], "–"))]]
    for row in own.changed:
        cells = []
        for of in shown:
            cells += [_two(row, of)[0], told(own.against[row.name][of])]
        rows.append([row.label, *cells])
    return table(head, rows)


def choices(found: Findings) -> str:
    rows = []
    for name, choice in found.finished.choices.items():
        tried = ", ".join(f"{rate:g}: {100 * own.others[-1]:.1f}" for rate, own in choice.courses.items())
        chosen = choice.courses.get(choice.rate)
        course = " → ".join(f"{100 * value:.1f}" for value in chosen.others) if chosen else "–"
        best = choice.best
        not_told = f" ({best.rate:g}: {signed(best.lead)} ± {100 * best.se:.1f})" if best else ""
        rows.append(
            [
                f"`{name}`",
                f"{choice.rate:g}{not_told}",
                tried or "given",
                course,
                "–" if math.isnan(choice.last_gain) else signed(choice.last_gain),
            ]
        )
    head = ["system", "chosen", "tried: last validation", "course of the chosen one", "last quarter"]
    return table(head, rows)


def _label(row: Row) -> str:
    return f"{row.label} (`{row.name}`)" if row.name != CENTRED and row.name != row.label else row.label


def _two(row: Row, of: str) -> tuple[str, str]:
    if of not in row.figures:
        return "–", "–"
    value, low, high = row.figures[of].figures[RECALL_10]
    figure = f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return figure, told(row.gains[of]) if of in row.gains else "–"


def _mrr(row: Row, of: str) -> float:
    return row.figures[of].figures["mrr@10"][0]


def _mixed(found: Findings) -> dict[str, float]:
    """Experiment → recall@10 of queries in mixed languages that ask for images."""
    labels = {own.label: own.experiment for own in found.further.systems}
    for own in found.further.suites[0].further:
        if own.kind == "mixed" and own.metric == RECALL_10 and own.about.task == TASKS[0]:
            return {labels[label]: value[0] for label, value in own.values.items()}
    return {}


def _correlation(own: Proximity) -> str:
    if own.pearson is None or own.spearman is None:
        return own.note.rstrip(".") or "too few languages"
    return f"Pearson {_r(own.pearson)}, Spearman {_r(own.spearman)}, {len(own.languages)} languages"


def _r(own: Correlation) -> str:
    p_value = p_text(own.p_value)
    return f"{own.value:+.2f} [{own.low:+.2f}, {own.high:+.2f}] (p {p_value if p_value.startswith('<') else f'= {p_value}'})".replace(
        "-", "−"
    )
