"""Threads for work that is made of small steps: torch's own would wait for each other after every one of them.

``scores``, ``counting``, ``positives`` and ``ranks`` compute through this; only products and sorts of whole matrices are
left to torch's threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

STRIPS = 2  # per thread: one that is held up leaves a part of its share to the others
SMALL = 1 << 18  # numbers for which a second thread is not worth starting


@contextmanager
def alone() -> Iterator[None]:
    """Torch computes on the calling thread alone; also a decorator.

    Steps of some thousand numbers gain nothing from more threads, and where other work holds a core, each of them
    would wait for it: on two busy cores such steps took twice as long as the product of a whole suite.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_strips(function: Callable[..., Result], *tensors: Tensor) -> list[Result]:
    """``function`` of strips of the first dimension of all ``tensors``, in order; on a CPU as many strips at a time as torch
    has threads, each of which computes alone.
    """
    threads, rows = torch.get_num_threads(), len(tensors[0])
    if tensors[0].device.type != "cpu" or threads == 1 or tensors[0].numel() <= SMALL:
        with alone():
            return [function(*tensors)]
    high = -(-rows // (threads * STRIPS))
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(function, *(tensor.split(high) for tensor in tensors)))
    finally:
        torch.set_num_threads(threads)  # what threads that start later begin with
