"""Does the method help distant languages more? Gain per language against the language's distance from English.

The distances that the package carries, or a file of the user's, are read here; ``report`` shows what comes of them.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import langcodes
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from mmcs.errors import DataError, UserError
from mmcs.evaluation.resampling import Floats, interval
from mmcs.retrieval.languages import ENGLISH

TABLE = Path(__file__).parent / "distances" / "uriel_syntax.csv"
TABLE_SOURCE = "syntactic distance from English, URIEL (lang2vec 1.1.2, CC BY-SA 4.0)"
MIN_LANGUAGES = 4  # three points lie near a line too often
EXACT_LANGUAGES = 8  # up to so many, all 40,320 orders are counted
ROUNDING = 1e-12  # of the largest figure: figures that differ by less are equal


class Distances:
    """Distances from English by language, whichever code the language goes by.

    Args:
        values: BCP 47 tag or ISO 639-3 code → distance.
        source: what they are, for people.
    """

    def __init__(self, values: Mapping[str, float], source: str) -> None:
        self.values, self.source = dict(values), source
        self._by_tag: dict[str, float] = {}
        for number in range(3):  # what a tag says itself comes before what it only stands for
            for tag, value in values.items():
                self._by_tag.setdefault(_spellings(tag)[number], value)

    def get(self, language: str) -> float | None:
        """The distance of a language, of the language without its script and region, or of its macrolanguage."""
        return next((self._by_tag[tag] for tag in _spellings(language) if tag in self._by_tag), None)


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient over languages.

    Attributes:
        value: −1 to 1.
        low, high: its 95 % interval, by a bootstrap of the languages.
        p_value: two-sided, of "no relation".
    """

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Proximity:
    """Gains against distances, and what can be told of their relation.

    Attributes:
        languages: those with a gain and a distance, nearest first, English left out; ``len`` is the n of everything.
        distances, gains: theirs.
        unknown: languages that have a gain but no distance.
        source: of the distances.
        pearson, spearman: None where nothing can be told.
        note: why not; empty where it can.
    """

    languages: list[str]
    distances: list[float]
    gains: list[float]
    unknown: list[str]
    source: str
    pearson: Correlation | None
    spearman: Correlation | None
    note: str


def read_distances(path: Path | None = None) -> Distances:
    """Distances from English out of a CSV or TSV file in UTF-8; without one, those that the package carries.

    Lines that begin with ``#`` are comments. One of three forms: columns ``language`` and ``distance`` among any others;
    two columns without a header; or a matrix of languages by languages (what lang2vec's ``distance`` returns for a list,
    saved with the codes around it), of which the column of English is read. Languages are BCP 47 tags or ISO 639-3 codes.

    Raises:
        UserError: there is no such file.
        DataError: it has none of these forms, a value that is no distance, or a language twice.
    """
    if path is None:
        return Distances(_read_table(TABLE), TABLE_SOURCE)
    if not path.is_file():
        raise UserError(f"the file of distances {path} does not exist.")
    return Distances(_read_table(path), path.name)


def proximity(gains: Mapping[str, float], distances: Distances, resamples: int = 5000, seed: int = 0) -> Proximity:
    """Pearson's and Spearman's correlation of gain and distance over languages, with intervals and p-values.

    Pearson's p-value is the t-test's, Spearman's counts all orders for up to ``EXACT_LANGUAGES`` languages and is the
    t-test's of the ranks beyond. The intervals draw languages with replacement (Efron and Tibshirani 1993); with fewer
    than ten or so they are rough. Languages are taken as a sample of languages; that each gain is itself uncertain is not
    in it, and neither is that related languages are alike: both make the relation look surer than it is.

    Args:
        gains: language → difference between two systems, in any unit. English, whose distance is 0, is left out.
        distances: from ``read_distances``.

    Raises:
        ValueError: a gain is not a finite number.
    """
    foreign = [language for language in gains if language != ENGLISH]
    if broken := [language for language in foreign if not math.isfinite(gains[language])]:
        raise ValueError(f"the gain of {broken[0]} is not a finite number.")
    found = {language: distance for language in foreign if (distance := distances.get(language)) is not None}
    languages = sorted(found, key=lambda language: (found[language], language))
    x, y = [found[language] for language in languages], [float(gains[language]) for language in languages]
    note = _why_not(x, y)
    return Proximity(
        languages=languages,
        distances=x,
        gains=y,
        unknown=[language for language in foreign if language not in found],
        source=distances.source,
        pearson=None if note else _pearson(x, y, resamples, seed),
        spearman=None if note else _spearman(x, y, resamples, seed),
        note=note,
    )


