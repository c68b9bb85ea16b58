"""Writes what the study found: ``study.md`` for people, ``study.json`` with its numbers, pictures beside. Nothing is computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from mmcs.evaluation.proximity import Correlation, Proximity
from mmcs.evaluation.ranking import TASKS
from mmcs.files import atomic_file
from mmcs.report.cells import RECALL_10
from mmcs.report.further import Further
from mmcs.report.names import BASELINE, CONTROLS, UNTRAINED, experiment_label, language_name
from mmcs.report.proximity_plot import proximity_plot
from mmcs.report.words import p_text, points, signed
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.findings import CENTRED, RECOMMENDED, UPPER_BOUND, Findings, Gain, Row
from mmcs.study.plan import Plan

NAME = "study"
SIGNIFICANT = 0.05
TITLES = {"seen": "with a lexicon", "unseen": "without", ENGLISH: "English"}
STANDS_ALONE = (
    'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'  # on a page, SVG needs neither
)
GREY = "#767676"  # seen on white and on black
# Litschko et al. 2023, MRR@10 in points: what switching gains, and what is left to translated training.
PUBLISHED = {"MoIR": ("stable", "4"), "CLIR": ("+5.1", "11.1"), "MLIR": ("+3.9", "not given")}


def write_pages(found: Findings, plan: Plan) -> Path:
    """Writes ``study.md``, ``study.json`` and pictures into the study's folder, and the page where ``study.page`` names it; returns the
    path of the page that is to be read.
    """
    with atomic_file(plan.out / f"{NAME}.json") as path:
        path.write_text(json.dumps(_numbers(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    targets = [plan.out / f"{NAME}.md"]
    if plan.settings["page"]:
        targets.append(Path(plan.settings["page"]).absolute())
    for target in targets:
        pictures = _draw(found, target)
        with atomic_file(target) as path:
            path.write_text(_page(found, pictures), encoding="utf-8")
    return targets[-1]


def _page(found: Findings, pictures: list[dict[str, str]]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmcs.study", "."), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    plan = found.finished.plan
    sets = found.sets
    names = {name: ", ".join(map(language_name, own)) for name, own in sets.items()}
    unseen = f" Without one: {names['unseen']}." if "unseen" in sets else ""
    return environment.get_template("study.md.j2").render(
        date=date.today().isoformat(),
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "lightning")),
        basis=_basis(found),
        seeds=_counted(len(plan.settings["seeds"]), "seed"),
        languages=f"With a lexicon: {names['seen']}.{unseen}",
        answers=[*(line for name in _asked(found) for line in _answer(found, name)), *_without_training(found)],
        untouched=_untouched(found),
        n_rows=found.n_tests[0],
        n_controls=found.n_tests[1],
        rows=_rows(found.rows, sets),
        effort=_effort(found.rows),
        controls=_controls(found),
        gaps=_gaps(found),
        study_terms=_study_terms(found),
        per_language=_per_language(found),
        correlations=_correlations(found),
        pictures=pictures,
        settings=_settings(found),
        text_tower=_text_tower(found),
        ablation_seeds=_counted(len(plan.settings["ablation_seeds"]), "seed"),
        ablations=[
            {"title": own.title[0].upper() + own.title[1:], "table": _ablation(own, sets)} for own in found.ablations
        ],
        choosing=_choosing(found),
        choices=_choices(found),
        notes=found.finished.notes or ["Nothing beside what is said above."],
    )


# --- sentences ------------------------------------------------------------------------------------------------------------


def _basis(found: Findings) -> str:
    part = found.main.suites[0]
    queries = sum(part.n_queries[TASKS[0]].values())
    return (
        f"{part.suite}, {part.split} split, all captions, {queries:,} queries in {len(part.languages)} languages, "
        f"{part.n_groups:,} concepts"
    )


def _asked(found: Findings) -> list[str]:
    """The systems whose benefit the study asks about."""
    return [name for name in ("ml_cs", "two_view", RECOMMENDED) if name in found.controls]


def _answer(found: Findings, name: str) -> list[str]:
    row = next(row for row in found.rows if row.name == name)
    parts = []
    for of in (own for own in ("seen", "unseen") if own in row.gains):
        gain = row.gains[of]
        beaten = [control for control, own in found.controls[name].items() if of in own and _better(own[of])]
        controls = (
            f", more than {'every control' if len(beaten) == len(found.controls[name]) else _listed(beaten)}"
            if beaten and _better(gain)
            else ""
        )
        parts.append(
            f"{_verdict(gain)} for languages {'with' if of == 'seen' else 'without'} a lexicon, {points(gain.difference)}{controls}"
        )
    english = row.gains[ENGLISH]
    parts.append(f"English {_english(english)}, {points(english.difference)}")
    lines = [f"**{row.label}**: {'; '.join(parts)}."]
    if name in found.gaps:
        shares = [
            f"{_percent(own.share)} of the gap to translations for languages {'with' if of == 'seen' else 'without'} a lexicon"
            for of, own in found.gaps[name].items()
            if of != ENGLISH and all(map(math.isfinite, own.share))
        ]
        lines[0] += f" It closes {' and '.join(shares)}." if shares else ""
    return lines


def _without_training(found: Findings) -> list[str]:
    """What the same gain is worth beside what trains nothing: centring, and Translate-Test at the time of the query."""
    lines = []
    asked = _asked(found)
    centred = next((row for row in found.rows if row.name == CENTRED), None)
    if centred is not None and asked:
        gains = "; ".join(f"{TITLES[of]} {_told(gain)}" for of, gain in centred.gains.items() if of != ENGLISH)
        over = "; ".join(
            f"{TITLES[of]} {_told(gain)}" for of, gain in found.over_centred[asked[-1]].items() if of != ENGLISH
        )
        lines.append(
            f"**Beside centring**, which trains nothing and needs no lexicon (English only, each language's mean embedding subtracted: {gains}), "
            f"{experiment_label(asked[-1])} gains: {over}."
        )
    base = found.transformed.get(BASELINE, {})
    for transform in (own for own in base if own.startswith("translate_test:")):
        own = next(iter(base[transform].items()), None)
        best = found.transformed.get(asked[-1] if asked else "", {}).get(transform, {})
        if own is not None:
            of, (_, gain) = own
            too = f"; {experiment_label(asked[-1])}, asked in the same way: {_told(best[of][1])}" if of in best else ""
            languages = TITLES.get(of) or ", ".join(map(language_name, of.split(",")))
            lines.append(
                f"**Beside Translate-Test** ({transform.partition(':')[2]}): queries put into English when they are asked, to English only: {languages} "
                f"{_told(gain)}{too}."
            )
    return lines


def _listed(controls: Sequence[str]) -> str:
    return " and ".join(experiment_label(control) for control in controls)


def _better(gain: Gain) -> bool:
    return gain.difference.low > 0 and gain.corrected < SIGNIFICANT


def _worse(gain: Gain) -> bool:
    return gain.difference.high < 0 and gain.corrected < SIGNIFICANT


def _verdict(gain: Gain) -> str:
    if _better(gain):
        return "it gains"
    return "it loses" if _worse(gain) else "it cannot be told whether it gains"


def _english(gain: Gain) -> str:
    if _better(gain):
        return "gains"
    if _worse(gain):
        return "is hurt"
    kept = gain.not_lost is not None and gain.not_lost.shown
    return "is kept (a loss of 1 point or more is excluded)" if kept else "is not shown to be kept"


def _untouched(found: Findings) -> str:
    part = found.further.suites[0]
    label = next((own.label for own in found.further.systems if own.experiment == UNTRAINED), None)
    if label is None:
        return ""
    config = found.main.baseline.runs[0].results["config"]
    values = ", ".join(
        f"{TITLES[of]} {100 * part.cells[TASKS[0]][label][of].figures[RECALL_10][0]:.1f} %"
        for of in found.sets
        if of in part.cells[TASKS[0]][label]
    )
    told = f"Before any training recall@10 is {values}."
    if config["model"]["name"] == "lite0_e5":
        told += (
            " That is chance: EfficientNet-Lite0 and multilingual-e5-small were never aligned with each other before, unlike a pretrained "
            "CLIP, so that English only here is what first joins them, and the text tower alone brings what crosses languages."
        )
    return told


def _study_terms(found: Findings) -> str:
    """The study's own terms beside ours."""
    name = RECOMMENDED if RECOMMENDED in found.controls else _asked(found)[-1] if _asked(found) else None
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
        + _table(head, rows)
    )


