"""``--terms FILE``: how well the queries are answered that hold a user's own terms."""

from __future__ import annotations

from dataclasses import dataclass

from mmcs.evaluation.statistics import Difference
from mmcs.report.cells import Figure


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
