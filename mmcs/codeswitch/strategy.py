"""What a strategy is: a caption and a draw in, the caption with replaced spans out.

One strategy, one file beside this one. ``stage.py`` runs it over the samples of a stream; ``controls.py`` wraps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from mmcs.codeswitch.draw import Draw


class Caption(NamedTuple):
    """What a strategy may use: the English text and the sample's own translations (language -> captions)."""

    text: str
    translations: Mapping[str, Sequence[str]]


class Replacement(NamedTuple):
    """Characters ``start:end`` of the caption become ``text``, a word or phrase of ``language``."""

    start: int
    end: int
    text: str
    language: str


class Switched(NamedTuple):
    """A caption after the switch. ``words``: number of words of the original; offsets refer to the original."""

    text: str
    original: str
    words: int
    replacements: tuple[Replacement, ...]


class Strategy(Protocol):
    """Configured once, then maps captions.

    Attributes:
        languages: those that it may write.
        reads: those whose captions of the sample it uses, besides English.
    """

    languages: tuple[str, ...]
    reads: tuple[str, ...]

    def __call__(self, caption: Caption, draw: Draw) -> Switched: ...


def render(text: str, replacements: Sequence[Replacement]) -> str:
    """``text`` with each span replaced; what lies between the spans comes back byte for byte."""
    parts: list[str] = []
    at = 0
    for start, end, new, _ in replacements:
        parts += (text[at:start], new)
        at = end
    parts.append(text[at:])
    return "".join(parts)


def agree(word: str, candidate: str) -> str:
    """``candidate`` with the capitals of ``word``: "DOG" -> "HUND", "Dog" -> "Hund", "dog" as the lexicon has it.

    Scripts without case come back as they are.
    """
    if not word[0].isupper():
        return candidate
    if len(word) > 1 and word.isupper():
        return candidate.upper()
    return candidate[0].upper() + candidate[1:]
