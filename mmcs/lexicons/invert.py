"""Turning a lexicon round, X to English instead of English to X, as Translate-Test needs it: ``mmcs lexicon invert`` calls it.

A lexicon has one source language, so that each target language gives a file of its own. Sorting is done on disk.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import Candidate, Lexicon, normaliser
from mmcs.common.language_tags import known_language
from mmcs.errors import DataError, UserError
from mmcs.lexicons.derived import noted, opened
from mmcs.lexicons.format import Row, write_sorted
from mmcs.lexicons.frequency import zipf
from mmcs.lexicons.pairs import MAX_TOKENS, clean
from mmcs.lexicons.ranking import MAX_CANDIDATES, MIN_WEIGHT
from mmcs.lexicons.scratch import scratch
from mmcs.prepare.records import Tally

RAREST = 1.0  # Zipf frequency of a phrase that wordfreq does not know

_TABLES = "CREATE TABLE pair (phrase TEXT, text TEXT, weight REAL, pos TEXT);"


def invert_lexicon(
    path: str | os.PathLike[str],
    language: str,
    out: str | os.PathLike[str],
    left_out: Tally,
    *,
    max_tokens: int = MAX_TOKENS,
) -> Path:
    """Writes the lexicon that translates from ``language`` what ``path`` translates into it.

    A candidate's weight is P(source | target) by Bayes' rule: the weight of the pair in ``path`` times how common the source
    phrase is, shared out anew. Without the latter rare words win: "armoire" is always a big cupboard, "big" is much else too.
    Where wordfreq does not know the source language, all its phrases count as equally common. Candidates are spelt as
    phrases are stored, without capitals.

    Args:
        path: the lexicon.
        language: one of its target languages (BCP 47, in any spelling).
        out: the ``.lex`` file, not ``path``.
        left_out: takes what is left out, by cause.
        max_tokens: words of the longest phrase.

    Raises:
        UserError: a language that it lacks. DataError: it cannot be read, or nothing is left.
    """
    if max_tokens < 1:
        raise UserError(f"a phrase has at least 1 word; got --max-words {max_tokens}.")
    lexicon = opened(path, out)
    known = known_language(language, lexicon.languages)
    if known is None:
        raise UserError(f"{path} has no language {language}; it has {', '.join(lexicon.languages)}.")
    language = known
    about: dict[str, Any] = {"language": language, "of": lexicon.header["checksum"]}
    sources = noted(lexicon, [language], f"inverted: {language} to {lexicon.source_language}", "inverted", about)
    for source in sources:
        source.pop("language", None)  # the target's, which is the source now
    with scratch(_TABLES) as database:
        pairs = _pairs(lexicon, language, left_out, max_tokens)
        database.executemany("INSERT INTO pair VALUES (?, ?, ?, ?)", pairs)
        rows = _rows(database, lexicon.source_language, left_out)
        first = next(rows, None)
        if first is None:
            causes = ", ".join(f"{n:,} x {cause}" for cause, n in left_out.counts.items())
            raise DataError(f"nothing is left of the {language} part of {path}: {causes}.")
        return write_sorted(out, itertools.chain([first], rows), source_language=language, sources=sources)


def _pairs(lexicon: Lexicon, language: str, left_out: Tally, max_tokens: int) -> Iterator[tuple[str, str, float, str]]:
    from mmcs.progress import track

    normalise = normaliser(language)
    for phrase, candidates in track(lexicon.items(language), "Inverting", lexicon.header["entries"][language]):
        for text, weight, pos in candidates:
            inverted = normalise(clean(text))
            if not inverted or min(inverted) < " ":
                left_out.add("nothing visible, or a control character", f"{phrase} - {text!r}")
            elif inverted.count(" ") >= max_tokens:
                left_out.add(f"more than {max_tokens} words", f"{phrase} - {text}")
            else:
                yield inverted, phrase, weight, pos


def _rows(database: sqlite3.Connection, language: str, left_out: Tally) -> Iterator[Row]:
    """The entries in the order of a lexicon; ``language`` is that of the candidates."""
    # Of several parts of speech SQLite gives that of the pair with the greatest weight: MAX decides.
    pairs = database.execute(
        "SELECT phrase, text, SUM(weight), pos, MAX(weight) FROM pair GROUP BY phrase, text ORDER BY phrase, text"
    )
    for phrase, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        scored = [(weight * 10 ** max(zipf(text, language), RAREST), text, pos) for _, text, weight, pos, _ in group]
        scored.sort(key=lambda one: (-one[0], one[1]))
        for _, text, _ in scored[MAX_CANDIDATES:]:
            left_out.add(f"beyond the {MAX_CANDIDATES} best candidates", f"{phrase} - {text}")
        best = scored[:MAX_CANDIDATES]
        total = sum(score for score, _, _ in best)
        yield phrase, language, [Candidate(text, max(score / total, MIN_WEIGHT), pos) for score, text, pos in best]
