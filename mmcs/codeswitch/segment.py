"""Where the words of a text are, in any script: Unicode's word bounds (UAX #29) as a reader of captions expects them.

Strategies, coverage and the page of examples call it. Spacing and punctuation are kept, so that they survive whatever
is replaced. Where UAX #29 leaves words to dictionaries (scripts without spaces), the caller's lexicon tells them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import regex

# Thai, Lao, Myanmar, Khmer, Han, Kana, Bopomofo: no spaces between words; UAX #29 (section 4) leaves them to a dictionary.
UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u1780-\u17d3\u17dc"
    "\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3041-\u3096\u3099-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_HAS_UNSPACED = re.compile(f"[{UNSPACED}]")
# What UAX #29 lets join inside a word (MidLetter, MidNum, MidNumLet, the joiners of Persian and Indic scripts), and
# hyphens: "isn't", "T-shirt", "U.S", "l·l", "3.14" are one word, as in the Treebank convention of the source study.
_JOINERS = "['\u2019\u02bc.:\u00b7\u05f4\u2027\u200c\u200d]"
_HYPHENS = r"[\-\u2010\u2011]"
_POSSESSIVE = r"(?:['\u2019] [sS] (?![\p{L}\p{N}\p{M}_]) )"
# Addresses are one thing that nobody translates: consumed, and no word.
_ADDRESS = r"[a-zA-Z][a-zA-Z0-9+.\-]*:// \S++ | www\. \S++ | [\w.+\-]++ @ [\w\-]++ (?:\.[\w\-]++)++ | @ \w++ | \w++ (?:\.\w++)++ / \S*+ |"
_CLUSTERS = regex.compile(r"\X")

# Most captions hold letters of Latin, Greek, Cyrillic and Armenian alone, without loose marks: there the standard
# library's expressions do, at a quarter of the time. The first is for captions in which nothing can join two words.
_NOT_SIMPLE = re.compile("[^\x00-\xb6\xb8-\u02bb\u0370-\u0482\u048a-\u0588\u2012-\u201f\u2026]")
_BARE = re.compile(r"(\w+)")
_JOINED = re.compile(
    r"""(?x)
    ( (?! (?<= \w ['\u2019] ) [sS] (?!\w) )                            # the s of a possessive
      \w+ (?: (?! ['\u2019] [sS] (?!\w) )
              (?: (?<=\d) [.,'\u2019] (?=\d) | (?<!\d) ['\u2019.:] (?!\d) | - ) \w+ )* )
    """
)


def segment(text: str, split: Callable[[list[str]], list[str]] | None = None) -> list[str]:
    """``text`` in parts that join to it: at the odd places its words, at the even ones what lies between them.

    Addresses, emoji and punctuation are no words; an English possessive 's is none and does not belong to its word. A run of
    a script without spaces is cut by ``split`` (grapheme clusters in, words out), or else into its clusters.

    >>> segment("A dog's T-shirt.")
    ['', 'A', ' ', 'dog', "'s ", 'T-shirt', '.']
    """
    addresses = "/" in text or "@" in text or "www." in text
    if not addresses and (text.isascii() or _NOT_SIMPLE.search(text) is None):
        joins = "-" in text or "'" in text or ":" in text or "," in text or "\u2019" in text or "." in text[:-1]
        return (_JOINED if joins else _BARE).split(text)
    parts: list[str] = []
    at = 0
    for match in _pattern(addresses, _HAS_UNSPACED.search(text) is not None).finditer(text):
        start, end = match.span(1)
        if start >= 0:
            parts += (text[at:start], text[start:end])
        elif match.start("run") >= 0:
            start, end = match.span()
            clusters = _CLUSTERS.findall(text, start, end)
            words = clusters if split is None else split(clusters)
            parts += (text[at:start], words[0])
            for word in words[1:]:
                parts += ("", word)
        else:
            continue
        at = end
    parts.append(text[at:])
    return parts


@cache
def _pattern(addresses: bool, unspaced: bool) -> regex.Pattern:
    """The pattern of words, as simple as the text allows: each alternative costs time at every place."""
    but = rf"--[{UNSPACED}\ufe0f\u20e3]]" if unspaced else r"--[\ufe0f\u20e3]]"
    # A base character that an emoji selector or keycap follows is a picture, not a letter or digit.
    run = rf"[[\p{{L}}\p{{N}}_]{but}(?![\ufe0f\u20e3]) [[\p{{L}}\p{{N}}\p{{M}}_]{but}*+"
    joint = rf"(?<=\d) [.,'\u2019] (?=\d) | (?<!\d) {_JOINERS} (?!\d) | {_HYPHENS}"
    unspaced_run = rf"(?:[{UNSPACED}] [\p{{M}}\u200d]*+ )++" if unspaced else "(?!)"
    return regex.compile(
        rf"""(?xV1) {_ADDRESS if addresses else ""}
        ( {run} (?: (?! {_POSSESSIVE} ) (?: {joint} ) {run} )*+ ) {_POSSESSIVE}*+
        | (?P<run> {unspaced_run} )
        """
    )
