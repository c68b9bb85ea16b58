"""Which pictures are mirrored; the mirroring itself happens on the device (``mmcs.model.embed``)."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any


class RandomFlip:
    """Sample stage: "flip" (bool), true for a share ``p`` of pictures; drawn from (seed, pass, identity)."""

    def __init__(self, p: float, seed: int = 0) -> None:
        self.p = p
        self.seed = seed

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        drawn_from = f"flip/{self.seed}/{sample['pass']}/{sample['identity']}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(blake2b(drawn_from, digest_size=6).digest(), "little")
        return {**sample, "flip": number < self.p * (1 << 48)}
