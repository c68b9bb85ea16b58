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
from mmcs.stream.drops import BadSample, Drop
from mmcs.stream.mixture import MixedOrder, Mixture, epoch_order
from mmcs.stream.order import EpochOrder, Place, Shuffle, steps
from mmcs.stream.read import ReadSample
from mmcs.stream.sources import Shard
from mmcs.stream.watch import Watch

SampleStage = Callable[[dict[str, Any]], dict[str, Any]]
BatchStage = Callable[[dict[str, Any]], dict[str, Any]]


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
        mixture: Mixture | None = None,
    ) -> None:
        self.shards = shards
        self.sizes = sizes
        self.shuffle = shuffle
        self.mixture = mixture
        self.batch_size = batch_size * place.world_size
        self.place = place
        self.begin = begin

    def __call__(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        epoch, start = self.begin.tolist()
        order = epoch_order(self.sizes, epoch, self.shuffle, self.mixture)
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        for step in steps(order.total, self.batch_size, start):
            positions = order.share(step, self.batch_size, self.place, worker, workers)
            yield epoch, [self.sample(order, epoch, position) for position in positions if position >= start]

    def sample(self, order: EpochOrder | MixedOrder, epoch: int, position: int) -> dict[str, Any]:
        """What the first sample stage gets."""
        spot = order.spot(position)
        return {
            "position": position,
            "epoch": epoch,
            "pass": spot.pass_,
            "origin": self.shards[spot.shard],
            "ordinal": spot.ordinal,
            "promised": self.sizes[spot.shard],
            "lane": spot.lane,
            "following": None if spot.following is None else self.shards[spot.following],
        }


class Prepare:
    """(epoch, samples) → part of a batch: through the sample stages, ``Collate``, and the batch stages.

    An error that shall stop the run is returned, not raised: a DataLoader would make its stack trace the message.

    Attributes:
        watch: where a worker notes which sample it is at; None outside workers.
    """

    def __init__(self, stages: Sequence[SampleStage], batch_stages: Sequence[BatchStage]) -> None:
        self.watch: Watch | None = None
        self.stages = list(stages)
        self.batch_stages: list[Callable[[Any], dict[str, Any]]] = [Collate(), *batch_stages]

    def __call__(self, scheduled: tuple[int, list[dict[str, Any]]]) -> dict[str, Any] | Exception:
        epoch, samples = scheduled
        dropped: list[Drop] = []
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # images are small: a pool costs more than it gives
        try:
            for stage in self.stages:
                if isinstance(stage, ReadSample):
                    stage.upcoming(samples)
            kept = [done for sample in samples if (done := self._through_stages(sample, dropped)) is not None]
            batch: Any = kept if kept else {"position": torch.empty(0, dtype=torch.int64)}
            for stage in self.batch_stages if kept else ():
                batch = _run(stage, batch, f"a batch of {len(kept)} samples that ends with {_name(kept[-1])}")
            self._note("")
        except (MmcsError, OSError, _Failed) as error:
            return error
        finally:
            torch.set_num_threads(threads)
        return batch | {"epoch": epoch, "dropped": dropped}

    def _through_stages(self, sample: dict[str, Any], dropped: list[Drop]) -> dict[str, Any] | None:
        """The finished sample, or None with its cause in ``dropped``; position and epoch stay, whatever stages do."""
        shard, place = sample["origin"].label, {key: sample[key] for key in ("position", "epoch", "pass")}
        key = f"#{sample['ordinal']}"
        noted = ""
        for stage in self.stages:
            before = sample
            what = f"the sample {shard}/{key}"
            if what != noted:
                self._note(what)
                noted = what
            try:
                sample = _run(stage, before, what)
            except BadSample as bad:
                dropped.append(Drop(bad.cause, shard, before.get("key", key), bad.detail))
                return None
            finally:
                dropped += before.pop("surplus", ())
            key = sample.get("key", key)
            dropped += [Drop(cause, shard, key, detail) for cause, detail in sample.pop("noted", ())]
        return sample | place

    def _note(self, what: str) -> None:
        if self.watch is not None:
            self.watch.note(what)


def _name(sample: dict[str, Any]) -> str:
    return sample.get("identity") or f"position {sample['position']}"


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
