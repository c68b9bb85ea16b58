"""Captions in one language ask for captions of the same image in another: the languages × languages matrix (CLIR)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch

from mmcs.evaluation.protocols import sides
from mmcs.evaluation.ranking import KEPT, TEXT_TO_TEXT, About, Ranking, rank
from mmcs.evaluation.rows import Row, pair_rows
from mmcs.evaluation.setting import Encode
from mmcs.evaluation.suite import Embedded
from mmcs.progress import track


class CaptionPairs:
    """Every language of a suite against every other. Runs are ``KEPT`` deep: there are as many as pairs of languages."""

    def rankings(self, embedded: Embedded, protocol: str, encode: Encode, device: torch.device) -> Iterator[Ranking]:
        _, texts = sides(embedded, device)
        pairs = [(a, b) for a in texts for b in texts if a != b]
        for query, gallery in track(pairs, f"pairs of languages of {embedded.suite}"):
            about = About(embedded.suite, embedded.split, protocol, "CLIR", None, TEXT_TO_TEXT, query, gallery)
            found = rank(about, texts[query], texts[gallery], depth=KEPT)
            if found is not None:
                yield found

    def rows(self, rankings: Sequence[Ranking], seen: Collection[str]) -> list[Row]:
        """Figures of each pair, then their mean over all pairs."""
        return pair_rows(rankings)
