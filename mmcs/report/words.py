"""What the figures say, in plain words: a verdict per claim and the summary that opens the page and the terminal.

The words follow the 95 % intervals, and say so where a p-value does not stand the correction for the number of claims;
"cannot tell" is an answer. Single languages are counted, never claimed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.statistics import MARGIN, Difference
from mmcs.report.comparison import Claim, Comparison, SuiteComparison
from mmcs.report.names import CONTROLS, SETS, language_name
from mmcs.retrieval.languages import ENGLISH

SIGNIFICANT = 0.05
NO_BREAK = "\u00a0"
ENGLISH_SAID = {  # what stands the correction, and what does not
    "gains": ("gains", "may gain"),
    "hurt": ("is hurt", "may be hurt"),
    "not hurt": ("is not hurt", "may be unhurt"),
    "loses less than 1 point": ("loses less than 1 point", "may lose less than 1 point"),
}
UNCORRECTED = ", uncorrected"  # behind an answer that does not stand the correction


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
        question, (kind, answer) = "Is English kept?", _english(claim)
    else:
        than = " than the control" if claim.against_control else ""
        question = f"Better{than} for the {set_title(claim.of, part)}?"
        kind, answer = _better(claim.difference, "yes", "no, worse", "no difference")
    return (
        Verdict("open", question, f"{answer}{UNCORRECTED}")
        if significance_note(claim)
        else Verdict(kind, question, answer)
    )


def significance_note(claim: Claim) -> str:
    """Said beside a claim whose interval gives an answer that does not stand the correction; empty elsewhere."""
    if not answered(claim) or stands(claim):
        return ""
    return f"not significant after correction for {claim.n_claims} claims"


def answered(claim: Claim) -> bool:
    """Whether the claim's interval gives an answer that a p-value belongs to: better, worse, English not lost."""
    difference = claim.difference
    return difference.low > 0 or difference.high < 0 or (claim.not_lost is not None and claim.not_lost.shown)


def stands(claim: Claim) -> bool:
    """Whether that answer is significant after the correction for all claims (Bonferroni)."""
    if claim.of == ENGLISH and _english(claim)[1] in ("gains", "hurt"):  # another question than whether it is lost
        return _differs(claim)
    return claim.corrected < SIGNIFICANT


def _differs(claim: Claim) -> bool:
    return min(1.0, claim.difference.p_value * claim.n_claims) < SIGNIFICANT


def points(difference: Difference) -> str:
    """A difference of recall in points: ``+4.1 [+3.0, +5.1]``, held together on one line."""
    return f"{signed(difference.value)} [{signed(difference.low)}, {signed(difference.high)}]".replace(" ", NO_BREAK)


def signed(value: float) -> str:
    """A share as points with its sign, a true minus included; nothing is ``0.0``, what is unbounded ``∞``."""
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def about(count: int) -> str:
    """A count to two places that matter: ``about 27,000``."""
    return f"about {round(count, 2 - len(str(count))):,}"


def p_text(value: float) -> str:
    """A p-value as text, to three places."""
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
    return [" ".join(parts) for parts in summary_parts(comparison)]


def summary_parts(comparison: Comparison) -> list[tuple[str, str]]:
    """The paragraphs of ``summary`` in two parts: the answers, and what they rest on and leave open."""
    if len(comparison.systems) == 1:
        open_ = "Whether that is much, only a comparison with other runs tells."
        return [(_alone(comparison.baseline.label, part), open_) for part in comparison.suites]
    return [
        (" ".join(_answers(label, part, comparison)), " ".join(_caveats(label, part, comparison)))
        for part in comparison.suites
        for label in part.candidates
    ]


def basis(part: SuiteComparison) -> str:
    """What the figures of a suite rest on: data, split, protocol, queries, and the unit of the intervals."""
    return (
        f"{part.suite} ({part.split}, {part.protocol.replace('_', ' ')}): {_queries(part)}, intervals over "
        f"{part.n_groups:,} groups (concepts)"
    )


def _alone(label: str, part: SuiteComparison) -> str:
    shares = [
        "{:.1f} % [{:.1f}, {:.1f}]".format(
            *(100 * figure for figure in part.cells[TASKS[0]][label][name].figures["recall@10"])
        )
        + f" for {set_title(name, part)}"
        for name in part.sets
    ]
    return (
        f"“{_capital(label)}” on {basis(part)}. Of the captions, those that find their image among the first ten are "
        f"{', '.join(shares)}."
    )


def _answers(label: str, part: SuiteComparison, comparison: Comparison) -> Iterator[str]:
    base = comparison.baseline.label
    own = [claim for claim in part.claims if claim.first == label]
    answers = "; ".join(_answer(claim, part) for claim in own if claim.second == base)
    yield f"“{_capital(label)}” against “{base}” on {part.suite} ({part.split}): {answers}."
    for claim in own:
        if claim.against_control and claim.of in ("seen", "non_english"):
            yield _control_sentence(claim, part)


