"""Does a model prefer some languages? Each language's share of what is found first, against its share of the gallery.

Of rankings over a gallery of captions in several languages; the protocols call this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmcs.evaluation.resampling import interval, resampled_means


@dataclass(frozen=True)
class LanguageShare:
    """How often a language is found among the first k, and how often it would be if languages did not matter.

    Attributes:
        top: its share of all first k places of all queries, 0…1.
        low, high: 95 % interval of that, by a bootstrap of the queries' groups.
        gallery: its share of the gallery, which is taken as it is.
    """

    top: float
    low: float
    high: float
    gallery: float

    @property
    def difference(self) -> tuple[float, float, float]:
        """``top`` minus ``gallery`` and its interval: above 0 the language is preferred."""
        return self.top - self.gallery, self.low - self.gallery, self.high - self.gallery

    @property
    def ratio(self) -> tuple[float, float, float]:
        """``top`` over ``gallery`` and its interval: 2 means twice as often as its share of the gallery."""
        return self.top / self.gallery, self.low / self.gallery, self.high / self.gallery


def language_shares(
    top_languages: ArrayLike,
    gallery_languages: ArrayLike,
    groups: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, LanguageShare]:
    """Each gallery language's share in the first k places against its share in the gallery.

    The right answers are among the first k too: queries whose answers are mostly in one language raise its share without
    any preference. Compare systems on the same queries and gallery, or look at k well above the number of answers.

    Args:
        top_languages: (N, k) language of the item at each query's first k places.
        gallery_languages: (M,) language of every item.
        groups: the N queries' groups.
        resamples, seed: of the bootstrap.

    Returns:
        language → share, most frequent in the gallery first.

    Raises:
        ValueError: no query or no place, or a language that is not in the gallery.
    """
    top = np.asarray(top_languages, dtype=str)
    if top.ndim != 2 or not top.size or len(top) != len(groups):
        raise ValueError(f"languages of the first places must be (queries, k), one row per group, got {top.shape}.")
    names, counts = np.unique(np.asarray(gallery_languages, dtype=str), return_counts=True)
    places = np.minimum(np.searchsorted(names, top), len(names) - 1)
    if len(strange := np.unique(top[names[places] != top])):
        raise ValueError(f"{strange[0]} is found, but no item of the gallery is in it.")
    shares = _shares(places, len(names))
    samples = resampled_means({"": shares}, {"": groups}, resamples, seed)[:, 0]
    return {
        str(names[place]): LanguageShare(
            float(shares[:, place].mean()), *interval(samples[:, place]), float(counts[place] / counts.sum())
        )
        for place in np.argsort(-counts, kind="stable")
    }


def _shares(places: NDArray[np.int64], n_languages: int) -> NDArray[np.float64]:
    """(N, k) numbers of languages → (N, languages) share of each in a query's k places."""
    n_queries, k = places.shape
    cells = (places + n_languages * np.arange(n_queries)[:, None]).ravel()
    return np.bincount(cells, minlength=n_queries * n_languages).reshape(n_queries, n_languages) / k
