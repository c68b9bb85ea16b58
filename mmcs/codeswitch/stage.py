"""The two stages of the stream that make texts: which English caption is read, and what the switch makes of it.

``datamodules`` puts them into its list; ``build.py`` makes them from a configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.strategy import Caption, Strategy
from mmcs.codeswitch.words import one_of, probability
from mmcs.errors import UserError

Sample = dict[str, Any]


class ChooseCaption:
    """One of the sample's English captions, drawn from (seed, version, identity): ``texts`` holds it alone.

    The version is the epoch, or, with ``variants`` = K > 0, the epoch modulo K: then a sample has at most K texts, and what
    a locked text tower makes of them can be kept.

    Reads ``identity``, ``epoch``, ``captions``; sets ``english`` and ``texts`` (a list of it alone),
    ``caption_index`` and ``version``.
    """

    def __init__(self, *, seed: int, variants: int = 0) -> None:
        if not isinstance(variants, int) or variants < 0:
            raise UserError(
                f"codeswitch.variants is a whole number, 0 (a new version each epoch) or more; got {variants!r}."
            )
        self.seed = seed
        self.variants = variants
        self.reads = ("en",)

    def __call__(self, sample: Sample) -> Sample:
        english = sample["captions"]["en"]
        version = sample["epoch"] % self.variants if self.variants else sample["epoch"]
        index = 0
        if len(english) > 1:
            index = Draw(self.seed, version, sample["identity"], "caption").index(len(english))
        text = english[index]
        return {**sample, "english": text, "texts": [text], "caption_index": index, "version": version}


class ForgetCaptions:
    """Drops "caption" and "captions" once the texts are made: a batch need not carry every language to the device."""

    def __call__(self, sample: Sample) -> Sample:
        return {key: value for key, value in sample.items() if key not in ("caption", "captions")}


class SwitchCaption:
    """Maps the chosen English caption to the views that are trained on.

    ``views`` lists them: ("switched",) replaces the caption (the study's mode); ("english", "switched") is two views;
    ("english", "english") their control. A share ``keep_english`` of the captions stays English in every view.

    Reads ``texts``, ``captions``, ``identity``, ``version``, ``caption_index``; sets ``texts`` (one str per view), ``words``
    (number of words of the caption) and ``replaced`` (the languages of the replaced words, one entry each).
    """

    def __init__(
        self, strategy: Strategy, *, seed: int, views: Sequence[str] = ("switched",), keep_english: float = 0.0
    ) -> None:
        if not views:
            raise UserError("codeswitch.views is empty; list at least one of english, switched.")
        self.strategy = strategy
        self.views = tuple(one_of("codeswitch.views", view, ("english", "switched")) for view in views)
        self.reads: tuple[str, ...] = strategy.reads
        self.keep_english = probability("codeswitch.keep_english", keep_english)
        self.seed = seed

    def __call__(self, sample: Sample) -> Sample:
        (english,) = sample["texts"]
        draw = Draw(self.seed, sample["version"], sample["identity"], sample["caption_index"])
        stays = draw.uniform() < self.keep_english
        switched = self.strategy(Caption(english, sample["captions"]), draw)
        if stays:
            switched = switched._replace(text=english, replacements=())
        texts = [switched.text if view == "switched" else english for view in self.views]
        return {
            **sample,
            "texts": texts,
            "words": switched.words,
            "replaced": [replacement.language for replacement in switched.replacements],
        }
