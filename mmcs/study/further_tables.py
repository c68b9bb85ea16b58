"""The tables of the page that tell of further settings: what needed no training of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcs.report.cells import RECALL_10
from mmcs.report.further import Further
from mmcs.report.names import experiment_label, language_name
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.findings import Findings
from mmcs.study.words import TITLES, table, told


def further_settings(found: Findings) -> str:
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
                                told(gain),
                            ]
                        )
    if not rows:
        return ""
    return (
        "**Translate-Test and centring.** Queries put into English word by word (the lexicon turned round) or by a translator, or less their language's mean "
        "embedding; against English only with the same queries as they were. Languages without a translator are left out of a mean.\n\n"
        + table(["system", "languages", "recall@10", "difference"], rows)
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
        + table(head, rows)
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
        + table(head, rows)
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
    return table(["", *labels], rows)
