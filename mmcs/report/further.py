"""What else the runs were evaluated on: mixed languages, switched and translated queries, sets in BEIR's format.

Figures come from the runs' per-query files where they have them, else from the rows of results.json.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmcs.evaluation.ranking import About
from mmcs.evaluation.statistics import Difference
from mmcs.report.cells import Figure


@dataclass(frozen=True)
class Further:
    """One figure of one setting, of all systems that were evaluated in it.

    Attributes:
        about: what was ranked: suite, split, protocol, setting, transform of the queries, task, languages.
        kind: ``"mixed"``, ``"language_share"``, ``"switched"``, ``"translate_test"``, ``"beir"`` or ``"other"``.
        metric: such as ``recall@10``, ``ndcg@10``, ``cosine_to_original``, ``language_share@10``; all 0…1 (a cosine: −1…1).
        language: what the figure is about: a language, a set of languages (``seen``), or ``mixed``.
        n_queries: of one system.
        values: system label → (value, low, high); systems that were not evaluated so are missing.
        differences: label → this system minus the baseline, in the same setting; empty where their queries differ or
            the figure is none of single queries.
        effects: label → this setting minus the plain queries, the same system and queries (Translate-Test, switched
            queries); empty elsewhere.
        plain: label → (value, low, high) of the same queries as they were, for ``effects``.
        in_gallery: the language's share of the gallery, beside its share of the first ten places.
    """

    about: About
    kind: str
    metric: str
    language: str
    n_queries: int
    values: dict[str, Figure]
    differences: dict[str, Difference] = field(default_factory=dict)
    effects: dict[str, Difference] = field(default_factory=dict)
    plain: dict[str, Figure] = field(default_factory=dict)
    in_gallery: float | None = None
