"""What an evaluation may rank beside a suite's captions and images: the shape of such a setting."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from mmcs.evaluation.ranking import Ranking
from mmcs.evaluation.rows import Row
from mmcs.evaluation.suite import Embedded

Encode = Callable[[Sequence[str]], Tensor]  # N texts → (N, D) unit embeddings on the CPU


class Setting(Protocol):
    """Ranks what it adds to a suite, then makes the rows of it. Used once per suite and protocol, in this order."""

    def rankings(
        self, embedded: Embedded, protocol: str, encode: Encode, device: torch.device
    ) -> Iterator[Ranking]: ...

    def rows(self, rankings: Sequence[Ranking], seen: Collection[str]) -> list[Row]: ...
