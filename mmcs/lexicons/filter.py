"""Leaving out of a lexicon what one does not want: ``mmcs lexicon filter`` calls it.

What stays keeps its weight, so that filtering twice gives what filtering once with both conditions gives.
"""

from __future__ import annotations

import itertools
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import Candidate, Lexicon
from mmcs.codeswitch.lexicon_file import MAX_CANDIDATES
from mmcs.common.language_tags import known_language
from mmcs.errors import DataError, UserError
from mmcs.lexicons.derived import noted, opened
from mmcs.lexicons.format import Row, write_sorted
from mmcs.lexicons.frequency import commonest, zipf
from mmcs.prepare.records import Tally

UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Conditions:
    """What a candidate must meet; None and empty ask nothing.

    Attributes:
        languages: targets to keep (BCP 47, in any spelling).
        pos: labels of parts of speech to keep, as the lexicon has them; ``UNLABELLED`` for candidates without.
        min_weight: the least weight, in (0, 1].
        min_frequency: how common a candidate must be, on the Zipf scale of wordfreq (a phrase by its words). Languages that
            wordfreq lacks are kept whole.
        max_candidates: kept per entry, of those that meet the rest.
    """

    languages: tuple[str, ...] = ()
    pos: tuple[str, ...] = ()
    min_weight: float | None = None
    min_frequency: float | None = None
    max_candidates: int | None = None


def filter_lexicon(
    path: str | os.PathLike[str], out: str | os.PathLike[str], conditions: Conditions, left_out: Tally
) -> Path:
    """Writes what of ``path`` meets all ``conditions`` to ``out``; what does not is counted in ``left_out``.

    Raises:
        UserError: no condition, or one that makes no sense for this lexicon. DataError: nothing is left.
    """
    lexicon = opened(path, out)
    languages = _checked(conditions, lexicon)
    note = "filtered: " + ", ".join(
        f"{name} {','.join(value) if isinstance(value, tuple) else value}"
        for name, value in vars(conditions).items()
        if value not in ((), None)
    )
    about: dict[str, Any] = {"of": lexicon.header["checksum"]}
    rows = _rows(lexicon, conditions, languages, left_out)
    first = next(rows, None)
    if first is None:
        causes = ", ".join(f"{n:,} x {cause}" for cause, n in left_out.counts.items())
        raise DataError(f"nothing is left of {path} ({note}): {causes}.")
    return write_sorted(
        out,
        itertools.chain([first], rows),
        source_language=lexicon.source_language,
        sources=noted(lexicon, languages, note, "filtered", about),
    )


def unknown_frequencies(lexicon: Lexicon) -> list[str]:
    """The languages whose frequencies wordfreq does not know: ``min_frequency`` keeps them whole."""
    return [language for language in lexicon.languages if not commonest(language)]


def _checked(conditions: Conditions, lexicon: Lexicon) -> tuple[str, ...]:
    """The languages to keep."""
    if conditions == Conditions():
        raise UserError("nothing to filter by; name a condition, such as --min-weight 0.1.")
    if conditions.min_weight is not None and not 0 < conditions.min_weight <= 1:
        raise UserError(f"--min-weight is above 0 and at most 1; got {conditions.min_weight:g}.")
    if conditions.min_frequency is not None and not 0 < conditions.min_frequency <= 8:
        raise UserError(
            f"--min-frequency is a Zipf frequency above 0 and at most 8 (3: once in a million words); got "
            f"{conditions.min_frequency:g}."
        )
    if conditions.max_candidates is not None and not 1 <= conditions.max_candidates <= MAX_CANDIDATES:
        raise UserError(f"--max-candidates is a number from 1 to {MAX_CANDIDATES}; got {conditions.max_candidates}.")
    labels = [label or UNLABELLED for label in lexicon.header["pos"]]
    if unknown := [label for label in conditions.pos if label not in labels]:
        raise UserError(f"{lexicon.path} has no part of speech {', '.join(unknown)}; it has {', '.join(labels)}.")
    tags = {one: known_language(one, lexicon.languages) for one in conditions.languages}
    if unknown := [one for one, tag in tags.items() if tag is None]:
        raise UserError(f"{lexicon.path} has no {', '.join(unknown)}; it has {', '.join(lexicon.languages)}.")
    return tuple(dict.fromkeys(tag for tag in tags.values() if tag is not None)) or lexicon.languages


def _rows(lexicon: Lexicon, conditions: Conditions, languages: tuple[str, ...], left_out: Tally) -> Iterator[Row]:
    from mmcs.progress import track

    common = {language: _common(lexicon, language, conditions.min_frequency) for language in languages}
    rarer = f"rarer than Zipf {conditions.min_frequency}"
    wanted = {"" if label == UNLABELLED else label for label in conditions.pos}
    most = conditions.max_candidates or MAX_CANDIDATES
    least = array("f", [conditions.min_weight or 0])[0]  # as weights are stored: 0.7 is a little less than 0.7
    for phrase, language, candidates in track(lexicon.rows(), "Filtering", sum(lexicon.header["entries"].values())):
        if language not in common:
            left_out.add(f"entry of {language}", phrase)
            continue
        kept: list[Candidate] = []
        for candidate in candidates:
            is_common = next(common[language])
            if candidate.weight < least:
                cause = f"weight under {conditions.min_weight}"
            elif not is_common:
                cause = rarer
            elif wanted and candidate.pos not in wanted:
                cause = f"part of speech not {', '.join(conditions.pos)}"
            elif len(kept) == most:
                cause = f"beyond {most} candidates"
            else:
                kept.append(candidate)
                continue
            left_out.add(cause, f"{phrase} - {candidate.text} ({language})")
        if kept:
            yield phrase, language, kept
        else:
            left_out.add("entry without a candidate left", f"{phrase} ({language})")


def _common(lexicon: Lexicon, language: str, least: float | None) -> Iterator[bool]:
    """Per candidate of ``language``, in the order of the file, whether it is common enough.

    Judged beforehand, a byte each: rows come in all languages at once, and the frequencies of all are too much to hold.
    """
    if least is None or not commonest(language):
        return itertools.repeat(True)
    judged = bytearray(
        zipf(candidate.text, language) >= least for _, candidates in lexicon.items(language) for candidate in candidates
    )
    return map(bool, judged)
