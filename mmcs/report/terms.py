"""``--terms FILE``: how well the queries are answered that hold a user's own terms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcs.codeswitch.lexicon import normaliser
from mmcs.codeswitch.segment import segment
from mmcs.errors import DataError, UserError
from mmcs.evaluation.statistics import Difference
from mmcs.evaluation.trec import Queries
from mmcs.report.cells import RECALL_10, Figure, cells, differences
from mmcs.report.runs import Answers

ALL = "all"
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class TermReport:
    """The queries of one language, or of all together, that hold one of the terms: recall@10 of image retrieval.

    Attributes:
        language: a BCP 47 tag; ``"all"``: the queries of all languages together, each counting the same.
        terms: term → how many queries hold it; those that occur.
        missing: terms that occur in no query here.
        n_queries, n_groups: what the figures rest on; 0 where no term occurs.
        figures: system label → (value, low, high); empty without queries.
        differences: label → this system minus the baseline, paired; exploratory, not corrected.
    """

    language: str
    terms: dict[str, int]
    missing: list[str]
    n_queries: int
    n_groups: int
    figures: dict[str, Figure]
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Term:
    """A term as the user wrote it, and the one language that it is meant in (None: all)."""

    text: str
    language: str | None = None


def read_terms(path: Path) -> list[Term]:
    """Reads terms, one a line in UTF-8: ``TERM`` or ``LANGUAGE<tab>TERM``; lines that begin with ``#`` are comments.

    Raises:
        UserError: there is no such file, or no term in it.
        DataError: it is not UTF-8, or a line has more than that.
    """
    if not path.is_file():
        raise UserError(f"the file of terms {path} does not exist.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from None
    terms = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        language, found, text = line.partition("\t") if "\t" in line else ("", "", line)
        text = text.strip()
        if (found and not _TAG.fullmatch(language.strip())) or "\t" in text or not text:
            raise DataError(
                f"{path}, line {number}: expected a term, or a language, a tab and a term; got {line[:80]!r}."
            )
        terms.append(Term(text, language.strip() or None))
    if not terms:
        raise UserError(f"{path} holds no terms; write one a line.")
    return list(dict.fromkeys(terms))


def report_terms(answers: Mapping[str, Answers], base: str, terms: Sequence[Term]) -> list[TermReport]:
    """Per language, and of all together last, the queries that hold a term.

    A term is held where its words stand side by side, whole, in any capitals; in scripts without spaces (Chinese, Thai,
    …) wherever its characters do.

    Args:
        answers: label → language → queries; the same ones for each label.
        base: the baseline's label.
        terms: from ``read_terms``.
    """
    reports = []
    chosen: dict[str, list[int]] = {}
    total: Counter[str] = Counter()
    for language, own in answers[base].items():
        meant = list(dict.fromkeys(term.text for term in terms if term.language in (None, language)))
        finder = _Finder(meant, language)
        held = [finder(text) for text in own[0].texts]
        counts = Counter(term for found in held for term in found)
        chosen[language] = [place for place, found in enumerate(held) if found]
        part = {label: {language: _only(answer[language], chosen[language])} for label, answer in answers.items()}
        reports.append(_report(language, meant, counts, part, base))
        total += counts
    together = {
        label: {ALL: _joined([_only(answer[language], places) for language, places in chosen.items()])}
        for label, answer in answers.items()
    }
    meant = list(dict.fromkeys(term.text for term in terms))
    return [*reports, _report(ALL, meant, total, together, base)]


class _Finder:
    """The terms of one language that a text of it holds."""

    def __init__(self, terms: Iterable[str], language: str) -> None:
        self._fold = normaliser(language)
        self._by_first_word: dict[str, list[tuple[str, list[str]]]] = {}
        self._wordless: list[tuple[str, re.Pattern[str]]] = []  # emoji, signs, measures
        for term in terms:
            folded = self._fold(term)
            parts = segment(folded)
            if len(parts) > 1:
                self._by_first_word.setdefault(parts[1], []).append((term, parts))
            elif folded:
                self._wordless.append((term, _whole(folded)))

    def __call__(self, text: str) -> set[str]:
        folded = self._fold(text)
        found = {term for term, sought in self._wordless if sought.search(folded)}
        parts = segment(folded)
        for at in range(1, len(parts), 2):
            for term, sought in self._by_first_word.get(parts[at], ()):
                end = at + len(sought) - 2
                if (
                    parts[at:end] == sought[1:-1]
                    and parts[at - 1].endswith(sought[0])
                    and parts[end].startswith(sought[-1])
                ):
                    found.add(term)
        return found


def _whole(text: str) -> re.Pattern[str]:
    """``text`` where no letter or digit of it is in the middle of a word."""
    return re.compile(r"(?<!\w)" * text[0].isalnum() + re.escape(text) + r"(?!\w)" * text[-1].isalnum())


def _report(
    language: str, terms: Sequence[str], counts: Mapping[str, int], answers: Mapping[str, Answers], base: str
) -> TermReport:
    queries = answers[base][language][0]
    found = bool(queries.ids)
    return TermReport(
        language=language,
        terms={term: counts[term] for term in terms if counts.get(term)},
        missing=[term for term in terms if not counts.get(term)],
        n_queries=len(queries.ids),
        n_groups=len(set(queries.groups)),
        figures={label: cells(own, {})[language].figures[RECALL_10] for label, own in answers.items()} if found else {},
        differences={
            label: differences(own, answers[base], {language: [language]})[language]
            for label, own in answers.items()
            if found and label != base
        },
    )


def _only(seeds: Sequence[Queries], places: Sequence[int]) -> list[Queries]:
    """The queries at ``places``, of each seed."""
    return [
        Queries(
            about=own.about,
            ids=[own.ids[place] for place in places],
            groups=[own.groups[place] for place in places],
            ranks=own.ranks[list(places)],
            ndcg=own.ndcg[list(places)],
            texts=[own.texts[place] for place in places],
        )
        for own in seeds
    ]


def _joined(languages: Sequence[Sequence[Queries]]) -> list[Queries]:
    """The queries of several languages as if of one, of each seed."""
    return [
        Queries(
            about=parts[0].about,
            ids=[f"{own.about.language}/{name}" for own in parts for name in own.ids],
            groups=[group for own in parts for group in own.groups],
            ranks=np.concatenate([own.ranks for own in parts]),
            ndcg=np.concatenate([own.ndcg for own in parts]),
            texts=[text for own in parts for text in own.texts],
        )
        for parts in zip(*languages, strict=True)
    ]
