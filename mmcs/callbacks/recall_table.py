"""A validation's recall as a table in Markdown, for TensorBoard. The figures are ``mmcs.retrieval``'s."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mmcs.report.names import language_name
from mmcs.retrieval.languages import ENGLISH, language_sets

_DIRECTIONS = {"image_retrieval": "text → image", "text_retrieval": "image → text"}
_KS = (1, 5, 10)


def recall_table(
    per_language: Mapping[str, Mapping[str, float]], means: Mapping[str, Mapping[str, float]], seen: Collection[str]
) -> str:
    """R@1, 5 and 10 in %, both directions: the means first, then English, the seen and the unseen languages.

    Args:
        per_language, means: as ``RetrievalRecall.compute`` and ``language_means`` return them, 0…1.
        seen: languages with a lexicon in training.
    """
    heads = ["recall in %", *(f"{arrow} R@{k}" for arrow in _DIRECTIONS.values() for k in _KS)]
    lines = [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    sets = language_sets(list(per_language), seen)
    for name, figures in means.items():
        lines.append(_line([f"**mean of {name.replace('_', '-')} ({len(sets[name])})**", *_cells(figures)]))
    for language in sorted(per_language, key=lambda tag: (tag != ENGLISH, tag not in seen)):
        kind = "" if language == ENGLISH else ", seen" if language in seen else ", unseen"
        lines.append(_line([f"{language_name(language)} ({language}){kind}", *_cells(per_language[language])]))
    return "\n".join(lines)


def _cells(figures: Mapping[str, float]) -> list[str]:
    values = [figures.get(f"{task}_recall@{k}") for task in _DIRECTIONS for k in _KS]
    return ["" if value is None else f"{100 * value:.1f}" for value in values]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