def _mrr(row: Row, of: str) -> float:
    return row.figures[of].figures["mrr@10"][0]


def _mixed(found: Findings) -> dict[str, float]:
    """Experiment → recall@10 of queries in mixed languages that ask for images."""
    labels = {own.label: own.experiment for own in found.further.systems}
    for own in found.further.suites[0].further:
        if own.kind == "mixed" and own.metric == RECALL_10 and own.about.task == TASKS[0]:
            return {labels[label]: value[0] for label, value in own.values.items()}
    return {}


def _choosing(found: Findings) -> str:
    material, plan = found.finished.material, found.finished.plan
    stage = material.choosing
    chosen_on, compared = (*stage.seen, *stage.unseen), material.comparing
    others = ", ".join(map(language_name, chosen_on))
    apart = not set(chosen_on) & {*compared.seen, *compared.unseen}
    where = "Nothing was chosen in the languages" if apart else "It was chosen in the very languages"
    return (
        f"Every system has the same number of updates and takes the learning rate with the best last validation, of mean recall@10 over {others} "
        f"(lexicon for the first {len(stage.seen)}), on concepts of the validation split, with seed {plan.settings['seeds'][0]}. Where the best stood at an end of the "
        f"list, the next one beyond was tried. {where} that are compared above. The last column is what the "
        "last quarter of the updates still added there: an arm that rises shows it."
    )


