"""Captions as text: what web pages and word processors leave in them is decoded or removed, once, on reading.

Every caption that enters mmcs (shards, tables, options) passes through ``clean_caption``.
"""

from __future__ import annotations

import html
import html.entities
import re

#: A semicolon ends an entity: "R&D", "a=1&copy=2". Numbers and the six names of every alt text are also written without.
_ENTITY = re.compile(
    r"&(?:#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|([A-Za-z][A-Za-z0-9]{1,31};)"
    r"|#\d{2,7}(?!\d)|#[xX][0-9a-fA-F]{2,6}(?![0-9a-fA-F])|(?:amp|quot|apos|lt|gt|nbsp)(?![\w=;]))"
)
#: Software escapes a text that is escaped already; more than three times was never seen.
_MOST_ENCODED = 3
#: Soft hyphen, word joiner and byte-order mark: invisible inside a word, which they would split in two. The joiners of
#: Indic scripts, Persian and emoji (U+200C, U+200D) and the word bounds of Khmer (U+200B) carry meaning and stay.
_INVISIBLE = re.compile("[\u00ad\u2060\ufeff]")
#: Control characters but white space: tokenisers remove them, and terminals and reports would obey them.
_CONTROL = re.compile("[\0-\x08\x0e-\x1b\x7f]")


def decode_entities(text: str) -> str:
    """The text with its HTML entities decoded: named, decimal, hexadecimal, and those that were encoded twice.

    What is no entity stays as it is. open_clip's tokenizer decodes entities, too; after the code switch it is too late.

    >>> decode_entities("Tom &amp; Jerry"), decode_entities("&amp;quot;Nike&amp;quot;"), decode_entities("Women&#39;s")
    ('Tom & Jerry', '"Nike"', "Women's")
    >>> decode_entities("AT&T, R&D, b&w; page?a=1&copy=2")
    'AT&T, R&D, b&w; page?a=1&copy=2'
    """
    if "&" not in text:
        return text
    for _ in range(_MOST_ENCODED):
        decoded = _ENTITY.sub(_decoded, text)
        if decoded == text:
            break
        text = decoded
    return text


def clean_caption(text: str) -> str:
    """The caption as mmcs reads it: entities decoded, soft hyphens, word joiners and control characters removed, and
    no white space around it.

    >>> clean_caption(" foot\\u00adball &amp; tennis\\n")
    'football & tennis'
    """
    text = decode_entities(text).strip()
    if not text.isprintable():
        text = _CONTROL.sub("", _INVISIBLE.sub("", text)).strip()
    return text


def _decoded(found: re.Match[str]) -> str:
    entity, name = found[0], found[1]
    if name is not None and name not in html.entities.html5:
        return entity
    return html.unescape(entity if entity.endswith(";") else f"{entity};")
