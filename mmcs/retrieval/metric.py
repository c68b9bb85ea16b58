"""Recall per language as a torchmetrics ``Metric``: keeps embeddings and ids, gathers them, counts ranks.

The counting lives in ``ranks``; names of means in ``languages``. The recall callback updates it while training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mmcs.errors import DataError
from mmcs.retrieval.ranks import ranks, recall_at, top_k

_STATES = {
    "image_embeddings": torch.float32,
    "image_groups": torch.int64,
    "image_ids": torch.int64,
    "text_embeddings": torch.float32,
    "text_groups": torch.int64,
    "text_ids": torch.int64,
    "text_codes": torch.int64,
}


class Items(NamedTuple):
    """Images, or texts, each once: ``embeddings`` (N, D) float32 of length 1, ``groups``, ``ids`` and ``codes`` (N,) int64; in
    the order of codes (of a text's language; 0 for images), then ids.
    """

    embeddings: Tensor
    groups: Tensor
    ids: Tensor
    codes: Tensor

    def of(self, code: int) -> Items:
        """Those of one language."""
        own = self.codes == code
        return Items(*(values[own] for values in self))


class QueryRanks(NamedTuple):
    """The queries of one language and direction in the order of their ids: ``ids``, ``groups`` and ``ranks`` (N,) int64, 1 is
    best.
    """

    ids: Tensor
    groups: Tensor
    ranks: Tensor


class Best(NamedTuple):
    """What one text finds: the ``rank`` of its best image, the ``ids`` of the first K images, and which are ``right``."""

    rank: int
    ids: list[int]
    right: list[bool]


class Retrieval:
    """A whole suite, ranked once in every language and direction: all figures come of this.

    Attributes:
        queries: by (language, "image_retrieval" | "text_retrieval"); a pair without a query is left out.
        images: how many images are searched.
    """

    # No dataclass: torchmetrics would squeeze the tensors of one, and a language may have a single query.

    def __init__(self, images: Items, texts: Items, languages: Sequence[str]) -> None:
        self._images, self._texts = images, texts
        self._codes = {language: code for code, language in enumerate(languages)}
        self.images = len(images.ids)
        self.queries: dict[tuple[str, str], QueryRanks] = {}
        for language, code in self._codes.items():
            own = texts.of(code)
            if not len(images.ids) or not len(own.ids):
                continue
            for task, asking, asked in (("image_retrieval", own, images), ("text_retrieval", images, own)):
                found = ranks(asking.embeddings, asked.embeddings, asking.groups, asked.groups)
                if (found > 0).any():
                    kept = (values[found > 0] for values in (asking.ids, asking.groups, found))
                    self.queries[language, task] = QueryRanks(*kept)

    def recalls(self, ks: Sequence[int]) -> dict[str, dict[str, float]]:
        """``{language: {"image_retrieval_recall@1": …, "text_retrieval_recall@10": …}}``, 0…1."""
        figures: dict[str, dict[str, float]] = {}
        for (language, task), own in self.queries.items():
            figures.setdefault(language, {}).update({f"{task}_recall@{k}": recall_at(own.ranks, k) for k in ks})
        return figures

    def best(self, language: str, ids: Sequence[int], k: int) -> list[Best]:
        """What texts of a language find among the images.

        Args:
            ids: of the texts. k: images of each; a smaller gallery is given whole.

        Raises:
            KeyError: one of them is no query of image retrieval.
        """
        own, texts, images = (
            self.queries[language, "image_retrieval"],
            self._texts.of(self._codes[language]),
            self._images,
        )
        asked = torch.tensor(ids, dtype=torch.int64, device=own.ids.device)
        if not torch.isin(asked, own.ids).all():
            raise KeyError(f"not all of {list(ids)} are queries in {language}")
        rows = torch.searchsorted(texts.ids, asked)
        groups = texts.groups[rows]
        columns, _ = top_k(texts.embeddings[rows], images.embeddings, groups, images.groups, k=k)
        places = own.ranks[torch.searchsorted(own.ids, asked)].tolist()
        right = images.groups[columns] == groups[:, None]
        found = zip(places, images.ids[columns].tolist(), right.tolist(), strict=True)
        return [Best(*one) for one in found]


class RetrievalRecall(Metric):
    """Recall@k per language and direction over one suite: its images and the texts of all its languages.

    Image retrieval: a text's image is among its k best images. Text retrieval: one of an image's texts in that
    language is among its k best texts of that language; images without a text in it are no queries of it. Relevance
    is by group id. Scores are cosines. What came twice (padding of distributed samplers) counts once, by id.

    Args:
        languages: the suite's languages; a text carries the index of its language in this list.
        ks: cut-offs.

    ``compute`` returns ``{language: {"image_retrieval_recall@1": …, "text_retrieval_recall@10": …}}`` with values
    0…1, the same on every rank, whatever the number of ranks. A language of which no text has an image is left out.
    ``retrieval`` gives what the figures are counted from, query by query.
    """

    full_state_update = False

    def __init__(self, languages: Sequence[str], ks: Sequence[int] = (1, 5, 10), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.languages = list(languages)
        self.ks = tuple(ks)
        self._retrieval: Retrieval | None = None
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
        self._retrieval = Retrieval(self._unique("image"), self._unique("text"), self.languages)
        return self._retrieval.recalls(self.ks)

    def retrieval(self) -> Retrieval:
        """What ``compute`` counts its figures from, ranked once for both; on every rank the same. All ranks must ask."""
        self.compute()  # kept by torchmetrics until the next update or reset
        assert self._retrieval is not None
        return self._retrieval

    def reset(self) -> None:
        """Forgets all items, and the retrieval with its embeddings."""
        super().reset()
        self._retrieval = None

    def _unique(self, kind: str) -> Items:
        """Each id of a language once: the first that came."""
        ids = self._whole(f"{kind}_ids")
        groups = self._whole(f"{kind}_groups")
        embeddings = self._whole(f"{kind}_embeddings")
        codes = self._whole("text_codes") if kind == "text" else torch.zeros_like(ids)
        if len(ids) == 0:
            return Items(embeddings.view(0, 1), groups, ids, codes)
        keys, inverse = torch.stack([codes, ids], dim=1).unique(dim=0, return_inverse=True)  # in rising order
        place = torch.arange(len(ids), device=ids.device)
        first = place.new_full((len(keys),), len(ids)).scatter_reduce_(0, inverse, place, "amin")
        if not torch.equal(groups[first][inverse], groups):
            raise DataError(f"two {kind}s of one id lie in different groups: ids must tell the items of a suite apart.")
        unit = normalize(embeddings.view(len(ids), -1)[first], dim=1)
        return Items(unit, groups[first], ids[first], codes[first])

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
