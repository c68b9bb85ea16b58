"""How the page of a study says things: titles, differences, shares, tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmcs.report.words import p_text, points
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.findings import RECOMMENDED, Findings
from mmcs.study.gains import Gain

SIGNIFICANT = 0.05
TITLES = {"seen": "with a lexicon", "unseen": "without", ENGLISH: "English"}


def asked(found: Findings) -> list[str]:
    """The systems whose benefit the study asks about."""
    return [name for name in ("ml_cs", "two_view", RECOMMENDED) if name in found.controls]


def better(gain: Gain) -> bool:
    return gain.difference.low > 0 and gain.corrected < SIGNIFICANT


def worse(gain: Gain) -> bool:
    return gain.difference.high < 0 and gain.corrected < SIGNIFICANT


def told(gain: Gain) -> str:
    """A difference, bold where it stands, with its corrected p-value; of English whether it is kept."""
    text = points(gain.difference)
    text = f"**{text}**" if better(gain) or worse(gain) else text
    kept = ", *kept*" if gain.not_lost is not None and gain.not_lost.shown else ""
    p_value = p_text(gain.corrected)
    return f"{text}, p {p_value if p_value.startswith('<') else f'= {p_value}'}{kept}"


def percent(figure: tuple[float, float, float]) -> str:
    value, low, high = figure
    if not all(map(math.isfinite, figure)):
        return "no share"
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
