"""Leaves idioms out of dictionaries of phrases. ``freedict`` calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmcs.codeswitch.lexicon import Candidate
from mmcs.lexicons.frequency import STOP_WORDS, stop_words

CAUSE = "phrase of function words and at most one other, and no noun"
NOUN = "n"


def idioms(entries: Mapping[str, Mapping[str, Sequence[Candidate]]], language: str) -> set[str]:
    """The phrases of ``entries`` (per target language) that are idioms: of several words, fewer than two of them content
    words, and not labelled a noun in any language.

    Captions hold most of them by chance: "a head" (per person), "play on", "made of". Of those that FreeDict has in the
    captions of stamps, 0 to 8 % are translated as people did, of their words 19 to 34 %; of all other phrases 42 to 56 %.
    """
    common = stop_words(language, STOP_WORDS // 2)
    found: set[str] = set()
    nouns: set[str] = set()
    for of_language in entries.values():
        for phrase, candidates in of_language.items():
            words = phrase.split(" ")
            if len(words) > 1 and sum(word not in common for word in words) < 2:
                (nouns if any(candidate.pos == NOUN for candidate in candidates) else found).add(phrase)
    return found - nouns