# --- tables ---------------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _rows(rows: Sequence[Row], sets: Mapping[str, Sequence[str]]) -> str:
    head = ["system", *(text for of in sets for text in (f"{TITLES[of]} ({len(sets[of])})", "difference"))]
    return _table(head, [[_label(row), *(text for of in sets for text in _two(row, of))] for row in rows])


def _label(row: Row) -> str:
    return f"{row.label} (`{row.name}`)" if row.name != CENTRED and row.name != row.label else row.label


def _two(row: Row, of: str) -> tuple[str, str]:
    if of not in row.figures:
        return "–", "–"
    value, low, high = row.figures[of].figures[RECALL_10]
    figure = f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return figure, _told(row.gains[of]) if of in row.gains else "–"


def _told(gain: Gain) -> str:
    """A difference, bold where it stands, with its corrected p-value; of English whether it is kept."""
    text = points(gain.difference)
    text = f"**{text}**" if _better(gain) or _worse(gain) else text
    kept = ", *kept*" if gain.not_lost is not None and gain.not_lost.shown else ""
    p_value = p_text(gain.corrected)
    return f"{text}, p {p_value if p_value.startswith('<') else f'= {p_value}'}{kept}"


def _effort(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if row.effort is not None:
            seconds = row.effort.cpu_seconds
            time = "–" if math.isnan(seconds) else f"{seconds:.0f} s"
            lines.append([_label(row), f"{row.effort.rate:g}", str(row.n_seeds), f"{row.effort.texts:,}", time])
    return _table(["system", "learning rate", "runs", "texts", "CPU time"], lines)


def _controls(found: Findings) -> str:
    names = [name for name in found.controls if name not in ("translate_train", UPPER_BOUND)]
    present = [control for control in (*CONTROLS, CENTRED) if control in {row.name for row in found.rows}]
    rows = []
    for name in names:
        for of in (own for own in ("seen", "unseen") if own in found.sets):
            cells = []
            for control in present:
                own = found.over_centred[name] if control == CENTRED else found.controls[name].get(control, {})
                cells.append(_told(own[of]) if of in own else "–")
            rows.append([experiment_label(name), TITLES[of], *cells])
    head = ["system", "languages", *(f"minus {own if own == CENTRED else experiment_label(own)}" for own in present)]
    return _table(head, rows)


def _gaps(found: Findings) -> str:
    names = [name for name in found.gaps if name not in CONTROLS]
    rows = []
    for name in names:
        cells = []
        for of in (own for own in ("seen", "unseen") if own in found.sets):
            gap = found.gaps[name][of]
            cells += [_percent(gap.share), points(gap.left)]
        rows.append([experiment_label(name), *cells])
    head = ["system"]
    for of in (own for own in ("seen", "unseen") if own in found.sets):
        head += [f"{TITLES[of]}: share", "left"]
    return _table(head, rows) if rows else ""


def _percent(figure: tuple[float, float, float]) -> str:
    value, low, high = figure
    if not all(map(math.isfinite, figure)):
        return "no share"
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _per_language(found: Findings) -> str:
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
        "syntactic one. Single languages are shown, not tested.\n\n" + _table(head, rows)
    )


def _correlations(found: Findings) -> list[str]:
    lines = []
    for name in (own for own in ("two_view", RECOMMENDED) if own in found.by_distance):
        label = experiment_label(name)
        if name in found.by_coverage:
            lines.append(f"{label}: gain against coverage, {_correlation(found.by_coverage[name])}.")
        lines.append(f"{label}: gain against distance, {_correlation(found.by_distance[name])}.")
    return lines


def _correlation(own: Proximity) -> str:
    if own.pearson is None or own.spearman is None:
        return own.note.rstrip(".") or "too few languages"
    return f"Pearson {_r(own.pearson)}, Spearman {_r(own.spearman)}, {len(own.languages)} languages"


