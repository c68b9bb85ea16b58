"""A lexicon in memory for the tests of strategies: the same questions answered as a .lex answers them, naively."""

from __future__ import annotations

from mmcs.codeswitch.lexicon import Candidate, normalise

WORDS = {
    "de": {
        "dog": "Hund",
        "red": "rot",
        "ball": "Ball",
        "art": "Kunst",
        "hund": "FALSCH",
        "a": "ein",
        "hot dog": "Hotdog",
        "new york city": "die Stadt New York",
        "city": "Stadt",
    },
    "fi": {"dog": "koira", "red": "punainen", "cat": "kissa"},
}


class Table:
    """``words``: language -> normalised phrase -> a candidate, or several with weights."""

    def __init__(self, words=WORDS, source_language="en"):
        self.source_language = source_language
        self.languages = tuple(words)
        self.words = {
            language: {
                normalise(phrase, source_language): tuple(
                    Candidate(*one) for one in ([(found, 1.0)] if isinstance(found, str) else found)
                )
                for phrase, found in of.items()
            }
            for language, of in words.items()
        }

    def candidates(self, phrase, language):
        return self.words[language].get(phrase, ())

    def longest(self, beginning):
        every = [phrase for of in self.words.values() for phrase in of]
        return max((len(p.split()) for p in every if p == beginning or p.startswith(beginning + " ")), default=0)

    def __contains__(self, phrase):
        return any(phrase in of for of in self.words.values())
