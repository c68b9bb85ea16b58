"""Recall per language as a torchmetrics ``Metric``: keeps embeddings and ids, gathers them, counts ranks.

The counting lives in ``ranks``; names of means in ``languages``. The recall callback updates it while training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mmcs.errors import DataError
from mmcs.retrieval.ranks import ranks, recall_at

_STATES = {
    "image_embeddings": torch.float32,
    "image_groups": torch.int64,
    "image_ids": torch.int64,
    "text_embeddings": torch.float32,
    "text_groups": torch.int64,
    "text_ids": torch.int64,
    "text_codes": torch.int64,
}


class RetrievalRecall(Metric):
    """Recall@k per language and direction over one suite: its images and the texts of all its languages.

    Image retrieval: a text's image is among its k best images. Text retrieval: one of an image's texts in that
    language is among its k best texts of that language; images without a text in it are no queries of it. Relevance
    is by group id. Scores are cosines. What came twice (padding of distributed samplers) counts once, by id.

    Args:
        languages: the suite's languages; a text carries the index of its language in this list.
        ks: cut-offs.

    ``compute`` returns ``{language: {"image_retrieval_recall@1": …, "text_retrieval_recall@10": …}}`` with values
    0…1, the same on every rank. A language of which no text has an image is left out.
    """

    full_state_update = False

    def __init__(self, languages: Sequence[str], ks: Sequence[int] = (1, 5, 10), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.languages = list(languages)
        self.ks = tuple(ks)
        for name in _STATES:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self, kind: str, embeddings: Tensor, groups: Tensor, ids: Tensor, languages: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            kind: ``"image"`` or ``"text"``.
            embeddings: (B, D), of any floating type.
            groups: (B,) int64, the same numbers for images and texts and on every rank.
            ids: (B,) int64; images among images and texts of one language among each other are told apart by it.
            languages: (B,) int64, texts only: index into the metric's ``languages``.
        """
        if (kind == "text") != (languages is not None) or kind not in ("image", "text"):
            raise ValueError(f"an update is of kind 'image', or of kind 'text' with languages; this one is {kind!r}.")
        # Flat, so that a rank without a batch gathers as well as the others: it cannot know the width D.
        parts = {"embeddings": embeddings.detach().flatten(), "groups": groups, "ids": ids}
        if languages is not None:
            parts["codes"] = languages
        for state, values in parts.items():
            name = f"{kind}_{state}"
            getattr(self, name).append(values.to(self.device, _STATES[name]))

    def compute(self) -> dict[str, dict[str, float]]:
        images, image_groups, _ = self._unique("image")
        texts, text_groups, codes = self._unique("text")
        result = {}
        for code, language in enumerate(self.languages):
            own = codes == code
            if len(images) == 0 or not own.any():
                continue
            directions = {
                "image_retrieval": ranks(texts[own], images, text_groups[own], image_groups),
                "text_retrieval": ranks(images, texts[own], image_groups, text_groups[own]),
            }
            figures = {
                f"{task}_recall@{k}": recall_at(found[found > 0], k)
                for task, found in directions.items()
                if (found > 0).any()
                for k in self.ks
            }
            if figures:
                result[language] = figures
        return result

    def _unique(self, kind: str) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised embeddings (N, D), groups (N,) and language codes (N,), each id once: the first that came."""
        ids = self._whole(f"{kind}_ids")
        groups = self._whole(f"{kind}_groups")
        embeddings = self._whole(f"{kind}_embeddings")
        codes = self._whole("text_codes") if kind == "text" else torch.zeros_like(ids)
        if len(ids) == 0:
            return embeddings.view(0, 1), groups, codes
        keys, inverse = torch.stack([codes, ids], dim=1).unique(dim=0, return_inverse=True)
        place = torch.arange(len(ids), device=ids.device)
        first = place.new_full((len(keys),), len(ids)).scatter_reduce_(0, inverse, place, "amin").sort().values
        if not torch.equal(groups[first][torch.argsort(inverse[first])][inverse], groups):
            raise DataError(f"two {kind}s of one id lie in different groups: ids must tell the items of a suite apart.")
        return normalize(embeddings.view(len(ids), -1)[first], dim=1), groups[first], codes[first]

    def _whole(self, name: str) -> Tensor:
        value = getattr(self, name)
        if isinstance(value, list):
            return dim_zero_cat(value) if value else torch.empty(0, dtype=_STATES[name], device=self.device)
        return value

    def _sync_dist(self, *args: Any, **kwargs: Any) -> None:
        # torchmetrics sends float placeholders for ranks that saw nothing; ids are int64, and gloo would hang on it.
        for name, dtype in _STATES.items():
            if not len(getattr(self, name)):
                setattr(self, name, [torch.empty(0, dtype=dtype, device=self.device)])
        super()._sync_dist(*args, **kwargs)
