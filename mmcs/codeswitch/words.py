"""Word by word: the study's code-switching (Litschko et al. 2023, section 3.1), one word at a time.

``Multilingual`` is its ML-CS, ``Bilingual`` (one language) its BL-CS, ``Dictionary`` its word-by-word translation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.joining import join
from mmcs.codeswitch.languages import LanguageDraw
from mmcs.codeswitch.lookup import Lookup
from mmcs.codeswitch.schedule import Curriculum, Schedule, one_of, probability
from mmcs.codeswitch.segment import segment
from mmcs.codeswitch.strategy import Caption, Replacement, Switched
from mmcs.errors import UserError

_NEW: object = object()


class Multilingual:
    """Each word, with probability ``p``, becomes its translation in a language that is drawn for it.

    A word that the drawn language lacks stays as it is. The language is drawn for each word (``language_per="token"``, the
    study's way) or once (``"caption"``). The numbers drawn for a word do not depend on what the lexicon holds, so two
    lexicons with the same words (a lexicon and its shuffled copy) switch the same positions; a larger p switches all that a
    smaller p does.

    Args:
        lookup: what may take a word's place.
        p: probability of switching a word; may change over the epochs.
        language_per: "token" or "caption".
        language_weights: per language a weight in the draw; None: uniform.
        whole_captions: share of captions in which every word is switched, into one language: closer to what users type.

    Raises:
        UserError: a value outside its range.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        lookup: Lookup,
        *,
        p: Curriculum = 0.5,
        language_per: str = "token",
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
    ) -> None:
        self.lookup = lookup
        self.languages = lookup.languages
        self.p = Schedule("codeswitch.p", p)
        self.constant = self.p.constant
        self.language = LanguageDraw(self.languages, language_weights)
        self.per_caption = one_of("codeswitch.language_per", language_per, ("token", "caption")) == "caption"
        self.whole_captions = probability("codeswitch.whole_captions", whole_captions)

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        parts = segment(caption.text, self.lookup.split)
        # Two numbers for the caption, then one for each word: whether to switch and, where it does, into which language.
        numbers = draw.numbers(2 + (len(parts) >> 1))
        if self.whole_captions and numbers[0] < self.whole_captions * 2**32:
            return self._switch(parts, numbers, 1.0, self.language(numbers[1]), draw)
        one = self.language(numbers[1]) if self.per_caption else None
        return self._switch(parts, numbers, self.p.at(caption.epoch), one, draw)

    def _switch(self, parts: list[str], numbers: Sequence[int], p: float, one: int | None, draw: Draw) -> Switched:
        """``one``: the caption's language, or None where each word draws its own."""
        lookup, languages, draw_language = self.lookup, self.languages, self.language
        known = lookup.known
        threshold = round(p * 2**32)
        kept = lookup.kept(parts) if lookup.kept_phrases else ()
        picks = () if lookup.drawn is None else draw.numbers(len(parts))
        count = draw_language.count if draw_language.uniform else 0  # no call for the usual draw: this is the hot loop
        out = parts.copy()
        replacements: list[Replacement] = []
        place = -1
        for number in numbers[2:]:
            place += 2
            if number < threshold:
                # A number below the threshold is uniform there: its share of it draws the language.
                if one is not None:
                    language = one
                else:
                    language = number * count // threshold if count else draw_language((number << 32) // threshold)
                found = known[language].get(parts[place], _NEW)
                if found is _NEW:
                    found = lookup.find(parts[place], language)
                if found is not None and place not in kept:
                    out[place] = found if found.__class__ is str else found.pick(picks[place])  # type: ignore[attr-defined]
                    replacements.append((place, place, languages[language]))
        if lookup.unspaced or lookup.source_unspaced:
            join(out, replacements, lookup.unspaced, lookup.source_unspaced)
        return Switched(parts, out, replacements)


class Bilingual(Multilingual):
    """One target language (BL-CS).

    Raises:
        UserError: not exactly one language.
    """

    def __init__(self, lookup: Lookup, **options) -> None:
        super().__init__(lookup, **options)
        if len(self.languages) != 1:
            raise UserError(
                f"codeswitch=bilingual takes one language, got {len(self.languages)} ({', '.join(self.languages)}); "
                "set codeswitch.languages=[de], say, or codeswitch=multilingual."
            )


class Dictionary(Multilingual):
    """The whole caption word by word, into one language drawn for it; words that the language lacks stay.

    With an inverted lexicon (X -> English) this is the study's Translate-Test. ``p``: share of captions that are put.
    """

    def __init__(
        self,
        lookup: Lookup,
        *,
        p: Curriculum = 1.0,
        language_weights: Mapping[str, float] | None = None,
        whole_captions: float = 0.0,
    ) -> None:
        super().__init__(
            lookup, p=p, language_per="caption", language_weights=language_weights, whole_captions=whole_captions
        )

    def __call__(self, caption: Caption, draw: Draw) -> Switched:
        parts = segment(caption.text, self.lookup.split)
        numbers = draw.numbers(2 + (len(parts) >> 1))
        put = numbers[0] < max(self.whole_captions, self.p.at(caption.epoch)) * 2**32
        return self._switch(parts, numbers, float(put), self.language(numbers[1]), draw)
