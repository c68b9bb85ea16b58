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


def zipf(text: str, language: str, wordlist: str = "best") -> float:
    """Zipf frequency of a word, or of a phrase through its words; 0 where ``language`` (BCP 47) does not know one.

    ``wordlist`` is wordfreq's: "small" has the commonest words alone, and is read at once.
    """
    frequencies = _frequencies(language.split("-")[0], wordlist)
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
    """Function words of ``language``: those of its ``STOP_WORDS`` commonest words that the package stop-words lists.

    Its lists alone name too much ("red", "room"), the commonest words alone too ("people"). Where it has no list, the
    commonest words; empty where wordfreq does not know the language either.
    """
    from stop_words import LANGUAGE_MAPPING, get_stop_words

    common = frozenset(commonest(language)[:STOP_WORDS])
    base = language.split("-")[0]
    return common & frozenset(get_stop_words(base)) if base in LANGUAGE_MAPPING else common


@lru_cache(4)
def _frequencies(language: str, wordlist: str = "best") -> Mapping[str, float]:
    import wordfreq

    name = _LISTS.get(language, language)
    return wordfreq.get_frequency_dict(name, wordlist) if name in wordfreq.available_languages(wordlist) else {}