def _r(own: Correlation) -> str:
    p_value = p_text(own.p_value)
    return f"{own.value:+.2f} [{own.low:+.2f}, {own.high:+.2f}] (p {p_value if p_value.startswith('<') else f'= {p_value}'})".replace(
        "-", "−"
    )


def _settings(found: Findings) -> str:
    parts = [_translated(found), _switched(found), _mixed_table(found), _pairs(found), _beir(found)]
    return "\n\n".join(part for part in parts if part)


def _translated(found: Findings) -> str:
    rows = []
    for name, transforms in found.transformed.items():
        for transform, own in transforms.items():
            if transform.startswith("translate_test:") or transform == "centred":
                what = "centred" if transform == "centred" else f"Translate-Test, {transform.partition(':')[2]}"
                for of, (cell, gain) in own.items():
                    if of != ENGLISH:
                        value, low, high = cell.figures[RECALL_10]
                        rows.append(
                            [
                                f"{experiment_label(name)}, {what}",
                                TITLES.get(of) or ", ".join(map(language_name, of.split(","))),
                                f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                                _told(gain),
                            ]
                        )
    if not rows:
        return ""
    return (
        "**Translate-Test and centring.** Queries put into English word by word (the lexicon turned round) or by a translator, or less their language's mean "
        "embedding; against English only with the same queries as they were. Languages without a translator are left out of a mean.\n\n"
        + _table(["system", "languages", "recall@10", "difference"], rows)
    )  # fmt: skip


def _switched(found: Findings) -> str:
    names = list(found.transformed)
    ps = sorted({own for name in names for own in found.transformed[name] if own.startswith("switched:")})
    rows = []
    for name in names:
        cells = []
        for transform in ps:
            own = found.transformed[name].get(transform, {}).get(ENGLISH)
            cells.append(f"{100 * own[0].figures[RECALL_10][0]:.1f}" if own else "–")
        if any(cell != "–" for cell in cells):
            row = next(row for row in found.rows if row.name == name)
            rows.append([row.label, f"{100 * row.figures[ENGLISH].figures[RECALL_10][0]:.1f}", *cells])
    if not rows:
        return ""
    head = ["system", "as they are", *(f"p = {transform.partition(':')[2]}" for transform in ps)]
    return (
        "**Code-switched queries.** English queries of which words are switched into the languages with a lexicon, recall@10.\n\n"
        + _table(head, rows)
    )


def _mixed_table(found: Findings) -> str:
    part = found.further.suites[0]
    own = [one for one in part.further if one.kind == "mixed" and one.metric == RECALL_10]
    if not own:
        return ""
    return (
        "**Mixed languages (MLIR).** The language of each query, or of each caption of the gallery, is drawn; recall@10.\n\n"
        + _further_table(
            own,
            found,
            lambda one: (
                f"{one.about.task.replace('_', ' ')}, {one.about.query_language} → {one.about.gallery_language}"
            ),
        )
    )


def _pairs(found: Findings) -> str:
    matrices = found.further.suites[0].matrices
    if not matrices:
        return ""
    rows = []
    for label, own in matrices.items():
        cells = []
        for first, second in (("seen", "seen"), ("seen", ENGLISH), ("unseen", "unseen"), ("unseen", ENGLISH)):
            values = [
                own[one, other]
                for one in found.sets.get(first, ())
                for other in found.sets.get(second, ())
                if (one, other) in own
            ]
            cells.append(f"{100 * sum(values) / len(values):.1f}" if values else "–")
        rows.append([label, *cells])
    head = ["system", "with → with", "with → English", "without → without", "without → English"]
    return (
        "**Captions that ask for captions of the same concept (CLIR).** Mean recall@10 over pairs of languages with and without a lexicon.\n\n"
        + _table(head, rows)
    )


def _beir(found: Findings) -> str:
    own = [one for one in found.further.texts if one.metric == "ndcg@10" and not one.languages]
    if not own:
        return ""
    return (
        "**Text retrieval before and after, in BEIR's format.** Captions of the suite ask for English captions of the same concept: sets made of the data at hand, in "
        "BEIR's format, not BEIR; nDCG@10 in %. (`mmcs evaluate --beir` takes the real ones.)\n\n"
        + _further_table(own, found, lambda one: one.about.suite)
    )  # fmt: skip


def _further_table(own: Sequence[Further], found: Findings, title: Any) -> str:
    labels = [system.label for system in found.further.systems if any(system.label in one.values for one in own)]
    rows = [
        [title(one), *(f"{100 * one.values[label][0]:.1f}" if label in one.values else "–" for label in labels)]
        for one in own
    ]
    return _table(["", *labels], rows)


