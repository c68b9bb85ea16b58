"""What gains and distances allow one to say, in a sentence; the figures beside it. No figure is made here."""

from __future__ import annotations

from mmcs.evaluation.proximity import Correlation, Proximity
from mmcs.report.names import language_name
from mmcs.report.words import SIGNIFICANT, p_text


def relation(own: Proximity) -> str:
    """Whether gains rise or fall with distance; both coefficients must say so."""
    if own.pearson is None or own.spearman is None:
        return f"{own.note[:1].upper()}{own.note[1:]}"
    for sign, verb in ((1, "rise"), (-1, "fall")):
        if all(_clear(one, sign) for one in (own.pearson, own.spearman)):
            return f"Gains {verb} with the distance from English."
    return (
        f"From these {len(own.languages)} languages it cannot be told whether gains go with the distance from English."
    )


def correlations(own: Proximity) -> str:
    """Both coefficients with intervals and p-values, how many languages, and what is missing."""
    if own.pearson is None or own.spearman is None:
        figures = ""
    else:
        figures = f"Pearson’s r {_figure(own.pearson)}; Spearman’s ρ {_figure(own.spearman)}; {len(own.languages)} languages. "
    missing = ", ".join(language_name(language) for language in own.unknown)
    return f"{figures}Distances: {own.source}.{f' Without a distance: {missing}.' if missing else ''}"


def _clear(one: Correlation, sign: int) -> bool:
    return one.p_value < SIGNIFICANT and min(sign * one.low, sign * one.high) > 0


def _figure(one: Correlation) -> str:
    low, value, high = (f"{x:+.2f}".replace("-", "−") for x in (one.low, one.value, one.high))
    p = p_text(one.p_value)
    return f"{value} [{low}, {high}], p {p if p.startswith('<') else f'= {p}'}"
