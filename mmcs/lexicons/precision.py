"""Precision of retrieved translations against a test dictionary, as Conneau et al. 2018 count it; ``embeddings`` calls it.

Retrieval is elsewhere (``neighbours``), and so is reading the dictionary (``align``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

PRECISION_AT = (1, 5)


def precision(
    pairs: Iterable[tuple[str, str]], source: Sequence[str], target: Sequence[str], found: Tensor
) -> dict[str, Any]:
    """precision@k: the share of test words of which a translation is among the k best, as Conneau et al. count it.

    Args:
        pairs: of the test dictionary, normalised; a word may have several translations.
        source, target: the normalised words.
        found: (N K) numbers of the best targets of every source word.

    Returns:
        ``precision@1``, ``precision@5``; ``test words``, of which the vectors know the source; ``test coverage``: their
        share of all. Without any test word the precisions are None.
    """
    senses: dict[str, set[str]] = {}
    for word, translation in pairs:
        senses.setdefault(word, set()).add(translation)
    numbers = {word: row for row, word in enumerate(source)}
    known = [word for word in senses if word in numbers]
    result: dict[str, Any] = {}
    for k in PRECISION_AT:
        hits = sum(any(target[int(j)] in senses[word] for j in found[numbers[word]][:k]) for word in known)
        result[f"precision@{k}"] = hits / len(known) if known else None
    return result | {"test words": len(known), "test coverage": len(known) / len(senses) if senses else None}
