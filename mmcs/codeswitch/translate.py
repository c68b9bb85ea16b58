"""Whole captions instead of words: a translation that the shard itself carries (the study's upper bound)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.languages import LanguageDraw
from mmcs.codeswitch.schedule import Curriculum, Schedule, probability
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Strategy, Switched
from mmcs.common.language_tags import known_language
from mmcs.errors import UserError


class Translate:
    """The caption becomes one of the sample's own captions in a language drawn from ``languages``.

    Args:
        languages: BCP 47 tags that may be drawn.
        p: probability of taking a translation at all; may change over the epochs.
        language_weights: per language a weight in the draw; None: uniform.
        whole_captions: share of captions that are translated whatever p is at the epoch.
        fallback: what becomes of a sample without a caption in the drawn language: None: another language is drawn among
            those that it has (without any the caption stays); else per language the strategy that the caption goes through
            (none for a language: the caption stays).
    """

    def __init__(
        self,
        languages: Sequence[str],
        *,
        p: Curriculum = 1.0,
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
        fallback: Mapping[str, Strategy] | None = None,
    ) -> None:
        if not languages:
            raise UserError(
                "codeswitch=translate needs codeswitch.languages: the languages whose captions may be read."
            )
        self.languages = self.reads = tuple(languages)
        self.p = Schedule("codeswitch.p", p)
        self.language = LanguageDraw(self.languages, language_weights)
        self.weights = {
            known_language(language, languages): weight for language, weight in (language_weights or {}).items()
        }
        self.whole_captions = probability("codeswitch.whole_captions", whole_captions)
        self.fallback = fallback
        self.constant = self.p.constant and all(strategy.constant for strategy in (fallback or {}).values())

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        parts = segment(caption.text)
        switch, choice, pick = draw.numbers(3)
        if switch >= max(self.whole_captions, self.p.at(caption.epoch)) * 2**32:
            return Switched(parts, parts, [])
        language = self._draw(caption, choice)
        texts = caption.translations.get(language) if language else None
        if texts:
            return self._whole(parts, texts[pick * len(texts) >> 32], language)
        if self.fallback and language in self.fallback:
            return self.fallback[language](caption, draw)
        return Switched(parts, parts, [])

    def _draw(self, caption: Caption, number: int) -> str:
        """The language at ``number``: among those that the sample has, where no fallback is configured."""
        if self.fallback is not None:
            return self.languages[self.language(number)]
        available = [language for language in self.languages if caption.translations.get(language)]
        weights = {language: self.weights.get(language, 1.0) for language in available} if self.weights else None
        if not available or (weights and not any(weights.values())):
            return ""
        return available[LanguageDraw(available, weights)(number)]

    @staticmethod
    def _whole(parts: list[str], text: str, language: str) -> Switched:
        out = [""] * len(parts)
        out[0] = text
        return Switched(parts, out, [(0, len(parts) - 1, language)])
