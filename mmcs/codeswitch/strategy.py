"""What a strategy is: a caption and a draw in, the switched caption out.

One strategy, one file beside this one. ``stage.py`` runs it over the samples of a stream; ``controls.py`` wraps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from mmcs.codeswitch.draw import Draw


class Caption(NamedTuple):
    """What a strategy may use: the text, the sample's own translations (language -> captions), and the epoch."""

    text: str
    translations: Mapping[str, Sequence[str]]
    epoch: int = 0


# First and last place in ``Switched.parts`` of the words that became words of ``language``: (first, last, language).
Replacement = tuple[int, int, str]


class Switched(NamedTuple):
    """A caption after the switch.

    Attributes:
        parts: the original as ``segment`` cuts it: words at the odd places.
        out: the same after the switch, place by place; a replaced phrase stands at its first place.
        replacements: what was replaced, in order of place.
    """

    parts: list[str]
    out: list[str]
    replacements: list[Replacement]

    @property
    def text(self) -> str:
        return "".join(self.out)

    @property
    def original(self) -> str:
        return "".join(self.parts)

    @property
    def words(self) -> int:
        """Number of words of the original."""
        return len(self.parts) >> 1

    def languages(self) -> list[str]:
        """The language of each word that was replaced."""
        return [language for first, last, language in self.replacements for _ in range(first | 1, last + 1, 2)]

    def pieces(self) -> Iterator[tuple[str, str | None]]:
        """The switched text in pieces: ``(text, language)``, with None where it is the original's."""
        at = 0
        for first, last, language in self.replacements:
            yield "".join(self.out[at:first]), None
            yield "".join(self.out[first : last + 1]), language
            at = last + 1
        yield "".join(self.out[at:]), None


class Strategy(Protocol):
    """Configured once, then maps captions.

    Attributes:
        languages: those that it may write.
        reads: those whose captions of the sample it uses, besides the source language's.
        constant: whether it does the same in all epochs (no curriculum).
    """

    languages: tuple[str, ...]
    reads: tuple[str, ...]
    constant: bool

    def __call__(self, caption: Caption, draw: Draw) -> Switched: ...
