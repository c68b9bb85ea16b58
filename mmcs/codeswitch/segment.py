"""Where the words of a caption are: offsets of runs of letters, marks and digits in any script (``regex`` library).

Offsets, not tokens, so that spacing and punctuation survive whatever is replaced. Strategies and coverage call it.
"""

from __future__ import annotations

import regex

# ``\w`` of the regex library holds the marks too (Devanagari vowels, combining accents).
_PLAIN = regex.compile(r"\w++")
# A caption without one of these has plain words only, and most captions have none: the plain pattern is twice as fast.
_JOINER = regex.compile(r"['\u2019\-\u2010\u2011\u200c\u200d.,@:/]")
# Inside a word an apostrophe, a hyphen and the joiners of Persian and Indic scripts join ("isn't", "T-shirt": one token,
# as in the Treebank convention of the source study), and a point or comma joins digits. An English possessive 's is
# consumed but not part of its word. An address is one thing that nobody translates: consumed, and left out.
_JOINED = regex.compile(
    r"""(?x)
      (?: https?:// | www\. ) \S++ | [^\s@]++ @ [^\s@]+ \. \w++
    | ( \w++ (?: (?! ['\u2019][sS]\b ) ['\u2019\-\u2010\u2011\u200c\u200d] \w++ | (?<=\d) [.,] \d++ )*+ ) (?: ['\u2019][sS]\b )?
    """
)


def segment(text: str) -> list[tuple[int, int]]:
    """The words of ``text`` as ``(start, end)`` offsets in order; addresses, punctuation and emoji are no words."""
    if _JOINER.search(text) is None:
        return [match.span() for match in _PLAIN.finditer(text)]
    return [match.span(1) for match in _JOINED.finditer(text) if match.end(1) >= 0]
