"""The encoded images of a suite by their ids, for people to look at: the report's examples, TensorBoard's pictures; and
the captions that lie beside an image, by which one tells whether it is still the one that was evaluated.

Shards are opened when one of their images is first asked for. What is shown is decided by who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcs.errors import DataError
from mmcs.stream.decode import image_file
from mmcs.stream.drops import BadSample
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import IMAGE_EXTENSIONS, TEXT_EXTENSIONS, ReadSample
from mmcs.stream.remote import Access
from mmcs.stream.sources import Shard


class Pictures:
    """Image id (``source/shard/key``) -> the image's file as it lies in its shard; None where it cannot be had.

    Args:
        shards: from ``mmcs.stream.sources.expand``.
        access: to shards that lie elsewhere; each that is asked for is fetched whole.
    """

    def __init__(self, shards: Sequence[Shard], access: Access | None = None) -> None:
        self._shards = {shard.label: shard for shard in shards}
        self._read = ReadSample(access=access, extensions=IMAGE_EXTENSIONS)
        self._read_texts = ReadSample(access=access, extensions=TEXT_EXTENSIONS)
        self._parse = ParseSample()
        self._numbers: dict[str, dict[str, int]] = {}  # per shard: the number of each key's sample

    def __call__(self, image_id: str) -> bytes | None:
        try:
            place = self._place(image_id)
            return None if place is None else image_file(self._read(place))
        except (BadSample, DataError, OSError):
            return None

    def captions(self, image_id: str) -> dict[str, list[str]]:
        """By language; empty where the image has none, or cannot be had."""
        try:
            place = self._place(image_id)
            return {} if place is None else self._parse(self._read_texts(place))["captions"]
        except (BadSample, DataError, OSError):
            return {}

    def _place(self, image_id: str) -> dict[str, Any] | None:
        """Where a sample lies, as the readers want it."""
        shard = self._shard_of(image_id)
        if shard is None:
            return None
        number = self._numbers_in(shard).get(image_id.removeprefix(f"{shard.label}/"))
        if number is None:
            return None
        return {"origin": shard, "ordinal": number, "promised": len(self._numbers[shard.label]), "pass": 0}

    def _shard_of(self, image_id: str) -> Shard | None:
        parts = image_id.split("/")  # a key may hold slashes, too
        labels = ("/".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))
        return next((self._shards[label] for label in labels if label in self._shards), None)

    def _numbers_in(self, shard: Shard) -> dict[str, int]:
        if shard.label not in self._numbers:
            index = self._read.index(shard)
            usable = (number for number in range(len(index)) if number not in index.damage)
            self._numbers[shard.label] = {index.keys[number]: number for number in usable}
        return self._numbers[shard.label]
