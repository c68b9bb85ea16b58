"""Words of a text in any script: Unicode's word bounds (UAX #29), adapted to captions.

Strategies, coverage and the page of examples call ``segment``. Spacing and punctuation are kept. Where UAX #29 leaves
word bounds to a dictionary (scripts without spaces), the caller's lexicon decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import regex

from mmcs.codeswitch.protected import protected_spans

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
# Marks that show nothing and do not end a word: soft hyphen, word joiner, byte-order mark, directions.
_INVISIBLE = r"[\u00ad\u2060\ufeff\u200e\u200f]"
# No word of a script without spaces is longer.
MAX_CLUSTERS = 12
_CLUSTERS = regex.compile(r"\X")

# Most English captions are plain. Most others hold letters of Latin, Greek, Cyrillic and Armenian alone, without loose
# marks: there the standard library's expressions do, at a quarter of the time, and ``_BARE`` where nothing can join words.
_PLAIN = re.compile(r"[A-Za-z ]+[.!?]?")
_LETTERS = re.compile(r"([A-Za-z]+)")
_NOT_SIMPLE = re.compile("[^\x00-\xac\xae-\xb6\xb8-\u02bb\u0370-\u0482\u048a-\u0588\u2012-\u201f\u2026]")
_BARE = re.compile(r"(\w+)")
_JOINED = re.compile(
    r"""(?x)
    ( (?! (?<= \w ['\u2019] ) [sS] (?!\w) )                            # the s of a possessive
      \w+ (?: (?! ['\u2019] [sS] (?!\w) )
              (?: (?<=\d) [.,'\u2019] (?=\d) | (?<!\d) ['\u2019.:] (?!\d) | - ) \w+ )* )
    """
)


def segment(text: str, split: Callable[[list[str]], list[str]] | None = None) -> list[str]:
    """Cuts ``text`` into parts that join to it: words at the odd places, what is between them at the even ones.

    Emoji, punctuation, addresses and markup (``protected``) are no words, nor is an English possessive 's; a number with
    its unit is one. ``split`` cuts a run of a script without spaces (grapheme clusters in, words out); without it every
    cluster is a word.

    >>> segment("A dog's T-shirt, 5 km from www.example.org.")
    ['', 'A', ' ', 'dog', "'s ", 'T-shirt', ', ', '5 km', ' ', 'from', ' www.example.org.']
    """
    if _PLAIN.fullmatch(text):
        return _LETTERS.split(text)
    spans = protected_spans(text)
    if not spans:
        return _segment(text, split)
    parts = [""]
    at = 0
    for start, end, word in spans:
        _append(parts, _segment(text[at:start], split))
        if word:
            parts += (text[start:end], "")
        else:
            parts[-1] += text[start:end]
        at = end
    _append(parts, _segment(text[at:], split))
    return parts


def _append(parts: list[str], more: list[str]) -> None:
    parts[-1] += more[0]
    parts += more[1:]


def _segment(text: str, split: Callable[[list[str]], list[str]] | None) -> list[str]:
    """``segment`` of a text without protected parts."""
    if text.isascii() or _NOT_SIMPLE.search(text) is None:
        joins = "-" in text or "'" in text or ":" in text or "," in text or "\u2019" in text or "." in text[:-1]
        return (_JOINED if joins else _BARE).split(text)
    parts: list[str] = []
    at = 0
    for match in _pattern(_HAS_UNSPACED.search(text) is not None).finditer(text):
        start, end = match.span(1)
        if start >= 0:
            parts += (text[at:start], text[start:end])
        else:
            start, end = match.span()
            clusters = _CLUSTERS.findall(text, start, end)
            words = clusters if split is None else split(clusters)
            parts += (text[at:start], words[0])
            for word in words[1:]:
                parts += ("", word)
        at = end
    parts.append(text[at:])
    return parts


def split_run(clusters: list[str], is_word: Callable[[str], bool]) -> list[str]:
    """Cuts a run of a script without spaces into words: at each place the longest that ``is_word``.

    What is between such words is one word (forward maximum matching).
    """
    words: list[str] = []
    at = unknown = 0
    while at < len(clusters):
        for size in range(min(MAX_CLUSTERS, len(clusters) - at), 0, -1):
            word = "".join(clusters[at : at + size])
            if is_word(word):
                words += ["".join(clusters[unknown:at]), word] if at > unknown else [word]
                at = unknown = at + size
                break
        else:
            at += 1
    return [*words, "".join(clusters[unknown:])] if unknown < len(clusters) else words


@cache
def _pattern(unspaced: bool) -> regex.Pattern:
    """The pattern of words, as simple as the text allows: each alternative costs time at every place."""
    but = rf"--[{UNSPACED}\ufe0f\u20e3]]" if unspaced else r"--[\ufe0f\u20e3]]"
    # A base character that an emoji selector or keycap follows is a picture, not a letter or digit.
    run = rf"[[\p{{L}}\p{{N}}_]{but}(?![\ufe0f\u20e3]) [[\p{{L}}\p{{N}}\p{{M}}_]{but}*+"
    joint = rf"(?<=\d) [.,'\u2019] (?=\d) | (?<!\d) {_JOINERS} (?!\d) | {_HYPHENS} | {_INVISIBLE}++"
    unspaced_run = rf"(?:[{UNSPACED}] [\p{{M}}\u200d]*+ )++" if unspaced else "(?!)"
    return regex.compile(
        rf"""(?xV1)
        ( {run} (?: (?! {_POSSESSIVE} ) (?: {joint} ) {run} )*+ ) {_POSSESSIVE}*+
        | (?P<run> {unspaced_run} )
        """
    )
