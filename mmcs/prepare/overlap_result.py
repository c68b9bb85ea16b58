"""What an audit was asked and what it found: plain data, no reading. Made by ``overlap.py``, shown by the command and its page."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from mmcs.errors import UserError
from mmcs.prepare.hash_index import MOST
from mmcs.prepare.overlap_find import CAPTION, FILE, GROUP, KINDS, PICTURE
from mmcs.stream.drops import DropCounter
from mmcs.stream.sources import Reading


@dataclass(frozen=True)
class Settings:
    """What counts as overlap, and how the training shards are read.

    Attributes:
        distance: bits of 64 in which the hashes of the same picture may differ.
        min_words: a caption of fewer says what many pictures show: it is reported, and left alone.
        groups: training samples of a suite's group are listed, too.
        reading: how the training shards are read; the pictures of suites have the same extensions.
        exclude: lists of what training leaves out already (``LeaveOut``).
        num_workers: processes that read and decode.

    Raises:
        UserError: a number out of its range.
    """

    distance: int = 10
    min_words: int = 5
    groups: bool = False
    reading: Reading = field(default_factory=Reading)
    exclude: tuple[str, ...] = ()
    num_workers: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.distance <= MOST:
            raise UserError(f"--distance is a number of bits, 0 to {MOST}; got {self.distance}.")
        if self.min_words < 1 or self.num_workers < 0:
            raise UserError(
                f"--min-words is at least 1 and --num-workers at least 0; got {self.min_words} and {self.num_workers}."
            )


@dataclass(frozen=True)
class Pair:
    """An image that stands in both: identities; ``distance`` and ``likeness`` as in ``Found``."""

    kind: str
    train: str
    suite: str
    distance: int
    likeness: float


@dataclass(frozen=True)
class SharedCaption:
    """A caption of a suite that training has, too: its plain form, in which languages the suite has it, its words, and how
    many training samples carry it, one of them by name.
    """

    text: str
    languages: tuple[str, ...]
    words: int
    samples: int
    example: str


@dataclass
class SuiteOverlap:
    """What of one suite stands in the training shards.

    Attributes:
        images: usable ones; ``dropped`` counts the others.
        found: per kind, how many of them; ``samples``: in how many training samples.
        texts: per language, how many different captions the suite has.
    """

    name: str
    shards: str
    images: int
    dropped: DropCounter
    found: dict[str, int]
    samples: dict[str, int]
    texts: dict[str, int]
    pairs: list[Pair]
    captions: list[SharedCaption]

    @property
    def leaked(self) -> int:
        """How many of its images stand in the training shards."""
        return len({pair.suite for pair in self.pairs})

    def by_language(self, settings: Settings) -> list[tuple[str, tuple[int, int, int]]]:
        """Per language that has any in both: different captions, those in both, and those that are listed; the most first."""
        both = Counter(language for caption in self.captions for language in caption.languages)
        listed = Counter(
            language
            for caption in self.captions
            if caption.words >= settings.min_words
            for language in caption.languages
        )
        most_first = sorted(both, key=lambda language: (-both[language], language))
        return [(language, (self.texts[language], both[language], listed[language])) for language in most_first]


@dataclass
class Overlap:
    """The whole audit.

    Attributes:
        samples: usable training samples; ``dropped`` counts the others.
        listed: training sample → why training shall leave it out: the kind, and the suite's image.
        captions: those that training shall leave out, as they stand there.
    """

    train: str
    settings: Settings
    samples: int
    dropped: DropCounter
    suites: list[SuiteOverlap]
    listed: dict[str, tuple[str, str]]
    captions: list[str]

    @property
    def kinds_listed(self) -> tuple[str, ...]:
        return (FILE, PICTURE, CAPTION, GROUP) if self.settings.groups else (FILE, PICTURE, CAPTION)

    def as_dict(self) -> dict[str, Any]:
        """The audit as JSON has it, with every pair and every caption in both."""
        settings = asdict(self.settings)
        return {
            "train": {"shards": self.train, "samples": self.samples, "dropped": dict(self.dropped.by_cause)},
            "settings": {**settings, **settings.pop("reading")},
            "suites": {
                suite.name: {
                    "shards": suite.shards,
                    "images": suite.images,
                    "dropped": dict(suite.dropped.by_cause),
                    "images_in_training": suite.leaked,
                    "found": {
                        kind: {"images": suite.found[kind], "training_samples": suite.samples[kind]} for kind in KINDS
                    },
                    "captions": {
                        language: dict(zip(("texts", "in_both", "listed"), numbers, strict=True))
                        for language, numbers in suite.by_language(self.settings)
                    },
                    "pairs": [asdict(pair) for pair in suite.pairs],
                    "captions_in_both": [asdict(caption) for caption in suite.captions],
                }
                for suite in self.suites
            },
            "listed": {sample: {"kind": kind, "suite_image": image} for sample, (kind, image) in self.listed.items()},
            "listed_captions": self.captions,
        }
