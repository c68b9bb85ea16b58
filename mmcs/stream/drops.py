"""What is dropped from the stream: its causes, the exception that says so, and the counter that stops a bad run.

Stages raise ``BadSample``; the loader turns it into a hole in the batch and lets the cause travel with the batch.
Logging and metrics read the counter; they live in the callbacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from mmcs.errors import DataError

#: Every cause for which a sample can be dropped; metrics are named after them.
CAUSES = (
    "missing",  # sizes.json promises it, the shard does not hold it
    "not in sizes.json",  # the shard holds it, sizes.json does not promise it: it has no place in the order
    "unreadable archive",  # the machine or the network failed while reading
    "not an archive",
    "damaged archive",  # a member's header is broken: what follows it cannot be found
    "truncated archive",
    "duplicate key",
    "file too large",
    "no image",
    "undecodable image",
    "image too large",
    "bad utf-8",
    "bad json",
    "no caption",
    "empty caption",
)

#: Before that many samples are seen, a share says little: a run is not stopped for its first bad sample.
FEWEST_TO_JUDGE = 100


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


class DropCounter:
    """Counts what the batches say was dropped, by cause and by shard (``batch["dropped"]``, see ``Collate``)."""

    def __init__(self) -> None:
        self.seen = 0
        self.by_cause: Counter[str] = Counter()
        self.by_shard: Counter[str] = Counter()
        self._example: dict[str, tuple[str, str]] = {}

    @property
    def dropped(self) -> int:
        return sum(self.by_cause.values())

    def add(self, batch: Mapping[str, Any]) -> None:
        """Counts one batch: the samples that it holds and those that were dropped from it."""
        self.seen += len(batch["position"]) + len(batch["dropped"])
        for cause, shard, key in batch["dropped"]:
            self.by_cause[cause] += 1
            self.by_shard[shard] += 1
            self._example.setdefault(shard, (cause, key))

    def check(self, max_bad_share: float, *, final: bool = False) -> None:
        """Stops a run whose data is bad.

        Args:
            max_bad_share: the largest share of the samples seen that may be dropped, 0 to 1.
            final: judge however few were seen (the end of an epoch); otherwise ``FEWEST_TO_JUDGE`` come first.

        Raises:
            DataError: more was dropped; the sentence names the causes and the worst shard.
        """
        if not self.dropped or (self.seen < FEWEST_TO_JUDGE and not final):
            return
        if self.dropped <= max_bad_share * self.seen:
            return
        worst, count = self.by_shard.most_common(1)[0]
        cause, key = self._example[worst]
        raise DataError(
            f"{self.summary()}, more than the allowed share of {max_bad_share:.1%}; the worst shard is {worst} "
            f"({count} dropped, first {key or 'its end'}: {cause}). Mend the data or raise data.max_bad_share."
        )

    def summary(self) -> str:
        """One line for people: ``3 of 953 samples dropped (0.3%): 2 no caption, 1 undecodable image``."""
        if not self.dropped:
            return f"none of {self.seen:,} samples dropped"
        causes = ", ".join(f"{count:,} {cause}" for cause, count in self.by_cause.most_common())
        return f"{self.dropped:,} of {self.seen:,} samples dropped ({self.dropped / self.seen:.1%}): {causes}"