def _caveats(label: str, part: SuiteComparison, comparison: Comparison) -> Iterator[str]:
    """How many claims were tested, what the single languages say, and what is missing or unfinished."""
    if part.claims:
        yield f"Significance is corrected for {part.claims[0].n_claims} claims."
    if label in part.verdicts and len(part.languages) > 1:
        yield _languages(label, part)
    if comparison.step is not None:
        yield f"These are figures of validation at step {comparison.step}, on which checkpoints are chosen."
    if comparison.unfinished:
        count, total = len(comparison.unfinished), sum(len(system.runs) for system in comparison.systems)
        yield f"Unfinished runs: {count} of {total}; what more training does is not told."
    if not {system.experiment for system in comparison.systems} & set(CONTROLS):
        yield "No control run (shuffled lexicon) is among these: how much the words themselves matter stays open."
    yield from _rests_on(label, part, comparison)


def _rests_on(label: str, part: SuiteComparison, comparison: Comparison) -> Iterator[str]:
    """Queries, protocol, the unit of the intervals, and seeds."""
    yield (
        f"This rests on {_queries(part)} ({part.protocol.replace('_', ' ')}); the 95 % intervals are over {part.n_groups:,} "
        "groups (concepts)."
    )
    pair = [system for system in comparison.systems if system.label in (label, comparison.baseline.label)]
    if all(len(system.runs) == 1 for system in pair):
        yield "One seed each: another seed may move these figures."
    else:
        counts = " and ".join(f"{len(system.runs)} of “{system.label}”" for system in pair)
        yield f"Seeds: {counts}, averaged per query and drawn anew for the intervals."


def _queries(part: SuiteComparison) -> str:
    asked = part.n_queries[TASKS[0]].values()
    each = f"{min(asked):,}" if min(asked) == max(asked) else f"{min(asked):,} to {max(asked):,}"
    return f"{each} queries a language"


def _languages(label: str, part: SuiteComparison) -> str:
    """Counted, not claimed: the secondary family."""
    found: Counter[str] = Counter(own.verdict for own in part.verdicts[label].values())
    of = [f"{found[name]} {spoken}" for name, spoken in (("helps", "helped"), ("hurts", "hurt")) if found[name]]
    rest = found["cannot tell yet"]
    told = ", ".join([*of, *([f"{rest} cannot be told yet"] if rest else [])])
    return f"Of {len(part.verdicts[label])} single languages (secondary, corrected by themselves): {told}."


def _capital(label: str) -> str:
    return label[:1].upper() + label[1:]


def _figures(claim: Claim) -> str:
    note = significance_note(claim) or ("significant after correction" if answered(claim) else "")
    return f"({points(claim.difference)} points{f', {note}' if note else ''})"


def _answer(claim: Claim, part: SuiteComparison) -> str:
    """What does not stand the correction only *may* be."""
    figures = _figures(claim)
    may = "may " if significance_note(claim) else ""
    if claim.of == ENGLISH:
        _, word = _english(claim)
        if word == "cannot tell":
            lost = signed(-claim.difference.low).removeprefix("+")
            return f"whether English is kept one cannot tell, a loss of {lost} points is not excluded {figures}"
        return f"English {ENGLISH_SAID[word][bool(may)]} {figures}"
    title = set_title(claim.of, part)
    _, word = _better(
        claim.difference, "help" if may else "helps", "hurt" if may else "hurts", "makes no difference for"
    )
    if word == "cannot tell":
        return f"for the {title} one cannot tell {figures}"
    return f"it {may}{word} the {title} {figures}"


def _control_sentence(claim: Claim, part: SuiteComparison) -> str:
    figures = _figures(claim)
    where = f"In the {set_title(claim.of, part)}"
    _, word = _better(claim.difference, "better than", "worse than", "no better than")
    if word == "cannot tell":
        return f"{where} one cannot tell whether it is better than “{claim.second}” {figures}."
    return f"{where} it {'may be' if significance_note(claim) else 'is'} {word} “{claim.second}” {figures}."


def _better(difference: Difference, yes: str, no: str, same: str) -> tuple[str, str]:
    if difference.low > 0:
        return "good", yes
    if difference.high < 0:
        return "bad", no
    if difference.low > -MARGIN and difference.high < MARGIN:
        return "open", same
    return "open", "cannot tell"


def _english(claim: Claim) -> tuple[str, str]:
    difference = claim.difference
    kept = claim.not_lost is not None and claim.not_lost.shown
    if difference.low > 0 and (_differs(claim) or not kept or claim.corrected >= SIGNIFICANT):
        return "good", "gains"
    if kept:
        return ("good", "not hurt") if difference.high >= 0 else ("open", "loses less than 1 point")
    return ("bad", "hurt") if difference.high < 0 else ("open", "cannot tell")


def names(languages: list[str]) -> str:
    """``German, Finnish``."""
    return ", ".join(language_name(language) for language in languages)
