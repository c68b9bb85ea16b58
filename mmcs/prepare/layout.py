"""How records become samples: which split each falls into, what of its picture is kept, how many lie in a shard.

``Layout`` is for sets that have no split of their own, ``SuiteLayout`` for evaluation suites, which have one. shards.py
writes by either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from mmcs.errors import UserError
from mmcs.prepare.images import Picture, convert, keep
from mmcs.prepare.records import Record, split_of

SAMPLES_PER_SHARD_LIMIT = 10_000  # a key is five digits of shard and four of sample


class Plan(Protocol):
    """What ``Layout`` and ``SuiteLayout`` have in common."""

    @property
    def samples_per_shard(self) -> int: ...

    def as_dict(self) -> dict[str, Any]:
        """For the manifest, and to tell whether a set was made alike."""
        ...

    def split(self, record: Record) -> str: ...

    def picture(self, record: Record) -> Picture:
        """Raises ``ImageError`` where there is none that can be used."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """Splits by concept, pictures of one size.

    Attributes:
        val, test: shares of the concepts, 0 to 1 together.
        size: pixels on the longer side.
        samples_per_shard: at most 10,000.
    """

    val: float = 0.10
    test: float = 0.25
    size: int = 256
    samples_per_shard: int = 1000

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} is {getattr(self, name)}; give a share between 0 and 1.")
        if self.val + self.test > 1:
            raise UserError(f"--val {self.val} and --test {self.test} are more than the whole; their sum is at most 1.")
        _check(self.size, "longer", self.samples_per_shard)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def split(self, record: Record) -> str:
        return split_of(record.group, self.val, self.test)

    def picture(self, record: Record) -> Picture:
        return convert(record.image, record.extension, self.size)


@dataclass(frozen=True, slots=True)
class SuiteLayout:
    """The split that the source names, photographs as they are.

    Attributes:
        size: pixels on the shorter side, since towers crop a square out of it; larger pictures are made smaller. None:
            no picture is touched, so that figures are those of the originals.
        samples_per_shard: at most 10,000.
    """

    size: int | None = None
    samples_per_shard: int = 1000

    def __post_init__(self) -> None:
        _check(16 if self.size is None else self.size, "shorter", self.samples_per_shard)

    def as_dict(self) -> dict[str, Any]:
        return {"size": self.size or "original", "samples_per_shard": self.samples_per_shard}

    def split(self, record: Record) -> str:
        assert record.split is not None  # suites.py gives every record one
        return record.split

    def picture(self, record: Record) -> Picture:
        return keep(record.image, self.size)


def _check(size: int, side: str, samples_per_shard: int) -> None:
    if not 16 <= size <= 4096:
        raise UserError(f"--size is {size}; give the {side} side in pixels, 16 to 4096.")
    if not 1 <= samples_per_shard <= SAMPLES_PER_SHARD_LIMIT:
        raise UserError(f"--samples-per-shard is {samples_per_shard}; give 1 to {SAMPLES_PER_SHARD_LIMIT}.")
