"""A ranking: queries against a gallery, what of each query is kept, and under which name it stands in files.

Made by the protocols (``protocols``, ``mixed``, ``caption_pairs``, …); written by ``trec``; figures of it are ``rows``'.
Counting itself is ``mmcs.retrieval``'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from mmcs.retrieval.ranks import Found, find, find_both

TASKS = ("image_retrieval", "text_retrieval")
TEXT_TO_TEXT = "text_to_text"
IMAGE = "image"  # stands where a language would: an image has none
DEPTH = 100  # of the TREC runs
KEPT = 10  # places that stay in memory when a ranking is written: as deep as every figure but the median rank looks


@dataclass(frozen=True)
class About:
    """What was ranked, and how; every row of results.json and every TREC file carries it.

    Attributes:
        suite, split: what the figures are named after.
        protocol: ``all_captions``, ``first_caption``, ``beir_format``.
        setting: ``MoIR``, ``CLIR``, ``MLIR`` (Litschko et al. 2023: same, different, mixed languages).
        query_transform: None, ``translate_test:…``, ``switched:p``, ``centred``.
        task: ``image_retrieval``, ``text_retrieval``, ``text_to_text``.
        query_language, gallery_language: BCP 47 tags, ``image``, or ``mixed``.
    """

    suite: str
    split: str
    protocol: str
    setting: str
    query_transform: str | None
    task: str
    query_language: str
    gallery_language: str

    @property
    def language(self) -> str:
        """The language that the figure is about: the texts', and of two the queries'."""
        return self.gallery_language if self.query_language == IMAGE else self.query_language

    @property
    def file(self) -> str:
        """The stem of its TREC files, unique within a run's ``retrieval`` folder."""
        parts = [self.suite, self.split, self.protocol, self.task, self.query_language, self.gallery_language]
        parts += [self.query_transform] if self.query_transform else []
        return ".".join(re.sub(r"[^\w-]+", "-", part, flags=re.ASCII) for part in parts)

    def as_dict(self) -> dict[str, Any]:
        """Its attributes by name."""
        return {field.name: getattr(self, field.name) for field in fields(About)}


@dataclass(frozen=True)
class Ranking:
    """Queries ranked against a gallery: what results.json, TREC files and paired statistics are made of.

    Attributes:
        about: what was ranked.
        query_texts: the captions asked for; empty strings for image queries.
        ranks: (N,) exact rank of the best positive, 1 is best.
        ndcg: (N,) nDCG@10.
        indices, scores: (N, K) the best K gallery places and their scores, K ≤ ``DEPTH``; −1 where none is left.
        n_excluded: items that could not be queries because nothing in the gallery belongs to them.
        gallery_languages: per gallery item its language, where a gallery mixes them.
        grades: query id → gallery id → how relevant it was judged, where that is no matter of groups.
    """

    about: About
    query_ids: list[str]
    query_groups: list[str]
    query_texts: list[str]
    gallery_ids: list[str]
    gallery_groups: list[str]
    ranks: NDArray[np.int64]
    ndcg: NDArray[np.float64]
    indices: NDArray[np.int32]
    scores: NDArray[np.float32]
    n_excluded: int
    gallery_languages: list[str] | None = None
    grades: Mapping[str, Mapping[str, int]] | None = None

    def light(self) -> Ranking:
        """The same with ``KEPT`` places only, for what is computed after its files are written."""
        return replace(self, indices=self.indices[:, :KEPT].copy(), scores=self.scores[:, :KEPT].copy())

    def over(self, languages: list[str]) -> Ranking:
        """The same, saying the language of each item of a mixed gallery."""
        return replace(self, gallery_languages=languages)


class Side:
    """Queries or gallery: (N,) names, groups and texts, and on one device the group codes and unit embeddings (N, D).

    Args:
        codes: group → number, shared by the sides that are ranked against each other; grows.
    """

    def __init__(
        self,
        ids: list[str],
        groups: list[str],
        texts: list[str] | None,
        embeddings: Tensor,
        codes: dict[str, int],
        device: torch.device | str | None = None,
    ) -> None:
        self.ids, self.groups = ids, groups
        self.texts = [""] * len(ids) if texts is None else texts
        self.embeddings = normalize(embeddings.to(device).float(), dim=1)
        numbers = [codes.setdefault(group, len(codes)) for group in groups]
        self.codes = torch.tensor(numbers, dtype=torch.int64, device=self.embeddings.device)

    @classmethod
    def mixture(cls, parts: Sequence[tuple[str, Side, int]]) -> Side:
        """One side out of items of several: (language, side, place) each; ids get their language in front, to be unique."""
        mixed = cls.__new__(cls)
        mixed.ids = [f"{language}/{side.ids[place]}" for language, side, place in parts]
        mixed.groups = [side.groups[place] for _, side, place in parts]
        mixed.texts = [side.texts[place] for _, side, place in parts]
        mixed.embeddings = torch.stack([side.embeddings[place] for _, side, place in parts])
        mixed.codes = torch.stack([side.codes[place] for _, side, place in parts])
        return mixed


def rank(about: About, queries: Side, gallery: Side, depth: int = DEPTH) -> Ranking | None:
    """One direction; None where no query has a positive."""
    found = find(queries.embeddings, gallery.embeddings, queries.codes, gallery.codes, k=depth)
    return _ranking(about, queries, gallery, found)


def rank_both(to_image: About, to_text: About, texts: Side, images: Side) -> list[Ranking]:
    """Texts ask for images, and images for texts, from one product; empty where no text has an image."""
    of_texts, of_images = find_both(texts.embeddings, images.embeddings, texts.codes, images.codes, k=DEPTH)
    both = (_ranking(to_image, texts, images, of_texts), _ranking(to_text, images, texts, of_images))
    return [ranking for ranking in both if ranking is not None]


def _ranking(about: About, queries: Side, gallery: Side, found: Found) -> Ranking | None:
    asked = found.ranks > 0
    places = asked.nonzero()[:, 0].tolist()
    if not places:
        return None
    return Ranking(
        about=about,
        query_ids=[queries.ids[place] for place in places],
        query_groups=[queries.groups[place] for place in places],
        query_texts=[queries.texts[place] for place in places],
        gallery_ids=gallery.ids,
        gallery_groups=gallery.groups,
        ranks=found.ranks[asked].cpu().numpy(),
        ndcg=found.ndcg[asked].cpu().numpy(),
        indices=found.indices[asked].to(torch.int32).cpu().numpy(),
        scores=found.scores[asked].cpu().numpy(),
        n_excluded=len(queries.ids) - len(places),
    )