def _text_tower(found: Findings) -> str:
    if not found.text_tower:
        return ""
    own = found.finished.plan.settings["text_tower"]["overrides"]
    return (
        f"With `{' '.join(own)}`: no features can be cached, so that these runs are shorter, alike among themselves; differences are to the first row.\n\n"
        + _rows(found.text_tower, found.sets)
        + "\n\n"
        + _effort(found.text_tower)
    )


def _ablation(own: Any, sets: Mapping[str, Sequence[str]]) -> str:
    shown = [of for of in ("seen", "unseen", ENGLISH) if of in sets]
    head = ["", *(text for of in shown for text in (TITLES[of], "against"))]
    rows = [[f"{own.base.label} (as it is)", *(text for of in shown for text in (_two(own.base, of)[0], "–"))]]
    for row in own.changed:
        cells = []
        for of in shown:
            cells += [_two(row, of)[0], _told(own.against[row.name][of])]
        rows.append([row.label, *cells])
    return _table(head, rows)


def _choices(found: Findings) -> str:
    rows = []
    for name, choice in found.finished.choices.items():
        tried = ", ".join(f"{rate:g}: {100 * own.others[-1]:.1f}" for rate, own in choice.courses.items())
        chosen = choice.courses.get(choice.rate)
        course = " → ".join(f"{100 * value:.1f}" for value in chosen.others) if chosen else "–"
        rows.append(
            [
                f"`{name}`",
                f"{choice.rate:g}",
                tried or "given",
                course,
                "–" if math.isnan(choice.last_gain) else signed(choice.last_gain),
            ]
        )
    head = ["system", "chosen", "tried: last validation", "course of the chosen one", "last quarter"]
    return _table(head, rows)


# --- pictures and numbers -------------------------------------------------------------------------------------------------


def _draw(found: Findings, page: Path) -> list[dict[str, str]]:
    """Gain against coverage and against distance, as SVG beside the page."""
    name = next((own for own in (RECOMMENDED, "two_view") if own in found.by_distance), None)
    if name is None:
        return []
    drawn = []
    for kind, of, across in (
        ("coverage", found.by_coverage.get(name), "share of content words in the lexicon"),
        ("distance", found.by_distance[name], "distance from English"),
    ):
        if of is None or len(of.languages) < 2:
            continue
        title = f"{experiment_label(name)}: gain in recall@10 against {across}"
        values = dict(zip(of.languages, zip(of.distances, of.gains, strict=True), strict=True))
        text = proximity_plot(values, found.sets, title, f"study-{kind}", across)
        target = page.parent / f"{page.stem}-{kind}.svg"
        with atomic_file(target) as path:
            path.write_text(
                text.replace("<svg ", f"<svg {STANDS_ALONE} ", 1).replace("currentColor", GREY), encoding="utf-8"
            )
        drawn.append({"title": title, "path": target.name})
    return drawn


def _numbers(found: Findings) -> dict[str, Any]:
    """The rows of the page as JSON: shares 0…1, differences with interval, p-values raw and corrected."""

    def gain(own: Gain) -> dict[str, Any]:
        difference = own.difference
        return {
            "difference": difference.value,
            "ci95": [difference.low, difference.high],
            "p": difference.p_value,
            "p_corrected": own.corrected,
            "not_lost": None if own.not_lost is None else own.not_lost.shown,
        }

    def row(own: Row) -> dict[str, Any]:
        return {
            "system": own.name,
            "runs": own.n_seeds,
            "learning_rate": None if own.effort is None else own.effort.rate,
            "figures": {
                of: {metric: list(value) for metric, value in cell.figures.items()} for of, cell in own.figures.items()
            },
            "against_english_only": {of: gain(one) for of, one in own.gains.items()},
        }

    return {
        "schema": 1,
        "sets": found.sets,
        "systems": [row(own) for own in found.rows],
        "controls": {name: {control: {of: gain(one) for of, one in own.items()} for control, own in of_name.items()} for name, of_name in found.controls.items()},
        "over_centred": {name: {of: gain(one) for of, one in own.items()} for name, own in found.over_centred.items()},
        "gap_closed": {name: {of: [value if math.isfinite(value) else None for value in gap.share] for of, gap in own.items()} for name, own in found.gaps.items()},
        "text_tower": [row(own) for own in found.text_tower],
        "ablations": {own.title: [row(one) for one in (own.base, *own.changed)] for own in found.ablations},
    }  # fmt: skip


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
