"""The sentences of the page: what the study answers, of what, and how settings were chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmcs.evaluation.ranking import TASKS
from mmcs.report.cells import RECALL_10
from mmcs.report.names import BASELINE, UNTRAINED, experiment_label, language_name
from mmcs.report.words import points
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.findings import CENTRED, Findings, Row
from mmcs.study.gains import Gain
from mmcs.study.words import TITLES, asked, better, percent, told, worse


def basis(found: Findings) -> str:
    part = found.main.suites[0]
    queries = sum(part.n_queries[TASKS[0]].values())
    return (
        f"{part.suite}, {part.split} split, all captions, {queries:,} queries in {len(part.languages)} languages, "
        f"{part.n_groups:,} concepts"
    )


def answer(found: Findings, name: str) -> list[str]:
    row = next(row for row in found.rows if row.name == name)
    parts = []
    for of in (own for own in ("seen", "unseen") if own in row.gains):
        gain = row.gains[of]
        beaten = [control for control, own in found.controls[name].items() if of in own and better(own[of])]
        controls = (
            f", more than {'every control' if len(beaten) == len(found.controls[name]) else _listed(beaten)}"
            if beaten and better(gain)
            else ""
        )
        parts.append(_gained(row, of) + controls)
    parts.append(_kept(row))
    lines = [f"**{row.label}**: {'; '.join(parts)}."]
    if name in found.gaps:
        shares = [
            f"{percent(own.share)} of the gap to translations for languages {'with' if of == 'seen' else 'without'} a lexicon"
            for of, own in found.gaps[name].items()
            if of != ENGLISH and all(map(math.isfinite, own.share))
        ]
        lines[0] += f" It closes {' and '.join(shares)}." if shares else ""
    return lines


def with_text_tower(found: Findings) -> list[str]:
    """The same of systems whose text tower was trained, too; they are compared with English only that was trained likewise."""
    lines = []
    for row in found.text_tower:
        parts = [_gained(row, of) for of in ("seen", "unseen") if of in row.gains]
        if parts:
            lines.append(f"**{row.label}, the text tower trained, too**: {'; '.join([*parts, _kept(row)])}.")
    return lines


def without_training(found: Findings) -> list[str]:
    """What the same gain is worth beside what trains nothing: centring, and Translate-Test at the time of the query."""
    lines = []
    best = asked(found)[-1] if asked(found) else ""
    centred = next((row for row in found.rows if row.name == CENTRED), None)
    if centred is not None and best:
        gains = "; ".join(f"{TITLES[of]} {told(gain)}" for of, gain in centred.gains.items() if of != ENGLISH)
        over = "; ".join(f"{TITLES[of]} {told(gain)}" for of, gain in found.over_centred[best].items() if of != ENGLISH)
        lines.append(
            f"**Beside centring**, which trains nothing and needs no lexicon (English only, each language's mean embedding subtracted: {gains}), "
            f"{experiment_label(best)} gains: {over}."
        )
    base = found.transformed.get(BASELINE, {})
    for transform in (own for own in base if own.startswith("translate_test:")):
        own = next(iter(base[transform].items()), None)
        alike = found.transformed.get(best, {}).get(transform, {})
        if own is not None:
            of, (_, gain) = own
            too = f"; {experiment_label(best)}, asked in the same way: {told(alike[of][1])}" if of in alike else ""
            languages = TITLES.get(of) or ", ".join(map(language_name, of.split(",")))
            lines.append(
                f"**Beside Translate-Test** ({transform.partition(':')[2]}): queries put into English when they are asked, to English only: {languages} "
                f"{told(gain)}{too}."
            )
    return lines


def untouched(found: Findings) -> str:
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


def choosing(found: Findings) -> str:
    if not any(choice.courses for choice in found.finished.choices.values()):
        return "Every system has the same number of updates and the learning rate that was given; nothing was chosen."
    material, plan = found.finished.material, found.finished.plan
    stage = material.choosing
    chosen_on, compared = (*stage.seen, *stage.unseen), material.comparing
    others = ", ".join(map(language_name, chosen_on))
    apart = not set(chosen_on) & {*compared.seen, *compared.unseen}
    where = "Nothing was chosen in the languages" if apart else "It was chosen in the very languages"
    return (
        f"Every system has the same number of updates and takes the learning rate with the best last validation, of mean recall@10 over {others} "
        f"(lexicon for the first {len(stage.seen)}), on concepts of the validation split, with seed {plan.settings['seeds'][0]}. Where the best stood at an end of the "
        f"list, the next one beyond was tried. Where the best is not better than {experiment_label(BASELINE)}'s rate by more than a standard error over "
        "concepts, that rate is taken, and the best stands in brackets with what it is better by: one seed's validation does not tell such rates apart. "
        f"{where} that are compared above. The last column is what the last quarter of the updates still added there: an arm that rises shows it."
    )


def _listed(controls: Sequence[str]) -> str:
    return " and ".join(experiment_label(control) for control in controls)


def _gained(row: Row, of: str) -> str:
    gain = row.gains[of]
    which = "with" if of == "seen" else "without"
    return f"{_verdict(gain)} for languages {which} a lexicon, {points(gain.difference)}"


def _kept(row: Row) -> str:
    return f"English {_english(row.gains[ENGLISH])}, {points(row.gains[ENGLISH].difference)}"


def _verdict(gain: Gain) -> str:
    if better(gain):
        return "it gains"
    return "it loses" if worse(gain) else "it cannot be told whether it gains"


def _english(gain: Gain) -> str:
    if better(gain):
        return "gains"
    if worse(gain):
        return "is hurt"
    kept = gain.not_lost is not None and gain.not_lost.shown
    return "is kept (a loss of 1 point or more is excluded)" if kept else "is not shown to be kept"
