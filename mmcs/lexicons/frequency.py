"""How common words are (wordfreq's lists), on the Zipf scale: log10 of occurrences in a thousand million words.

Builders rank with it, ``coverage`` takes its stop words from it. Plain look-ups: no tokeniser, no further packages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

STOP_WORDS = 100
# Serbo-Croatian is one list there; Norwegian is its Bokmål.
_LISTS = {"hr": "sh", "sr": "sh", "bs": "sh", "no": "nb", "nn": "nb", "tl": "fil"}


def zipf(text: str, language: str) -> float:
    """Zipf frequency of a word, or of a phrase through its words; 0 where ``language`` (BCP 47) does not know one."""
    frequencies = _frequencies(language.split("-")[0])
    inverse = 0.0
    for word in text.casefold().split():
        frequency = frequencies.get(word, 0.0)
        if frequency < 1e-9:
            return 0.0
        inverse += 1 / frequency
    return 9 - math.log10(inverse) if inverse else 0.0


@lru_cache(8)
def commonest(language: str) -> tuple[str, ...]:
    """All words that wordfreq knows of ``language``, the commonest first; empty where it does not know the language."""
    frequencies = _frequencies(language.split("-")[0])
    return tuple(sorted(frequencies, key=lambda word: (-frequencies[word], word)))


def stop_words(language: str) -> frozenset[str]:
    """The ``STOP_WORDS`` commonest words of ``language``."""
    return frozenset(commonest(language)[:STOP_WORDS])


@lru_cache(2)
def _frequencies(language: str) -> Mapping[str, float]:
    import wordfreq

    name = _LISTS.get(language, language)
    return wordfreq.get_frequency_dict(name, "best") if name in wordfreq.available_languages("best") else {}
