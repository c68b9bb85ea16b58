"""Agreement of capitals: a word that takes the place of another is written in that one's capitals. ``lookup.py`` calls it."""

from __future__ import annotations

import unicodedata

from mmcs.codeswitch.lexicon import DOTLESS

_DOTTED_UPPER = str.maketrans({"i": "\u0130", "\u0131": "I"})
_TONOS = "\u0301"


def agree(word: str, candidate: str, language: str) -> str:
    """``candidate`` (of ``language``, BCP 47) with the capitals of ``word``: "DOG" -> "HUND", "Dog" -> "Hund", "dog" as the
    lexicon has it. Scripts without capitals come back as they are.

    >>> agree("Light", "ışık", "tr"), agree("DOG", "σκύλος", "el"), agree("ICE", "ijs", "nl")
    ('Işık', 'ΣΚΥΛΟΣ', 'IJS')
    """
    if not word[0].isupper():
        return candidate
    if word.isupper() and sum(map(str.isupper, word)) > 1:
        return _upper(candidate, language.split("-", 1)[0])
    return _title(candidate, language.split("-", 1)[0])


def _upper(text: str, language: str) -> str:
    if language in DOTLESS:
        text = text.translate(_DOTTED_UPPER)
    if language == "el":  # capitals carry no accent; a dialytika stays
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).replace(_TONOS, ""))
    return text.upper()


def _title(text: str, language: str) -> str:
    if language in DOTLESS:
        return text[0].translate(_DOTTED_UPPER).upper() + text[1:]
    if language == "nl" and text.startswith("ij"):
        return "IJ" + text[2:]
    return text[0].title() + text[1:]