def _why_not(x: Sequence[float], y: Sequence[float]) -> str:
    if len(x) < MIN_LANGUAGES:
        languages = "language" if len(x) == 1 else "languages"
        return (
            f"from {len(x)} {languages} it cannot be told whether gains go with distance: {MIN_LANGUAGES} are needed."
        )
    for name, values in (("distances", x), ("gains", y)):
        if np.ptp(values) <= ROUNDING * np.abs(values).max():
            return f"all {name} are equal: there is nothing to relate."
    return ""


def _pearson(x: Sequence[float], y: Sequence[float], resamples: int, seed: int) -> Correlation:
    drawn = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    samples = _correlations(np.asarray(x)[drawn], np.asarray(y)[drawn])
    theirs = stats.pearsonr(x, y)
    return Correlation(float(theirs.statistic), *_bounds(samples), float(theirs.pvalue))


def _spearman(x: Sequence[float], y: Sequence[float], resamples: int, seed: int) -> Correlation:
    drawn = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    samples = _correlations(_ranked(np.asarray(x)[drawn]), _ranked(np.asarray(y)[drawn]))
    theirs = stats.spearmanr(x, y)
    value, p_value = float(theirs.statistic), float(theirs.pvalue)
    if len(x) <= EXACT_LANGUAGES:
        orders = np.array(list(itertools.permutations(_ranked(np.asarray([y]))[0])))
        p_value = float(np.mean(np.abs(_correlations(_ranked(np.asarray([x])), orders)) >= abs(value) - 1e-12))
    return Correlation(value, *_bounds(samples), p_value)


def _ranked(rows: Floats) -> Floats:
    return stats.rankdata(rows, axis=1)


def _correlations(x: Floats, y: Floats) -> Floats:
    """Pearson's coefficient of each row of (R, n) and (R, n); NaN where a row of either is constant."""
    x, y = np.broadcast_arrays(x, y)
    constant = (x == x[:, :1]).all(axis=1) | (y == y[:, :1]).all(axis=1)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(constant, np.nan, (x * y).sum(axis=1) / np.where(constant, 1.0, size))


def _bounds(samples: ArrayLike) -> tuple[float, float]:
    low, high = interval(samples)
    return max(-1.0, low), min(1.0, high)


def _spellings(tag: str) -> tuple[str, str, str]:
    """A language's standard tag, the tag without script and region, and its macrolanguage: ``zh-Hans``, ``zh``, ``zh``."""
    standard = langcodes.standardize_tag(tag)
    bare = langcodes.Language.get(standard).language or standard
    return standard, bare, langcodes.standardize_tag(bare, macro=True)


def _read_table(path: Path) -> dict[str, float]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8; save it as CSV with encoding UTF-8.") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
    if not lines:
        raise DataError(f"{path} holds no distances.")
    delimiter = max("\t,;", key=lines[0][1].count)
    rows = [
        (number, [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]) for number, line in lines
    ]
    language, distance, has_header = _columns(rows[0][1], path)
    values: dict[str, float] = {}
    for number, row in rows[has_header:]:
        where = f"{path} line {number}"
        if len(row) <= max(language, distance):
            raise DataError(f"{where} has {len(row)} values, fewer than its header has columns.")
        tag = _tag(row[language], where)
        if tag in values:
            raise DataError(f"{where} names {row[language]} a second time; keep one line for it.")
        values[tag] = _number(row[distance], where)
    return values


def _columns(first: Sequence[str], path: Path) -> tuple[int, int, bool]:
    """Where language and distance stand, and whether the first row is a header."""
    names = [name.casefold() for name in first]
    if "language" in names and "distance" in names:
        return names.index("language"), names.index("distance"), True
    if english := {"en", "eng"} & set(names[1:]):
        return 0, names.index(english.pop(), 1), True
    if len(first) == 2 and first[1].replace(".", "", 1).isdecimal():
        return 0, 1, False
    raise DataError(
        f"{path} is no table of distances: it needs the columns language and distance, or a column en (or eng) of a matrix; "
        f"it has {', '.join(first)[:200]}."
    )


def _tag(text: str, where: str) -> str:
    try:
        return _spellings(text)[0]
    except ValueError:
        raise DataError(f"{where}: '{text}' is no language tag (BCP 47: de, zh-Hans) or ISO 639-3 code.") from None


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise DataError(
            f"{where}: '{text}' is no distance, a number from 0 on; leave out a line whose distance is unknown."
        )
    return value
