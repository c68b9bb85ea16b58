"""What is dropped from the stream: its causes, the exception that says so, and the counter that stops a bad run.

Stages raise ``BadSample``; the loader turns it into a hole in the batch and lets the cause travel with the batch.
Logging and metrics read the counter; they live in the callbacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmcs.errors import DataError

#: Left out on purpose: counted and shown, but no fault of the data.
EXCLUDED = "excluded"
#: Captions under a key that is no language: the sample is used without them.
NO_LANGUAGE = "no language"
#: Every cause for which a sample can be dropped; metrics are named after them.
CAUSES = (
    "missing",  # sizes.json promises it, the shard does not hold it
    "not in sizes.json",  # the shard holds it, sizes.json does not promise it: it has no place in the order
    "unreadable archive",  # the machine or the network failed while reading
    "not an archive",
    "damaged archive",  # a member's header is broken: what follows it cannot be found
    "truncated archive",
    "bytes after the end",  # of the archive, and no further archive
    "archive in archive",
    "unsafe name",  # absolute, with "..", control characters or the like
    "not a plain file",  # a link, a device, a pipe: never followed
    "duplicate key",
    "dots in file names",  # a key ends at the first dot, so that several files have one key
    "file too large",
    "no image",
    "undecodable image",
    "image too large",
    "bad utf-8",
    "bad json",
    "no caption",
    "empty caption",
    "caption too long",
    EXCLUDED,
    NO_LANGUAGE,
)

#: What a user can do about a cause, where the cause does not say it.
HINTS = {
    "bytes after the end": "the file is a tar and something else; make it anew",
    "duplicate key": "of files with one name the first counts",
    "dots in file names": "the key of a sample ends at the first dot of a file name; rename the files",
    "no image": "data.image_extensions (--image-extensions) names the extensions of pictures",
    "no caption": "caption of a source in data.train_shards (--caption) names a key of the .json or a file",
    NO_LANGUAGE: "caption: captions.KEY of a source reads them",
}
_NO_FAULT = (EXCLUDED, NO_LANGUAGE)
#: Before that many samples are seen, a share says little: a run is not stopped for its first bad sample.
FEWEST_TO_JUDGE = 100
#: Keys that are kept of each cause and shard, and how much of a text is shown.
_EXAMPLES = 3
_LONGEST = 200


class BadSample(Exception):
    """A stage cannot use this sample: it is dropped and counted under ``cause`` (one of ``CAUSES``)."""

    def __init__(self, cause: str, detail: str = "") -> None:
        if cause not in CAUSES:
            raise ValueError(f"unknown cause {cause!r}; the causes are {', '.join(CAUSES)}")
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}" if self.detail else self.cause


class Drop(NamedTuple):
    """One dropped sample; ``shard`` is source/shard, ``key`` empty where a shard's end is meant."""

    cause: str
    shard: str
    key: str
    detail: str = ""

    def __str__(self) -> str:
        why = f"{self.cause}: {self.detail}" if self.detail else self.cause
        return printable(f"{self.shard}/{self.key}" if self.key else f"the end of {self.shard}") + f": {printable(why)}"


