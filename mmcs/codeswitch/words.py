"""Word by word: the study's code-switching (Litschko et al. 2023, section 3.1), one word at a time.

``Multilingual`` is its ML-CS, ``Bilingual`` (one language) its BL-CS.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.lexicon import normalise
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Replacement, Switched, agree, render
from mmcs.errors import UserError


class Candidates(Protocol):
    """The part of a lexicon that strategies use."""

    languages: tuple[str, ...]

    def candidates(self, phrase: str, language: str) -> tuple[tuple[str, float], ...]: ...


class Multilingual:
    """Each word, with probability ``p``, becomes its translation in a language that is drawn uniformly.

    A word that the drawn language lacks stays English. The language is drawn for each word (``language_per="token"``, the
    study's way) or once (``"caption"``). The numbers drawn for a word do not depend on what the lexicon holds, so two
    lexicons with the same words (a lexicon and its shuffled copy) switch the same positions.

    Args:
        lexicon: where candidates come from; phrases are looked up normalised.
        languages: those that may be drawn; all of the lexicon's where None.
        p: probability of switching a word, 0 to 1.
        language_per: "token" or "caption".
        whole_captions: share of captions in which every word is switched, into one language: closer to what users type.
        candidates: "first" (the study's 1-best) or "weighted" (drawn by the lexicon's weights).
        keep: words that are never switched, in any capitals.

    Raises:
        UserError: a value outside its range, or a language that the lexicon lacks.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        lexicon: Candidates,
        languages: Sequence[str] | None = None,
        *,
        p: float = 0.5,
        language_per: str = "token",
        whole_captions: float = 0.0,
        candidates: str = "first",
        keep: Collection[str] = (),
    ) -> None:
        self.lexicon = lexicon
        self.languages = tuple(languages) if languages is not None else lexicon.languages
        unknown = [language for language in self.languages if language not in lexicon.languages]
        if unknown:
            raise UserError(
                f"codeswitch.languages names {', '.join(unknown)}, which no lexicon holds (they hold {', '.join(lexicon.languages)})."
            )
        if not self.languages:
            raise UserError("codeswitch.languages is empty; name at least one language, or set codeswitch=none.")
        self.p = probability("codeswitch.p", p)
        self.per_caption = one_of("codeswitch.language_per", language_per, ("token", "caption")) == "caption"
        self.whole_captions = probability("codeswitch.whole_captions", whole_captions)
        self.weighted = one_of("codeswitch.candidates", candidates, ("first", "weighted")) == "weighted"
        self.keep = frozenset(map(normalise, keep))

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        text, languages = caption.text, self.languages
        spans = segment(text)
        replacements = []
        p, per_caption = self.p, self.per_caption
        if self.whole_captions and draw.uniform() < self.whole_captions:
            p, per_caption = 1.0, True
        language = languages[draw.index(len(languages))]
        for start, end in spans:
            switch, choice, pick = draw.uniform(), draw.uniform(), draw.uniform()
            if switch >= p:
                continue
            if not per_caption:
                language = languages[int(choice * len(languages))]
            word = text[start:end]
            phrase = normalise(word)
            if phrase in self.keep:
                continue
            found = self.lexicon.candidates(phrase, language)
            if found:
                chosen = weighted_choice(found, pick) if self.weighted else found[0][0]
                replacements.append(Replacement(start, end, agree(word, chosen), language))
        return Switched(render(text, replacements), text, len(spans), tuple(replacements))


class Bilingual(Multilingual):
    """One target language (BL-CS).

    Raises:
        UserError: not exactly one language.
    """

    def __init__(self, lexicon: Candidates, languages: Sequence[str] | None = None, **options) -> None:
        super().__init__(lexicon, languages, **options)
        if len(self.languages) != 1:
            raise UserError(
                f"codeswitch=bilingual takes one language, got {len(self.languages)} ({', '.join(self.languages)}); "
                "set codeswitch.languages=[de], say, or codeswitch=multilingual."
            )


def weighted_choice(candidates: Sequence[tuple[str, float]], uniform: float) -> str:
    """The candidate at ``uniform`` (in [0, 1)) of the summed weights."""
    left = uniform * sum(weight for _, weight in candidates)
    for text, weight in candidates:
        left -= weight
        if left < 0:
            return text
    return candidates[-1][0]


def probability(key: str, value: float) -> float:
    """``value`` as a number in 0..1, or a UserError that names ``key``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f"{key} is a probability between 0 and 1, got {value!r}.")
    return float(value)


def one_of(key: str, value: str, known: Sequence[str]) -> str:
    """``value`` if it is one of ``known``, else a UserError that lists them."""
    if value not in known:
        raise UserError(f"{key} is one of {', '.join(known)}; got {value!r}.")
    return value
