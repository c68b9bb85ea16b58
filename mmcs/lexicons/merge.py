"""Joining lexicons of one source language into one file, in an order of trust: ``mmcs lexicon merge`` calls it.

They are streamed side by side; memory does not grow with what their candidates weigh.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmcs.codeswitch.lexicon import Candidate, Lexicon, Ranked
from mmcs.codeswitch.lexicon_file import MAX_CANDIDATES, MAX_LABELS
from mmcs.errors import DataError, UserError
from mmcs.lexicons.derived import opened
from mmcs.lexicons.format import Row, write_sorted
from mmcs.lexicons.ranking import MIN_WEIGHT
from mmcs.prepare.records import Tally


def merge_lexicons(
    paths: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], left_out: Tally, *, fill: bool = False
) -> Path:
    """Writes what all of ``paths`` hold to ``out``.

    A phrase has, per language, the candidates of the first lexicon that translates it, then what further ones add (see
    ``merged``). With ``fill`` it has those of the first alone: a strategy then finds what it would find with
    ``codeswitch.lexicons=[...]`` in this order.

    Args:
        paths: two or more, the most trusted first.
        out: the ``.lex`` file, none of ``paths``.
        left_out: takes what does not fit an entry.
        fill: whether further lexicons only fill gaps.

    Raises:
        UserError: less than two lexicons, or several source languages. DataError: a file that cannot be read.
    """
    if len(paths) < 2:
        raise UserError("merge joins two or more lexicons; one is named.")
    lexicons = [opened(path, out) for path in paths]
    if len(told := {lexicon.source_language: lexicon.path.name for lexicon in lexicons}) > 1:
        by = ", ".join(f"{language} ({name})" for language, name in told.items())
        raise UserError(f"a lexicon has one source language; these translate from {by}.")
    labels = {label for lexicon in lexicons for label in lexicon.header["pos"]}
    if len(labels) > MAX_LABELS:
        raise DataError(f"together they have {len(labels)} labels of parts of speech, {MAX_LABELS} fit one lexicon.")
    sources = [source for lexicon in lexicons for source in lexicon.header["sources"]]
    unique = [source for i, source in enumerate(sources) if source not in sources[:i]]
    return write_sorted(
        out, _rows(lexicons, left_out, fill=fill), source_language=lexicons[0].source_language, sources=unique
    )


def merged(rankings: Sequence[Ranked]) -> list[Candidate]:
    """The candidates of several lexicons for one phrase and language; the weights sum to 1 unless there is one lexicon.

    Those of the first keep their order and their ratios. What a further one adds comes behind, in its order, and weighs no
    more than what stands before it. A part of speech that the first does not know is taken from a further one.
    """
    if len(rankings) == 1:
        return list(rankings[0])
    found: dict[str, Candidate] = {}
    for ranking in rankings:
        # Within a lexicon weights are as they are; across, the last so far is the limit.
        limit = min((candidate.weight for candidate in found.values()), default=1.0)
        for candidate in ranking:
            before = found.get(candidate.text)
            if before is None:
                found[candidate.text] = candidate._replace(weight=min(limit, candidate.weight))
            elif not before.pos:
                found[candidate.text] = before._replace(pos=candidate.pos)
    total = sum(candidate.weight for candidate in found.values())
    return [candidate._replace(weight=max(candidate.weight / total, MIN_WEIGHT)) for candidate in found.values()]


def _rows(lexicons: Sequence[Lexicon], left_out: Tally, *, fill: bool) -> Iterator[Row]:
    from mmcs.progress import track

    def keyed(number: int, lexicon: Lexicon) -> Iterator[tuple[bytes, str, int, Ranked]]:
        for phrase, language, candidates in lexicon.rows():
            yield phrase.encode(), language, number, candidates

    every = heapq.merge(*itertools.starmap(keyed, enumerate(lexicons)), key=lambda row: row[:3])
    total = sum(sum(lexicon.header["entries"].values()) for lexicon in lexicons)
    for (key, language), rows in itertools.groupby(track(every, "Merging", total), key=lambda row: row[:2]):
        phrase, rankings = key.decode(), [candidates for _, _, _, candidates in rows]
        candidates = merged(rankings[:1] if fill else rankings)
        for candidate in candidates[MAX_CANDIDATES:]:
            left_out.add(f"beyond the {MAX_CANDIDATES} candidates that an entry holds", f"{phrase} - {candidate.text}")
        yield phrase, language, candidates[:MAX_CANDIDATES]
