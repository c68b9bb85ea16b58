"""What every worker runs for itself: the two stages of ``StreamLoader``'s webdataset ``DataPipeline``.

``Schedule`` says which samples are next, ``Prepare`` makes a part of a batch of them. What is done to a sample is
the business of the stages that ``Prepare`` is given; parts are joined in ``loader.py``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import get_worker_info

from mmcs.errors import MmcsError
from mmcs.stream.batch import Collate
from mmcs.stream.drops import BadSample
from mmcs.stream.order import EpochOrder, Place, Shuffle, steps
from mmcs.stream.sources import Shard

SampleStage = Callable[[dict[str, Any]], dict[str, Any]]
BatchStage = Callable[[dict[str, Any]], dict[str, Any]]
Drop = tuple[str, str, str]


class Schedule:
    """Yields (epoch, the samples to read) for one batch after the other; a worker without a share gets an empty list.

    Args:
        begin: int64 (2,), the epoch and its first position: read when a pass begins, so that workers which already
            run learn of the next one (it lies in shared memory).
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        sizes: Sequence[int],
        shuffle: Shuffle | None,
        batch_size: int,
        place: Place,
        begin: torch.Tensor,
    ) -> None:
        self.shards = shards
        self.sizes = sizes
        self.shuffle = shuffle
        self.batch_size = batch_size * place.world_size
        self.place = place
        self.begin = begin

    def __call__(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        epoch, start = self.begin.tolist()
        order = EpochOrder(self.sizes, epoch, self.shuffle)
        info = get_worker_info()
        mine, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        for step in steps(order.total, self.batch_size, start):
            positions = [
                position
                for position in order.positions(step, self.batch_size, self.place)
                if position >= start and order.worker(position, self.place.world_size, workers) == mine
            ]
            yield epoch, [self.sample(order, epoch, position) for position in positions]

    def sample(self, order: EpochOrder, epoch: int, position: int) -> dict[str, Any]:
        """What the first sample stage gets."""
        shard, ordinal = order.locate(position)
        return {
            "position": position,
            "epoch": epoch,
            "origin": self.shards[shard],
            "ordinal": ordinal,
            "promised": self.sizes[shard],
        }


class Prepare:
    """(epoch, samples) → part of a batch: through the sample stages, ``Collate``, and the batch stages.

    An error that shall stop the run is returned, not raised: a DataLoader would make its stack trace the message.
    """

    def __init__(self, stages: Sequence[SampleStage], batch_stages: Sequence[BatchStage]) -> None:
        self.stages = list(stages)
        self.batch_stages: list[Callable[[Any], dict[str, Any]]] = [Collate(), *batch_stages]

    def __call__(self, scheduled: tuple[int, list[dict[str, Any]]]) -> dict[str, Any] | Exception:
        epoch, samples = scheduled
        dropped: list[Drop] = []
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # images are small: a pool costs more than it gives
        try:
            kept = [done for sample in samples if (done := self._through_stages(sample, dropped)) is not None]
            batch: Any = kept if kept else {"position": torch.empty(0, dtype=torch.int64)}
            for stage in self.batch_stages if kept else ():
                batch = _run(stage, batch, "a batch")
        except (MmcsError, OSError, _Failed) as error:
            return error
        finally:
            torch.set_num_threads(threads)
        return batch | {"epoch": epoch, "dropped": dropped}

    def _through_stages(self, sample: dict[str, Any], dropped: list[Drop]) -> dict[str, Any] | None:
        """The finished sample, or None with its cause in ``dropped``; position and epoch stay, whatever stages do."""
        shard, place = sample["origin"].label, {"position": sample["position"], "epoch": sample["epoch"]}
        key = ""
        for stage in self.stages:
            before = sample
            try:
                sample = _run(stage, before, f"the sample {shard}/{key}")
            except BadSample as bad:
                dropped.append((bad.cause, shard, before.get("key", key)))
                return None
            finally:
                dropped += [("not in sizes.json", shard, beyond) for beyond in before.pop("surplus", ())]
            key = sample.get("key", key)
        return sample | place


class _Failed(RuntimeError):
    """A stage failed in a way that it should not; the worker's stack trace is a note."""


def _run(stage: Callable[[Any], dict[str, Any]], value: Any, what: str) -> dict[str, Any]:
    try:
        result = stage(value)
        if not isinstance(result, dict):
            raise TypeError(f"a stage gives a dict, not {type(result).__name__}")
        return result
    except (BadSample, MmcsError, OSError):
        raise
    except Exception as error:
        failed = _Failed(f"{type(stage).__name__} failed on {what}: {error!r}")
        failed.add_note(traceback.format_exc())
        raise failed from None
