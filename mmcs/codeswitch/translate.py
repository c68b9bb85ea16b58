"""Whole captions instead of words: a translation that the shard itself carries (the study's upper bound)."""

from __future__ import annotations

from collections.abc import Sequence

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Replacement, Switched
from mmcs.codeswitch.words import probability
from mmcs.errors import UserError


class Translate:
    """The caption becomes one of the sample's own captions in a language drawn from those of ``languages`` that it has.

    A sample without any of them keeps its English caption.

    Args:
        languages: BCP 47 tags that may be drawn.
        p: probability of taking a translation at all.
    """

    def __init__(self, languages: Sequence[str], *, p: float = 1.0) -> None:
        if not languages:
            raise UserError(
                "codeswitch=translate needs codeswitch.languages: the languages whose captions may be read."
            )
        self.languages = self.reads = tuple(languages)
        self.p = probability("codeswitch.p", p)

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        words = len(segment(caption.text))
        available = [language for language in self.languages if caption.translations.get(language)]
        switch, choice, pick = draw.uniform(), draw.uniform(), draw.uniform()
        if not available or switch >= self.p:
            return Switched(caption.text, caption.text, words, ())
        language = available[int(choice * len(available))]
        texts = caption.translations[language]
        text = texts[int(pick * len(texts))]
        return Switched(text, caption.text, words, (Replacement(0, len(caption.text), text, language),))
