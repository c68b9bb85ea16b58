"""The two stages of the stream that make texts: which English caption is read, and what the switch makes of it.

``datamodules`` puts them into its list; ``build.py`` makes them from a configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.schedule import one_of, probability
from mmcs.codeswitch.strategy import Caption, Strategy, Switched
from mmcs.errors import UserError
from mmcs.stream.drops import BadSample

Sample = dict[str, Any]


class ChooseCaption:
    """One of the sample's captions in the source language, drawn from (seed, version, identity): ``texts`` holds it alone.

    The version is the pass over the sample's source (the epoch, unless sources are mixed), or, with ``variants`` = K > 0,
    that modulo K: then a sample has at most K texts, and what a locked text tower makes of them can be kept.

    Reads ``identity``, ``pass``, ``captions``; sets ``english`` and ``texts`` (a list of it alone),
    ``caption_index`` and ``version``.

    Raises (while reading):
        BadSample: "no caption": none in a source language other than English (without an English one no sample comes here).
    """

    def __init__(self, *, seed: int, variants: int = 0, source_language: str = "en") -> None:
        if not isinstance(variants, int) or variants < 0:
            raise UserError(
                f"codeswitch.variants is a whole number, 0 (a new version each epoch) or more; got {variants!r}."
            )
        self.seed = seed
        self.variants = variants
        self.source_language = source_language
        self.reads = (source_language,)

    def __call__(self, sample: Sample) -> Sample:
        captions = sample["captions"].get(self.source_language)
        if not captions:
            raise BadSample("no caption", f"in {self.source_language}")
        version = sample["pass"] % self.variants if self.variants else sample["pass"]
        index = 0
        if len(captions) > 1:
            index = Draw(self.seed, version, sample["identity"], "caption").index(len(captions))
        text = captions[index]
        return {**sample, "english": text, "texts": [text], "caption_index": index, "version": version}


class ForgetCaptions:
    """Drops "caption" and "captions" once the texts are made: a batch need not carry every language to the device."""

    def __call__(self, sample: Sample) -> Sample:
        return {key: value for key, value in sample.items() if key not in ("caption", "captions")}


class SwitchCaption:
    """Maps the chosen English caption to the views that are trained on.

    ``views`` lists them: ("switched",) replaces the caption (the study's mode); ("english", "switched") is two views;
    ("english", "switched", "switched") has two copies of the caption, each switched by a draw of its own; ("english", "english")
    is the control. A share ``keep_english`` of the captions stays English in every view.

    Reads ``texts``, ``captions``, ``identity``, ``epoch``, ``version``, ``caption_index``; sets ``texts`` (one str per view),
    ``words`` (number of words of the captions that were switched), ``replaced`` (the languages of the replaced words, one entry
    each) and ``unchanged`` (whether every switched text is the caption as it was).

    Attributes:
        constant: whether an epoch's captions depend on its version alone, not on a curriculum.
    """

    def __init__(
        self, strategy: Strategy, *, seed: int, views: Sequence[str] = ("switched",), keep_english: float = 0.0
    ) -> None:
        if not views:
            raise UserError("codeswitch.views is empty; list at least one of english, switched.")
        self.strategy = strategy
        self.views = tuple(one_of("codeswitch.views", view, ("english", "switched")) for view in views)
        self.n_switched = self.views.count("switched")
        self.reads: tuple[str, ...] = strategy.reads
        self.constant = strategy.constant
        self.keep_english = probability("codeswitch.keep_english", keep_english)
        self.seed = seed

    def switch(self, sample: Sample) -> list[Switched]:
        """The sample's caption after the switch: once per switched view, and once where there is none."""
        (text,) = sample["texts"]
        caption = Caption(text, sample["captions"], sample["epoch"])
        key = (self.seed, sample["version"], sample["identity"], sample["caption_index"])
        draw = Draw(*key)
        stays = self.keep_english and draw.uniform() < self.keep_english
        switched = [self.strategy(caption, draw)]
        switched += [self.strategy(caption, Draw(*key, further)) for further in range(1, self.n_switched)]
        return [Switched(own.parts, own.parts, []) for own in switched] if stays else switched

    def __call__(self, sample: Sample) -> Sample:
        (text,) = sample["texts"]
        switched = self.switch(sample)
        after = [own.text for own in switched]
        texts = iter(after)
        return {
            **sample,
            "texts": [next(texts) if view == "switched" else text for view in self.views],
            "words": sum(own.words for own in switched),
            "replaced": [language for own in switched for language in own.languages()],
            "unchanged": all(one == text for one in after),
        }
