"""An embedded suite: what evaluation ranks, whoever made the embeddings. No model and no files here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from mmcs.errors import DataError


@dataclass(frozen=True)
class Texts:
    """The texts of one language, in step with each other.

    Attributes:
        ids: names, unique within the suite and language.
        groups: the concept that each text describes.
        embeddings: (N, D) float.
        captions: the texts themselves, for people who read the report.
        numbers: the how-manieth caption of its picture each is, from 0; without it each is the first.
    """

    ids: list[str]
    groups: list[str]
    embeddings: Tensor
    captions: list[str]
    numbers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", [0] * len(self.ids))

    def only(self, places: Sequence[int]) -> Texts:
        """Those at ``places``, in that order."""
        return Texts(
            ids=[self.ids[place] for place in places],
            groups=[self.groups[place] for place in places],
            embeddings=self.embeddings[list(places)],
            captions=[self.captions[place] for place in places],
            numbers=[self.numbers[place] for place in places],
        )


@dataclass(frozen=True)
class Embedded:
    """A suite's images and its texts in every language, embedded by one model.

    Attributes:
        suite, split: what the figures are named after; letters, digits, ``_`` and ``-``.
        image_ids: names, unique.
        image_groups: the concept of each image; images and texts of one group are positives of each other.
        images: (M, D) float.
        texts: per BCP 47 tag; English is ``en``.

    Raises:
        DataError: lengths that differ, an id that stands twice.
    """

    suite: str
    split: str
    image_ids: list[str]
    image_groups: list[str]
    images: Tensor
    texts: dict[str, Texts]

    def with_texts(self, texts: Mapping[str, Texts]) -> Embedded:
        """The same images with other texts; a language without any is left out."""
        return replace(self, texts={language: own for language, own in texts.items() if own.ids})

    def __post_init__(self) -> None:
        where = f"suite {self.suite} ({self.split})"
        _check(f"the images of {where}", self.image_ids, self.image_groups, self.images)
        for language, texts in self.texts.items():
            _check(f"the {language} texts of {where}", texts.ids, texts.groups, texts.embeddings)
            if len(texts.captions) != len(texts.ids):
                raise DataError(
                    f"the {language} texts of {where}: {len(texts.captions)} captions, {len(texts.ids)} ids."
                )
            if len(texts.numbers) != len(texts.ids):
                raise DataError(f"the {language} texts of {where}: {len(texts.numbers)} numbers, {len(texts.ids)} ids.")


def _check(what: str, ids: list[str], groups: list[str], embeddings: Tensor) -> None:
    if not len(ids) == len(groups) == len(embeddings):
        raise DataError(f"{what}: {len(ids)} ids, {len(groups)} groups and {len(embeddings)} embeddings.")
    if len(set(ids)) < len(ids):
        name, count = Counter(ids).most_common(1)[0]
        raise DataError(f"{what}: the id {name!r} stands {count} times; ids must tell the items of a suite apart.")