class DropCounter:
    """Counts what the batches say was dropped, by cause and by shard (``batch["dropped"]``, see ``StreamLoader``).

    Captions under ``NO_LANGUAGE`` are counted by cause, and their samples among those that came.

    Attributes:
        seen: samples that came or should have come; seen_by_shard: the same by shard.
        by_cause: how many were dropped, excluded ones too.
        first: the first drop of each cause.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.seen_by_shard: Counter[str] = Counter()
        self.by_cause: Counter[str] = Counter()
        self.first: dict[str, Drop] = {}
        self._counts: dict[str, Counter[str]] = {}  # shard → cause → number
        self._examples: dict[tuple[str, str], list[Drop]] = {}

    @property
    def by_shard(self) -> Counter[str]:
        """Excluded samples are not among them."""
        return Counter({shard: bad for shard in self._counts if (bad := self._bad(shard))})

    @property
    def dropped(self) -> int:
        """How many were unusable; excluded ones are not among them."""
        return _unusable(self.by_cause)

    def add(self, batch: Mapping[str, Any]) -> None:
        """Counts one batch: the samples that it holds and those that were dropped from it."""
        self.seen += len(batch["position"])
        if "shard" in batch:
            self.seen_by_shard.update(map("/".join, zip(batch["source"], batch["shard"], strict=True)))
        for cause, shard, key, *detail in batch["dropped"]:
            if cause != NO_LANGUAGE:
                self.seen += 1
                self.seen_by_shard[shard] += 1
            short = Drop(cause, shard, key[:_LONGEST], *(text[:_LONGEST] for text in detail))
            self._count(cause, shard, 1, [short])

    def _count(self, cause: str, shard: str, count: int, examples: Sequence[Drop]) -> None:
        self.by_cause[cause] += count
        self._counts.setdefault(shard, Counter())[cause] += count
        self.first.setdefault(cause, examples[0])
        kept = self._examples.setdefault((shard, cause), [])
        kept += examples[: _EXAMPLES - len(kept)]

    def merge(self, state: Mapping[str, Any]) -> None:
        """Adds another counter's ``state_dict``."""
        self.seen += state["seen"]
        self.seen_by_shard.update(state["seen_by_shard"])
        for shard, causes in state["dropped"].items():
            for cause, (count, examples) in causes.items():
                self._count(cause, shard, count, [Drop(cause, shard, *about) for about in examples])

    def state_dict(self) -> dict[str, Any]:
        """All of it in plain numbers, texts, lists and dicts."""
        dropped = {
            shard: {
                cause: [count, [list(drop[2:]) for drop in self._examples[shard, cause]]]
                for cause, count in causes.items()
            }
            for shard, causes in self._counts.items()
        }
        return {"seen": self.seen, "seen_by_shard": dict(self.seen_by_shard), "dropped": dropped}

    def check(self, max_bad_share: float, *, final: bool = False) -> None:
        """Stops a run whose data is bad.

        Args:
            max_bad_share: the largest share of the samples seen that may be dropped, 0 to 1.
            final: judge however few were seen (the end of an epoch); otherwise ``FEWEST_TO_JUDGE`` come first.

        Raises:
            DataError: more was dropped; the sentence names the causes and the worst shard (see ``worst``).
        """
        dropped, judged = self.dropped, self._judged()
        if not dropped or (judged < FEWEST_TO_JUDGE and not final) or dropped <= max_bad_share * judged:
            return
        shard = self.worst(max_bad_share)[0]
        raise DataError(
            f"{self.summary()}, more than the allowed share of {max_bad_share:.1%}; the worst shard is "
            f"{printable(shard)} ({self._bad(shard):,} of {self._judged(shard):,} dropped, {self._such_as(shard)}). Mend the "
            "data or raise data.max_bad_share."
        )

    def explained(self) -> str:
        """``summary`` with an example of the commonest cause and what to do about it."""
        worst = self.worst()
        return f"{self.summary()}, {self._such_as(worst[0])}" if worst else self.summary()

    def _such_as(self, shard: str) -> str:
        """An example of a shard's commonest cause, and what to do about it."""
        causes = self._counts[shard]
        cause = max((cause for cause in causes if cause not in _NO_FAULT), key=causes.__getitem__)
        return f"such as {self._examples[shard, cause][0]}{f'; {HINTS[cause]}' if cause in HINTS else ''}"

    def worst(self, allowed: float = 0.0, most: int = 1) -> list[str]:
        """The worst shards, the worst first: those with most unusable samples beyond the allowed share of their own.

        A small shard that is wholly broken comes before a large one that is just above the allowed share, and neither
        a single bad sample of few nor the mere size of a shard makes it the worst.
        """
        bad = [shard for shard in self._counts if self._bad(shard)]
        return sorted(bad, key=lambda shard: (allowed * self._judged(shard) - self._bad(shard), shard))[:most]

    def share(self, shard: str) -> float:
        """The share of a shard's samples seen that were unusable."""
        return self._bad(shard) / self._judged(shard)

    def report(self, allowed: float, most: int = 1000) -> dict[str, Any]:
        """For ``drops.json``: the counts of all, and of the worst ``most`` shards with example keys."""
        dropped = self.state_dict()["dropped"]
        worst = self.worst(allowed, most)
        worst += [shard for shard in self._counts if not self._bad(shard)][: most - len(worst)]  # excluded alone
        return {
            "seen": self.seen,
            "dropped": self.dropped,
            "excluded": self.by_cause[EXCLUDED],
            "by_cause": dict(self.by_cause.most_common()),
            "shards": {
                shard: {
                    "seen": self.seen_by_shard[shard],
                    "dropped": self._bad(shard),
                    "causes": {
                        cause: {"count": count, "examples": [{"key": key, "detail": why} for key, why in examples]}
                        for cause, (count, examples) in dropped[shard].items()
                    },
                }
                for shard in worst
            },
            "shards_not_shown": len(self._counts) - len(worst),
        }

    def summary(self) -> str:
        """One line for people: ``3 of 953 samples dropped (0.3%): 2 no caption, 1 undecodable image``."""
        dropped, judged, excluded = self.dropped, self._judged(), self.by_cause[EXCLUDED]
        left_out = f"; {excluded:,} more excluded" if excluded else ""
        ignored = self.by_cause[NO_LANGUAGE]
        left_out += f"; captions under {ignored:,} keys that are no language ignored" if ignored else ""
        if not dropped:
            return f"none of {judged:,} samples dropped{left_out}"
        causes = ", ".join(
            f"{count:,} {cause}" for cause, count in self.by_cause.most_common() if cause not in _NO_FAULT
        )
        return f"{dropped:,} of {judged:,} samples dropped ({dropped / judged:.1%}): {causes}{left_out}"

    def _bad(self, shard: str) -> int:
        return _unusable(self._counts[shard])

    def _judged(self, shard: str | None = None) -> int:
        """Samples seen that were not excluded, of one shard or all."""
        if shard is None:
            return self.seen - self.by_cause[EXCLUDED]
        return self.seen_by_shard[shard] - self._counts[shard][EXCLUDED]


def _unusable(by_cause: Counter[str]) -> int:
    return by_cause.total() - sum(by_cause[cause] for cause in _NO_FAULT)


def printable(text: str) -> str:
    """A text from the data, fit for a terminal: short, and control characters spelt out."""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    if short.isprintable():
        return short
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
