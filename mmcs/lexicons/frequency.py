"""How common words are (wordfreq's lists), on the Zipf scale: log10 of occurrences in a thousand million words.

Builders rank with it, ``coverage`` takes its stop words from it. Plain look-ups: no tokeniser, no further packages.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

STOP_WORDS = 100
# A list that names fewer of the commonest words is a poor one.
_NAMED = 0.6
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


def stop_words(language: str, most: int = STOP_WORDS) -> frozenset[str]:
    """Function words of ``language`` (BCP 47): those of its ``most`` commonest words that the package stop-words lists.

    Its lists alone name too much ("red", "room"), the commonest words alone too ("people"). Where its list names few of
    them (Greek's is of the ancient language) or there is none, half as many of the commonest words are taken, too; where
    wordfreq lacks the language, the whole list. Empty where both lack it.
    """
    common = [word for word in commonest(language)[:most] if not any(map(str.isdigit, word))]
    listed = _listed(language.split("-")[0])
    if not common:
        return listed
    bare = set(map(_bare, listed))  # its lists mix spellings with and without accents
    found = frozenset(word for word in common if _bare(word) in bare)
    return found if len(found) >= _NAMED * len(common) else found | frozenset(common[: most // 2])


def _listed(language: str) -> frozenset[str]:
    """The words that stop-words lists."""
    from stop_words import LANGUAGE_MAPPING, get_stop_words

    language = _LISTS.get(language, language)
    words = get_stop_words(language) if language in LANGUAGE_MAPPING else []
    if language == "tr":  # saved in Turkish's code page and published as Western European
        words = [word.encode("latin-1", "ignore").decode("iso8859-9") for word in words]
    return frozenset(word.strip('",') for word in words)


def _bare(word: str) -> str:
    return "".join(
        letter for letter in unicodedata.normalize("NFD", word.casefold()) if not unicodedata.combining(letter)
    )


@lru_cache(4)
def _frequencies(language: str, wordlist: str = "best") -> Mapping[str, float]:
    import wordfreq

    name = _LISTS.get(language, language)
    return wordfreq.get_frequency_dict(name, wordlist) if name in wordfreq.available_languages(wordlist) else {}
