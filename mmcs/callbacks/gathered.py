"""Small things that callbacks gather from all processes, where tensors would not do."""

from __future__ import annotations

from typing import TypeVar

from mmcs.stream.order import Place

T = TypeVar("T")


def of_all_ranks(own: T) -> list[T]:
    """What every rank brings, in the order of ranks; all of them must ask."""
    from torch import distributed

    place = Place.here()
    if place.world_size == 1:
        return [own]
    everything: list[T] = [own] * place.world_size
    distributed.all_gather_object(everything, own)
    return everything
