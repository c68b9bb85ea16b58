"""Spelling as texts have it, where dictionaries spell otherwise. ``senses.py`` calls it for every translation."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from mmcs.lexicons.frequency import zipf

_ARABIC_MARKS = re.compile("[\u0640\u064b-\u0652\u0670]")  # tatweel, vowels, shadda: texts are written without
_ARABIC_ARTICLE = re.compile(r"\bال(?=\w{2})")
# Dictionaries from the days of Latin-1 hold the nearest letters that it had.
_HUNGARIAN = str.maketrans("ôûÔÛõÕ", "őűŐŰőŐ")


def repair(text: str, language: str) -> str:
    """``text`` in NFC and in the usual spelling of ``language`` (BCP 47)."""
    text = unicodedata.normalize("NFC", text)
    base = language.split("-")[0]
    if base == "hu":
        return text.translate(_HUNGARIAN)
    if base == "ar":
        return _indefinite(_ARABIC_MARKS.sub("", text))
    return text


def _indefinite(text: str) -> str:
    """Arabic without the article that the dictionary puts before every noun."""
    words = text.split(" ")
    bare = [_ARABIC_ARTICLE.sub("", word) for word in words]
    if all(before != after and _is_word(after, before) for before, after in zip(words, bare, strict=True)):
        return " ".join(bare)
    return text


@lru_cache(100_000)
def _is_word(bare: str, definite: str) -> bool:
    """Whether ``bare`` is a word of its own: in texts not ten times rarer than with the two letters before it."""
    return zipf(bare, "ar") >= zipf(definite, "ar") - 1
