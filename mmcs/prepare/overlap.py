"""The leakage audit: which images and captions of test sets stand in training shards, too.

The suites are read first, then the training shards once; what is compared stands in ``overlap_find.py``, what comes out in
``overlap_result.py``. The list for ``data.exclude``, the page and the tables are made from that elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmcs.codeswitch.segment import segment
from mmcs.errors import DataError
from mmcs.prepare.fingerprint import VIEWS, Fingerprint
from mmcs.prepare.overlap_find import CAPTION, FILE, GROUP, KINDS, PICTURE, FindOverlap, Known
from mmcs.prepare.overlap_result import Overlap, Pair, Settings, SharedCaption, SuiteOverlap
from mmcs.progress import track
from mmcs.stream.drops import DropCounter
from mmcs.stream.exclude import LeaveOut
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.pipeline import BatchStage, SampleStage
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import Reading, Shard

_BATCH = 64


def find_overlap(train: str, suites: Mapping[str, str], settings: Settings | None = None) -> Overlap:
    """Compares training shards with suites.

    Args:
        train: shards as ``mmcs.stream.sources.expand`` takes them.
        suites: the same by name.

    Raises:
        UserError: no such shards. DataError: nothing usable in them.
    """
    settings = settings or Settings()
    known, dropped = Known(), []
    reading = settings.reading
    opened = {name: Reading(images=reading.images).expand(shards) for name, shards in suites.items()}
    read = reading.expand(train)
    for number, (name, shards) in enumerate(opened.items()):
        dropped.append(DropCounter())
        stages: list[SampleStage] = [ParseSample(), Fingerprint(VIEWS)]
        for batch in _stream(shards, stages, (), settings, f"Reading {name}", dropped[-1]):
            known.add(number, batch)
        if number not in known.suite:
            raise DataError(f"suite {name} ({suites[name]}): {dropped[-1].explained()}; nothing is left to compare.")
    parse = ParseSample(text_language=reading.text_language)
    left_out = [LeaveOut(settings.exclude, text_language=reading.text_language)] if settings.exclude else []
    stages = [parse, *left_out, Fingerprint()]
    counter, matches = DropCounter(), _Matches(known, settings)
    for batch in _stream(read, stages, [FindOverlap(known, settings.distance)], settings, "Reading training", counter):
        for identity, found in zip(batch["identity"], batch["found"], strict=True):
            matches.add(identity, found)
    if not matches.samples:
        raise DataError(f"{train}: {counter.explained()}; nothing is left to compare.")
    of_suites = [matches.suite(number, name, suites[name], dropped[number]) for number, name in enumerate(suites)]
    return Overlap(train, settings, matches.samples, counter, of_suites, matches.listed(), matches.listed_captions())


def words(text: str) -> int:
    """The words of a caption; where a script has no spaces, two characters count as one.

    >>> words("A dog's T-shirt."), words("一只红色的狗")
    (3, 3)
    """
    return len(segment(text, _in_twos)) // 2


def _in_twos(clusters: list[str]) -> list[str]:
    return ["".join(clusters[place : place + 2]) for place in range(0, len(clusters), 2)]


def _stream(
    shards: list[Shard],
    stages: list[SampleStage],
    batch_stages: Sequence[BatchStage],
    settings: Settings,
    title: str,
    dropped: DropCounter,
) -> Iterator[dict[str, Any]]:
    """The batches of all samples, once; a worker keeps to a stretch of the shards."""
    held = sizes(shards)
    if not sum(held):
        raise DataError(f"the shards {', '.join(shard.path for shard in shards[:3])} … hold no samples.")
    shuffle = Shuffle(lanes=max(1, settings.num_workers))
    loader = StreamLoader(
        shards,
        held,
        [ReadSample(reach=shuffle.reach), *stages],
        batch_size=_BATCH,
        batch_stages=batch_stages,
        num_workers=settings.num_workers,
        shuffle=shuffle,
        place=Place(),
    )
    for batch in track(loader, title, len(loader)):
        dropped.add(batch)
        if len(batch["position"]):
            yield batch


@dataclass
class _Matches:
    """What was found so far, of all training samples."""

    known: Known
    settings: Settings
    samples: int = 0
    _images: dict[tuple[int, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    _samples: Counter[tuple[int, str]] = field(default_factory=Counter)
    _pairs: list[tuple[int, Pair]] = field(default_factory=list)
    _reasons: dict[str, tuple[str, str]] = field(default_factory=dict)
    _carriers: Counter[int] = field(default_factory=Counter)
    _first: dict[int, str] = field(default_factory=dict)
    _spellings: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self._texts = list(self.known.texts)
        self._words = [words(text) for text in self._texts]

    def add(self, identity: str, found: list[Any]) -> None:
        """Takes in what one training sample has in common with the suites."""
        self.samples += 1
        of_sample: set[tuple[int, str]] = set()
        carried: set[int] = set()
        for one in found:
            if one.kind == CAPTION:
                carried.add(one.item)
                if self._specific(one.item):
                    self._spellings[one.item].add(" ".join(one.text.split()))
                images = [image for image, _ in self.known.captions[one.item]] if self._specific(one.item) else []
            else:
                images = [one.item]
            for image in images:
                suite = self.known.suite[image]
                self._images[suite, one.kind].add(image)
                of_sample.add((suite, one.kind))
            if one.kind in (FILE, PICTURE):
                pair = Pair(one.kind, identity, self.known.identity[one.item], one.distance, round(one.likeness, 4))
                self._pairs.append((self.known.suite[one.item], pair))
            if one.kind in (FILE, PICTURE) or (one.kind == GROUP and self.settings.groups):
                reason = (one.kind, self.known.identity[one.item])
                kept = self._reasons.get(identity, reason)
                self._reasons[identity] = min(kept, reason, key=lambda each: (KINDS.index(each[0]), each[1]))
        self._samples.update(of_sample)
        self._carriers.update(carried)
        for text in carried:
            self._first[text] = min(self._first.get(text, identity), identity)

    def suite(self, number: int, name: str, shards: str, dropped: DropCounter) -> SuiteOverlap:
        """The findings of one suite."""
        texts: Counter[str] = Counter()
        shared = []
        for text, carriers in enumerate(self.known.captions):
            languages = sorted({language for image, language in carriers if self.known.suite[image] == number})
            texts.update(languages)
            if languages and self._carriers[text]:
                about = (self._texts[text], tuple(languages), self._words[text])
                shared.append(SharedCaption(*about, self._carriers[text], self._first[text]))
        return SuiteOverlap(
            name=name,
            shards=shards,
            images=self.known.suite.count(number),
            dropped=dropped,
            found={kind: len(self._images[number, kind]) for kind in KINDS},
            samples={kind: self._samples[number, kind] for kind in KINDS},
            texts=dict(sorted(texts.items())),
            pairs=sorted(
                (pair for suite, pair in self._pairs if suite == number),
                key=lambda pair: (KINDS.index(pair.kind), pair.suite, pair.train),
            ),
            captions=sorted(shared, key=lambda caption: (-caption.words, caption.text)),
        )

    def listed(self) -> dict[str, tuple[str, str]]:
        return dict(sorted(self._reasons.items()))

    def listed_captions(self) -> list[str]:
        return sorted({spelling for spellings in self._spellings.values() for spelling in spellings})

    def _specific(self, text: int) -> bool:
        return self._words[text] >= self.settings.min_words
