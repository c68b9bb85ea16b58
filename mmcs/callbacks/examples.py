"""The same few queries of every validation with the images that they find: one picture per language.

Which texts are shown is decided by their groups' ids alone, so that one sees them improve; what they find is ranked in
``mmcs.retrieval``, drawn in ``contact_sheet.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmcs.callbacks.contact_sheet import TILE, Row, Tile, contact_sheet
from mmcs.callbacks.gathered import of_all_ranks
from mmcs.evaluation.pictures import Pictures
from mmcs.evaluation.suites import Suite
from mmcs.report.names import language_name
from mmcs.retrieval.languages import ENGLISH, language_sets
from mmcs.retrieval.metric import Best, Retrieval
from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import BadSample
from mmcs.stream.order import Place

_TILES = 5  # images of each query
_KEPT = 1024  # small pictures, of 23 KiB each


class Query(NamedTuple):
    """A text of the suite: its ``text_id``, itself, and the first English caption of the same sample."""

    id: int
    caption: str
    english: str | None


class Examples:
    """Notes in each validation the queries to show, over all ranks, and draws them on rank 0.

    A language shows the texts of the lowest groups that it has (ids of groups are hashes): the same concepts in all
    languages, where they have them, in every validation and on any number of ranks.

    Pictures are read out of the suite's shards, since batches of a locked tower hold none; shards that lie elsewhere
    only where ``data.access.cache_gb`` keeps them on this machine.

    Args:
        suite: what is validated on.
        seen: languages with a lexicon in training.
        queries: per language. languages: at most; English, then seen and unseen ones in turn.
    """

    def __init__(self, suite: Suite, seen: Collection[str], queries: int, languages: int) -> None:
        self.languages = balanced(suite.languages, seen, languages)
        self._seen, self._queries = frozenset(seen), queries
        kept = suite.access.cache_gb is not None
        self._pictures = Pictures([shard for shard in suite.shards if kept or not shard.remote], suite.access)
        self._decode = DecodeImage(lambda pixels: pixels)
        self._thumbnail = functools.lru_cache(_KEPT)(self._made)
        self.reset()

    def reset(self) -> None:
        """Begins a validation."""
        self._lowest: dict[str, dict[int, Query]] = {language: {} for language in self.languages}
        self._identities: dict[int, str] = {}

    def add(self, batch: Mapping[str, Any], image_ids: Sequence[int]) -> None:
        """Notes a batch of this rank.

        Args:
            batch: of a ``suite_loader``. image_ids: of its images, as ``Retrieval`` knows them.
        """
        self._identities.update(zip(image_ids, batch["identity"], strict=True))
        samples = [name.rpartition("#")[0] for name in batch["text_name"]]
        columns = (batch["text_language"], samples, batch["texts"][0], batch["text_group"].tolist())
        rows = list(zip(*columns, batch["text_id"].tolist(), strict=True))
        english = {sample: text for language, sample, text, *_ in reversed(rows) if language == ENGLISH}
        for language, sample, text, group, number in rows:
            if language in self._lowest:
                self._note(self._lowest[language], group, Query(number, text, english.get(sample)))

    def pictures(self, retrieval: Retrieval, step: int) -> dict[str, np.ndarray]:
        """uint8 (H, W, 3) by language on rank 0, nothing on the others; all of them must ask."""
        chosen = self._chosen()
        best = {
            language: retrieval.best(language, [query.id for query in queries], _TILES)
            for language, queries in chosen.items()
        }
        names = self._names({number for found in best.values() for one in found for number in one.ids})
        if Place.here().rank:
            return {}
        sheets = {}
        for language, queries in chosen.items():
            kind = "" if language == ENGLISH else ", seen" if language in self._seen else ", unseen"
            title = f"{language_name(language)} ({language}){kind}, step {step:,}"
            rows = [self._row(*pair, names) for pair in zip(queries, best[language], strict=True)]
            sheets[language] = contact_sheet(title, language, rows, retrieval.images)
        return sheets

    def _note(self, lowest: dict[int, Query], group: int, query: Query) -> None:
        """Keeps, of each of the lowest groups, the text of the lowest id."""
        lowest[group] = min(query, lowest.get(group, query), key=lambda text: text.id)
        if len(lowest) > self._queries:
            del lowest[max(lowest)]

    def _chosen(self) -> dict[str, list[Query]]:
        """What all ranks together show."""
        everywhere: dict[str, dict[int, Query]] = {language: {} for language in self.languages}
        for noted in of_all_ranks(self._lowest):
            for language, lowest in noted.items():
                for group, query in lowest.items():
                    self._note(everywhere[language], group, query)
        return {
            language: [lowest[group] for group in sorted(lowest)] for language, lowest in everywhere.items() if lowest
        }

    def _names(self, wanted: Collection[int]) -> dict[int, str]:
        """The identities of images, each from a rank that has seen it."""
        own = {number: self._identities[number] for number in wanted if number in self._identities}
        return dict(chain.from_iterable(found.items() for found in of_all_ranks(own)))

    def _row(self, query: Query, best: Best, names: Mapping[int, str]) -> Row:
        shown = zip((names[number] for number in best.ids), best.right, strict=True)
        tiles = [Tile(self._thumbnail(name), name, right) for name, right in shown]
        return Row(query.caption, query.english, best.rank, tiles)

    def _made(self, identity: str) -> Image.Image | None:
        content = self._pictures(identity)
        if content is None:
            return None
        try:
            picture = Image.fromarray(self._decode.decode(content))
        except BadSample:
            return None
        picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        return picture


def balanced(languages: Sequence[str], seen: Collection[str], most: int) -> list[str]:
    """At most so many languages: English, then seen and unseen ones in turn while there are both.

    >>> balanced(["en", "de", "fi", "he", "ja"], seen=["de", "fi"], most=4)
    ['en', 'de', 'he', 'fi']
    """
    sets = language_sets(languages, seen)
    in_turn = chain.from_iterable(zip_longest(sets.get("seen", []), sets.get("unseen", [])))
    english = [language for language in languages if language == ENGLISH]
    return [*english, *filter(None, in_turn)][:most]
