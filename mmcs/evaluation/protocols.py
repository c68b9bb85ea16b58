"""The retrieval that every suite gets: captions of each language ask for images, and images for captions.

``rank_suite`` yields rankings; what other settings add lies beside it (``mixed``, ``caption_pairs``, ``switched_queries``,
``translate_test``). ``evaluate`` runs them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch

from mmcs.errors import DataError, UserError
from mmcs.evaluation.ranking import IMAGE, TASKS, About, Ranking, Side, rank_both
from mmcs.evaluation.rows import RESAMPLES, Row, rows_of, setting_of
from mmcs.evaluation.suite import Embedded, Texts

ALL_CAPTIONS, FIRST_CAPTION = PROTOCOLS = ("all_captions", "first_caption")


def check_protocol(protocol: str) -> str:
    """``protocol``, if it is one.

    Raises:
        UserError: it is not.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"there is no protocol {protocol!r}; known are {', '.join(PROTOCOLS)}.")
    return protocol


def under_protocol(embedded: Embedded, protocol: str) -> Embedded:
    """The suite as ``protocol`` sees it: all captions of each image, or the first in each language (CLIP_benchmark)."""
    if check_protocol(protocol) == ALL_CAPTIONS:
        return embedded
    return embedded.with_texts({language: _first(texts) for language, texts in embedded.texts.items()})


def _first(texts: Texts) -> Texts:
    return texts.only([place for place, number in enumerate(texts.numbers) if number == 0])


def sides(embedded: Embedded, device: torch.device | str | None = None) -> tuple[Side, dict[str, Side]]:
    """Images, and texts per language, with one numbering of groups, on ``device``."""
    codes: dict[str, int] = {}
    images = Side(embedded.image_ids, embedded.image_groups, None, embedded.images, codes, device)
    texts = {
        language: Side(own.ids, own.groups, own.captions, own.embeddings, codes, device)
        for language, own in embedded.texts.items()
    }
    return images, texts


def rank_suite(
    embedded: Embedded, protocol: str = ALL_CAPTIONS, device: torch.device | str | None = None
) -> Iterator[Ranking]:
    """Both directions in every language: MoIR in English, CLIR elsewhere.

    Image retrieval: every text asks for an image of its group. Text retrieval: every image that has a text in the
    language asks for one of them, among the texts of that language. Scores are cosines.

    Args:
        protocol: how ``embedded`` was made (``under_protocol``); stands in every figure.

    Raises:
        DataError: an embedding is not finite; a suite in which no text has an image.
    """
    images, texts = sides(embedded, device)
    empty = True
    for language, own in texts.items():
        common = (embedded.suite, embedded.split, protocol, setting_of(language), None)
        found = rank_both(
            About(*common, TASKS[0], language, IMAGE), About(*common, TASKS[1], IMAGE, language), own, images
        )
        yield from found
        empty = empty and not found
    if empty:
        raise DataError(
            f"suite {embedded.suite} ({embedded.split}) has no text whose group has an image: nothing can be retrieved."
        )


def suite_rows(
    rankings: Collection[Ranking], seen: Collection[str] = (), resamples: int = RESAMPLES, seed: int = 0
) -> list[Row]:
    """The rows of ``rank_suite``'s rankings: per language and direction, and the means over languages."""
    return [
        row
        for task in TASKS
        for row in rows_of([one for one in rankings if one.about.task == task], seen, resamples, seed)
    ]


def retrieve(
    embedded: Embedded, seen: Collection[str] = (), resamples: int = RESAMPLES, seed: int = 0
) -> tuple[list[Row], list[Ranking]]:
    """``rank_suite`` with all captions, and its rows."""
    rankings = list(rank_suite(embedded))
    return suite_rows(rankings, seen, resamples, seed), rankings
