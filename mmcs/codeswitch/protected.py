"""Parts of a text that are never cut into words: addresses, names, tags, markup, file names and measures.

``segment`` calls it. A measure ("50 mm") is one word, which a glossary may have in a phrase ("50 mm lens"); the others are
no words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FILES = (
    "jpe?g|jp2|png|gif|webp|bmp|tiff?|svg|hei[cf]|avif|ico|psd|eps|raw|pdf|docx?|xlsx?|pptx?|txt|csv|tsv|jsonl?|xml|html?|"
    "php|md|zip|tar|t?gz|7z|rar|mp[34]|avi|mov|mkv|webm|wav|flac|ogg|m4a|py|js|css|exe"
)
# Symbols that follow a number. Names of units (metres, inches) have translations and are not among them, nor are symbols
# that are words at least as often (a, d, t, bar). "in" and "s" are among them in some places only.
_UNITS = (
    "[kcdmnµμ]?m[²³23]?|[kmµμ]?g|[cdmµμ]?l|[km]?wh?|[km]?v|m?ah|ma|[kmgt]i?b|[kmg]?hz|mp|px|pt|dpi|ppi|fps|rpm|mph|"
    "[mµμ]s|(?<=[ \u00a0])s|min|sec|hrs?|h|yrs?|[ap]\\.?m|[kmh]pa|psi|db|lm|lbs?|oz|ft|yd|mi|ha|gal|cc|hp|k?cal|kj|mol|pcs|k|x|"
    "(?:sq|cu|fl)\\.?[ ](?:ft|in|m|km|mi|oz)|°[ ]?[cfk]|"
    "км|см|мм|м|кг|мг|гр?|мл|л|т|ч|мин|сек|шт|руб|χλμ|εκ|كم|سم|ملم|كغ|كجم"
)
_MEASURED = "wide|tall|high|long|deep|thick|diameter|x|by"
_FRACTIONS = "½⅓⅔¼¾⅛⅜⅝⅞"
_NUMERAL = re.compile(rf"[\d{_FRACTIONS}]")
_NUMBER = rf"(?>\d(?:[\d.,'’/×x*\-–{_FRACTIONS}]{{0,30}}[\d{_FRACTIONS}])?|[{_FRACTIONS}])"
_TIMES = rf"(?:[ ]?[x×*][ ]?{_NUMBER})"


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.VERBOSE)


# A character that a kind of protected part always has, and the pattern: where the character is missing, nothing is searched.
_KINDS = (
    ("/", _compile(r"(?<![a-z0-9+.\-]) [a-z][a-z0-9+.\-]*+ :// \S++")),  # https://example.org/dog
    ("/", _compile(r"(?<![\w.\-]) \w++ (?:-\w++)*+ (?:\.[\w\-]++)++ / \S*+")),  # example.org/dog
    ("www.", _compile(r"(?<!\w) www\. \S++")),
    ("@", _compile(r"(?<![\w.+\-]) [\w.+\-]++ @ [\w\-]++ (?:\.[\w\-]++)++")),  # me@example.org
    ("@", _compile(r"@ \w++ (?:[.\-@]\w++)*+ (?:['’]s\b)?")),  # @name, @name@example.org
    ("\uff20", _compile(r"\uff20 \w++")),
    ("#", _compile(r"\# \w++ (?:-\w++)*+")),  # #tag, #ff0000
    ("\uff03", _compile(r"\uff03 \w++")),
    ("&", _compile(r"& (?: \#\d++ | \#x[0-9a-f]++ | [a-z][a-z0-9]++ ) ;")),  # &amp;
    ("<", _compile(r"</? [a-z] [^<>]*+ >")),  # <b>, <PERSON>
    (":", _compile(r"(?<![\w:]) : [a-z0-9_+\-]++ : (?![\w:])")),  # :red_heart:
)
_EXTENSION = _compile(rf"\.(?:{_FILES})(?!\w)")
_FILE = _compile(
    rf"""(?<![^\s"'“”‘’(<\[]) (?!['‘’(\[]) [^\s"“”<>]{{1,255}} (?<=[^\s.]) \.(?:{_FILES})(?!\w)"""
)  # dog (1).jpg
_MEASURE = _compile(
    rf"""
    (?<![\w.,]) {_NUMBER}{_TIMES}*+ [ \u00a0\u2009\u202f\-]?
    (?: (?:{_UNITS}) (?:/(?:{_UNITS}))? (?![\w'’]|-\w)                   # 5 km, 4 x 6 cm
      | in (?= \.? (?: [ ]? (?:$|[^\s\w]) | [ ] (?:{_MEASURED}) \b ) ) )  # 5 in tall, but not: 3 in a row
    | (?<![\w.,]) {_NUMBER}{_TIMES}++ (?!\w)                            # 4 x 6
    """
)


class Span(NamedTuple):
    """Where a protected part is, and whether it is one word, not none."""

    start: int
    end: int
    word: bool


def protected_spans(text: str) -> list[Span]:
    """Every protected part of ``text``, in order.

    >>> text = "Mail me@example.org: 5 km of #snow"
    >>> [text[span.start : span.end] for span in protected_spans(text)]
    ['me@example.org', '5 km', '#snow']
    """
    if not _may_be_protected(text):
        return []
    spans = [Span(*match.span(), False) for sign, pattern in _KINDS if sign in text for match in pattern.finditer(text)]
    if "." in text[:-1] and _EXTENSION.search(text):
        spans += [Span(*match.span(), False) for match in _FILE.finditer(text)]
    if _NUMERAL.search(text):
        spans += [Span(*match.span(), True) for match in _MEASURE.finditer(text)]
    end = 0
    apart = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start >= end:
            apart.append(span)
            end = span.end
    return apart


def _may_be_protected(text: str) -> bool:
    """Rules most captions out, faster than a regular expression."""
    return (
        "." in text[:-1] or "/" in text or "@" in text or "#" in text or "&" in text or "<" in text or ":" in text
        or "0" in text or "1" in text or "2" in text or "3" in text or "4" in text or "5" in text or "6" in text
        or "7" in text or "8" in text or "9" in text or not text.isascii()
    )  # fmt: skip
