"""``StreamLoader``: shards → batches, the same global batches for any number of ranks and workers.

A batch comes to be in this order:

1. ``epoch_order``   the positions of this rank's next batch, shared out among its workers
2. ``stages``        in the workers, per sample: read → parse → decode → switch …
3. ``Collate``       in the workers: samples → a part of the batch
4. ``batch_stages``  in the workers, per part: tokenise …
5. ``merge``         in the main process: the workers' parts, in the order of positions → the batch

Steps 1 to 4 are ``pipeline.py``'s. Lightning sees an iterable with a length and a state.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
import webdataset
from torch.utils.data import DataLoader

from mmcs.errors import UserError
from mmcs.orphans import end_by_parent_alone
from mmcs.stream.batch import empty_like, merge
from mmcs.stream.mixture import Mixture, epoch_order
from mmcs.stream.order import Place, Shuffle, steps
from mmcs.stream.pipeline import BatchStage, Prepare, SampleStage, Schedule
from mmcs.stream.sources import Shard
from mmcs.stream.watch import Watch

#: How many samples are tried at most to learn what a batch looks like, when a rank's first batch is empty.
_MOST_PROBED = 1000


class StreamLoader:
    """Iterates over this rank's batches of one epoch; ``len`` is the same on every rank: ⌈N / (batch size × ranks)⌉.

    Global batch b is positions b·G … (b+1)·G − 1 of the epoch's order, G = batch_size × world size; the last one may
    be smaller. A dropped sample stays a hole: its batch is smaller and tells why in "dropped", a list of ``Drop``
    (cause, source/shard, key, detail). A batch of which nothing is left is still given, with 0 samples and every key.
    See ``Collate`` for what a batch holds; "epoch" (a number) comes on top.

    Each pass reads the epoch set by ``set_epoch`` (Lightning does) from its beginning, save the first pass after
    ``load_state_dict``, which goes on where the state was taken. A new pass ends an older one.

    Args:
        shards: see ``sources.expand``.
        sizes: samples per shard, see ``shard_sizes.sizes``.
        stages: sample → sample, run in this order. The first gets "position", "epoch", "origin" (the Shard),
            "ordinal" (number in the shard) and "promised" (the shard's size): ``ReadSample``.
        batch_size: per rank.
        batch_stages: batch → batch, run in the workers on each part that is not empty. One with a ``pad_id`` says
            with what tensors of different widths are filled up.
        num_workers: processes per rank; 0 reads in this one.
        shuffle: None keeps the order of the shards.
        mixture: how several sources share an epoch; None: an epoch is every sample once.
        place: by default asked of torch.distributed when a pass begins.

    Attributes:
        waited: seconds that whoever iterates has waited for batches so far.

    Raises:
        UserError: no samples, or a number that makes no sense.
    """

    #: Lightning looks here for ``set_epoch``.
    batch_sampler = None

    def __init__(
        self,
        shards: Sequence[Shard],
        sizes: Sequence[int],
        stages: Sequence[SampleStage],
        *,
        batch_size: int,
        batch_stages: Sequence[BatchStage] = (),
        num_workers: int = 0,
        shuffle: Shuffle | None = None,
        mixture: Mixture | None = None,
        place: Place | None = None,
    ) -> None:
        if batch_size < 1 or num_workers < 0:
            raise UserError(
                f"batch_size={batch_size}, num_workers={num_workers}: at least 1 and at least 0 are wanted."
            )
        self.shards = list(shards)
        self.sizes = list(sizes)
        self.total = sum(self.sizes) if mixture is None else mixture.samples_per_epoch
        if not self.total:
            raise UserError(f"The {len(self.shards)} shards hold no samples.")
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.epoch = 0
        self.waited = 0.0
        self._place = place
        self._shuffle = shuffle
        self._mixture = mixture
        self._prepare = Prepare(stages, batch_stages)
        self._pad_id = next((stage.pad_id for stage in batch_stages if hasattr(stage, "pad_id")), 0)
        self._begin = torch.zeros(2, dtype=torch.int64)  # epoch and first position, for workers that already run
        self._loader: tuple[Place, DataLoader] | None = None
        self._empty: dict[str, Any] | None = None
        self._probed = False
        self._consumed = 0
        self._resuming = False
        self._passes = 0

    @property
    def place(self) -> Place:
        return self._place or Place.here()

    @property
    def sampler(self) -> StreamLoader:
        return self

    def __len__(self) -> int:
        return len(steps(self.total, self.batch_size * self.place.world_size))

    def set_epoch(self, epoch: int) -> None:
        """The next pass reads this epoch, from its beginning unless it is the epoch of the state just loaded."""
        if epoch != self.epoch:
            self.epoch, self._consumed, self._resuming = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """The place: the epoch and how many of its positions were given out (dropped ones too); and in what: "order" and
        "total" stand for the epoch's order, "batch" is the global batch size.
        """
        batch = self.batch_size * self.place.world_size
        here = {"epoch": self.epoch, "consumed": self._consumed}
        return {**here, "total": self.total, "order": self._order, "batch": batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next pass goes on behind the last batch that was given out when the state was taken.

        Raises:
            UserError: the state was taken in other samples or another order, or at another global batch size.
        """
        what = "resume with what the run began with, or start a new run from the checkpoint's weights."
        if state["total"] != self.total:
            raise UserError(
                f"The checkpoint's place was taken in {state['total']:,} samples, now there are {self.total:,}; {what}"
            )
        if state["order"] != self._order:
            raise UserError(
                "The checkpoint's place was taken in another order: other shards, sizes of shards, weights of sources, "
                f"data.shuffle or seed; {what}"
            )
        ranks = self.place.world_size
        if state["batch"] != self.batch_size * ranks:
            raise UserError(
                f"data.batch_size × processes must stay {state['batch']}, as in the checkpoint, for the same batches to come; "
                f"now it is {self.batch_size} × {ranks}."
            )
        self.epoch, self._consumed, self._resuming = state["epoch"], state["consumed"], True

    @cached_property
    def _order(self) -> str:
        """Fingerprint of all that an epoch's order depends on, save the epoch."""
        drawn_from = (self._shuffle, self._mixture, [shard.label for shard in self.shards], self.sizes)
        return hashlib.blake2b(repr(drawn_from).encode(), digest_size=8).hexdigest()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields this rank's batches.

        Raises:
            DataError, UserError, OSError: what a stage raised, as it was.
            RuntimeError: a stage failed otherwise; names the stage and the sample.
            MmcsError: a worker died; names the sample it was at (``watch.py``).
        """
        start = self._consumed if self._resuming else 0
        self._consumed, self._resuming = start, False
        self._passes += 1
        this_pass = self._passes
        place = self.place
        batch_size = self.batch_size * place.world_size
        self._begin[0], self._begin[1] = self.epoch, start
        loader = self._parts(place)
        parts = iter(loader) if self._prepare.watch is None else self._prepare.watch.follow(loader)
        for step in steps(self.total, batch_size, start):
            asked = time.perf_counter()
            batch = merge([_checked(next(parts)) for _ in range(max(1, self.num_workers))], self._pad_id)
            if not len(batch["position"]):
                batch = self._without_samples() | {"dropped": batch["dropped"], "epoch": batch["epoch"]}
            elif self._empty is None:
                self._empty = empty_like(batch)
            self._consumed = min((step + 1) * batch_size, self.total)
            self.waited += time.perf_counter() - asked
            yield batch
            if this_pass != self._passes:
                raise RuntimeError("a new pass over this StreamLoader has begun; this one cannot go on")

    def _parts(self, place: Place) -> DataLoader:
        """The workers' parts in turn: of worker 0, of worker 1, … for one batch after the other."""
        if self._loader is None or self._loader[0] != place:
            if self.num_workers:
                self._begin.share_memory_()
                self._prepare.watch = Watch(self.num_workers)
            pipeline = webdataset.DataPipeline(self._schedule(place), webdataset.map(self._prepare))
            loader = DataLoader(
                pipeline,
                batch_size=None,
                num_workers=self.num_workers,
                collate_fn=_as_it_is,
                persistent_workers=self.num_workers > 0,
                worker_init_fn=end_by_parent_alone,
            )
            self._loader = (place, loader)
        return self._loader[1]

    def _schedule(self, place: Place) -> Schedule:
        return Schedule(self.shards, self.sizes, self._shuffle, self.batch_size, place, self._begin, self._mixture)

    def _without_samples(self) -> dict[str, Any]:
        """A batch of 0 samples that looks like the others, made from the first usable sample if need be."""
        if self._empty is None and not self._probed:
            self._probed = True
            schedule = self._schedule(Place())
            order = epoch_order(self.sizes, self.epoch, self._shuffle, self._mixture)
            for position in range(min(self.total, _MOST_PROBED)):
                batch = _checked(self._prepare((self.epoch, [schedule.sample(order, self.epoch, position)])))
                if len(batch["position"]):
                    self._empty = empty_like(batch)
                    break
        return dict(self._empty or {"position": torch.empty(0, dtype=torch.int64)})


def _checked(part: Any) -> dict[str, Any]:
    if isinstance(part, Exception):
        try:
            raise part
        finally:
            del part  # else error and frame hold each other, and with them workers that are then ended by time-out
    return part


def _as_it_is(part: Any) -> Any:
    return part
