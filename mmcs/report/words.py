"""What the figures say, in plain words: a verdict per claim and the summary that opens the page and the terminal.

The words follow the 95 % intervals and nothing else; "cannot tell" is an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.statistics import Difference, not_inferior
from mmcs.report.comparison import Claim, Comparison, SuiteComparison
from mmcs.report.names import CONTROLS, SETS, language_name
from mmcs.retrieval.languages import ENGLISH

MARGIN = 0.01  # of recall@10: a loss of English smaller than this is no loss that matters
SIGNIFICANT = 0.05
NO_BREAK = "\u00a0"


@dataclass(frozen=True)
class Verdict:
    """An answer to one claim.

    Attributes:
        kind: ``"good"``, ``"bad"`` or ``"open"``, for colours.
        question: what the claim asks.
        answer: the two or three words of a badge.
    """

    kind: str
    question: str
    answer: str


def verdict(claim: Claim, part: SuiteComparison) -> Verdict:
    """The verdict on a claim; ``part`` tells how many languages a set has."""
    if claim.of == ENGLISH:
        kind, answer = _english(claim.difference)
        return Verdict(kind, "Is English kept?", answer)
    than = " than the control" if claim.against_control else ""
    kind, answer = _better(claim.difference, "yes", "no, worse", "no difference")
    return Verdict(kind, f"Better{than} for the {set_title(claim.of, part)}?", answer)


def points(difference: Difference) -> str:
    """A difference of recall in points: ``+4.1 [+3.0, +5.1]``, held together on one line."""
    return f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]".replace(" ", NO_BREAK)


def signed(value: float) -> str:
    """A share as points with its sign, a true minus included; nothing is ``0.0``."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def p_text(value: float) -> str:
    """A p-value as text; the resamples cannot tell very small ones apart."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def set_title(name: str, part: SuiteComparison) -> str:
    """``"8 languages with a lexicon"``, or ``"English"``."""
    count = len(part.sets[name])
    title = SETS[name]
    if name == ENGLISH:
        return title
    return f"{count} {title}" if count > 1 else f"1 {title.replace('languages', 'language', 1)}"


def summary(comparison: Comparison) -> list[str]:
    """One paragraph per suite and candidate: the answers with their figures, and what the runs cannot tell.

    A system alone gets its means.
    """
    if len(comparison.systems) == 1:
        return [_alone(comparison.baseline.label, part) for part in comparison.suites]
    return [" ".join(_sentences(label, part, comparison)) for part in comparison.suites for label in part.candidates]


def significance_note(claim: Claim) -> str:
    """Said beside a claim whose interval excludes zero but which does not survive the correction."""
    difference = claim.difference
    if (difference.low > 0 or difference.high < 0) and claim.corrected > SIGNIFICANT:
        return "not after correction for the number of claims"
    return ""


def _alone(label: str, part: SuiteComparison) -> str:
    cells = part.cells[TASKS[0]][label]
    shares = [
        "{:.1f} % [{:.1f}, {:.1f}]".format(*(100 * figure for figure in cells[name].figures["recall@10"]))
        + f" for {set_title(name, part)}"
        for name in part.sets
    ]
    return (
        f"“{label[:1].upper()}{label[1:]}” on {part.suite} ({part.split}): of all captions, those that find their image "
        f"among the first ten are {', '.join(shares)}. Whether that is much, only a comparison with other runs tells."
    )


def _sentences(label: str, part: SuiteComparison, comparison: Comparison) -> Iterator[str]:
    base = comparison.baseline.label
    own = [claim for claim in part.claims if claim.first == label]
    where = f" on {part.suite} ({part.split})" if len(comparison.suites) > 1 else ""
    answers = "; ".join(_answer(claim, part) for claim in own if claim.second == base)
    yield f"“{label[:1].upper()}{label[1:]}” against “{base}”{where}: {answers}."
    for claim in own:
        if claim.against_control and claim.of in ("seen", "non_english"):
            yield _control_sentence(claim, part)
    if not {system.experiment for system in comparison.systems} & set(CONTROLS):
        yield "No control run (shuffled lexicon) is among these: how much the words themselves matter stays open."
    if all(len(system.runs) == 1 for system in comparison.systems if system.label in (label, base)):
        yield "One seed each: another seed may move these figures."


def _answer(claim: Claim, part: SuiteComparison) -> str:
    figures = f"({points(claim.difference)} points)"
    if claim.of == ENGLISH:
        _, word = _english(claim.difference)
        if word != "cannot tell":
            return f"English {'' if word.startswith(('gains', 'loses')) else 'is '}{word} {figures}"
        lost = f"{-100 * claim.difference.low:.1f}"
        return f"whether English is kept one cannot tell, a loss of {lost} points is not excluded {figures}"
    title = set_title(claim.of, part)
    _, word = _better(claim.difference, "helps", "hurts", "makes no difference for")
    return f"it {word} the {title} {figures}" if word != "cannot tell" else f"for the {title} one cannot tell {figures}"


def _control_sentence(claim: Claim, part: SuiteComparison) -> str:
    figures = f"({points(claim.difference)} points)"
    where = f"In the {set_title(claim.of, part)}"
    _, word = _better(claim.difference, "better than", "worse than", "no better than")
    if word == "cannot tell":
        return f"{where} one cannot tell whether it is better than “{claim.second}” {figures}."
    return f"{where} it is {word} “{claim.second}” {figures}."


def _better(difference: Difference, yes: str, no: str, same: str) -> tuple[str, str]:
    if difference.low > 0:
        return "good", yes
    if difference.high < 0:
        return "bad", no
    if difference.low > -MARGIN and difference.high < MARGIN:
        return "open", same
    return "open", "cannot tell"


def _english(difference: Difference) -> tuple[str, str]:
    if difference.low > 0:
        return "good", "gains"
    if not_inferior(difference, MARGIN):
        return ("good", "not hurt") if difference.high >= 0 else ("open", "loses less than 1 point")
    return ("bad", "hurt") if difference.high < 0 else ("open", "cannot tell")


def names(languages: list[str]) -> str:
    """``German, Finnish``."""
    return ", ".join(language_name(language) for language in languages)
