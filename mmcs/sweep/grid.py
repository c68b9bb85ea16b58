"""``hydra/sweeper=basic``: every combination of the values that the command line lists."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from mmcs.errors import UserError
from mmcs.sweep.outcome import WAITING, Outcome
from mmcs.sweep.sweeper import Sweep, Sweeper, split, values_of


class Grid(Sweeper):
    """All points at once, in the order in which the last key varies fastest.

    Args:
        max_batch_size: so many jobs are handed to the launcher at a time; all where None.
        params: further keys to sweep over, as ``{"optim.lr": "1e-3,1e-4"}``: those of an experiment file, which the command
            line overrides.
    """

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, object] | None = None) -> None:
        if max_batch_size is not None and max_batch_size < 1:
            raise UserError(f"hydra.sweeper.max_batch_size must be >= 1 or null, got {max_batch_size}.")
        self.max_batch_size = max_batch_size
        self.params = dict(params or {})

    def run(self, sweep: Sweep, overrides: Sequence[Override], parser: OverridesParser) -> None:
        shared, swept = split(self.params, overrides, parser)
        points = list(
            itertools.product(*([f"{key}={value}" for value in values_of(own)] for key, own in swept.items()))
        )
        jobs = [sweep.compose(number, len(points), shared, point) for number, point in enumerate(points)]
        if all(job.config is None for job in jobs):
            raise UserError(jobs[0].sentence or "no point of the sweep can be composed.")
        sweep.check(jobs)
        sweep.record.begin([Outcome(job.number, job.overrides, str(job.folder), WAITING) for job in jobs])
        size = self.max_batch_size or len(jobs)
        for begin in range(0, len(jobs), size):
            sweep.launch(jobs[begin : begin + size])
