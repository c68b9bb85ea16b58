"""Centring: each language's mean text embedding is subtracted. Nothing is trained, no lexicon is needed: a baseline that must
stand beside every gain of training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmcs.common.language_tags import find_languages
from mmcs.errors import DataError
from mmcs.evaluation.protocols import rank_suite, suite_rows
from mmcs.evaluation.ranking import Ranking
from mmcs.evaluation.rows import Row
from mmcs.evaluation.setting import Encode
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.suites import captions_by_language

TRANSFORM = "centred"


class Centred:
    """A suite's captions, less the mean of other captions in their language, ask for images and are asked for.

    Args:
        shards: whose captions give the means: training's, say, never those that are measured on.
        fewest: captions in a language below which a mean says nothing; such languages are left out.
    """

    def __init__(self, shards: str, fewest: int = 20) -> None:
        self.shards, self.fewest = shards, fewest
        self._means: dict[str, Tensor] = {}

    def rankings(self, embedded: Embedded, protocol: str, encode: Encode, device: torch.device) -> Iterator[Ranking]:
        """
        Raises:
            UserError: shards that do not exist. DataError: too few captions in every language of the suite.
        """
        if not self._means:
            self._means = self._mean_embeddings(encode)
        of = find_languages(embedded.texts, self._means)
        texts = {language: _less(embedded.texts[language], self._means[mean]) for language, mean in of.items()}
        if not texts:
            raise DataError(
                f"{self.shards} has fewer than {self.fewest} captions in each language of suite {embedded.suite}."
            )
        for ranking in rank_suite(embedded.with_texts(texts), protocol, device):
            yield replace(ranking, about=replace(ranking.about, query_transform=TRANSFORM))

    def rows(self, rankings: Sequence[Ranking], seen: Collection[str]) -> list[Row]:
        return suite_rows(rankings, seen)

    def _mean_embeddings(self, encode: Encode) -> dict[str, Tensor]:
        captions = captions_by_language(self.shards)
        return {language: encode(own).mean(0) for language, own in captions.items() if len(own) >= self.fewest}


def _less(texts: Texts, mean: Tensor) -> Texts:
    return replace(texts, embeddings=normalize(texts.embeddings.float(), dim=1) - mean)
