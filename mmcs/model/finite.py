"""Losses and weights that are not finite (NaN or infinite): found early, and never written over a good checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from mmcs.errors import MmcsError

_ADVICE = (
    "lower optim.lr, set trainer.gradient_clip_val=1, or train with trainer.precision=bf16-mixed or 32-true. Checkpoints written "
    "so far are kept: resume=auto continues from the last."
)


def name_of_not_finite(content: Mapping[str, Any]) -> str | None:
    """The name of a weight in a checkpoint's content that is NaN, infinite or too large to be used; None where all are fine.

    Of weights that are shared out among processes, this one's part is looked at.
    """
    for part in ("state_dict", "live"):
        for name, value in (content.get(part) or {}).items():
            own = value.to_local() if isinstance(value, DTensor) else value
            if own.is_floating_point() and not own.is_meta:
                flat = own.detach().reshape(-1).float()
                if not torch.dot(flat, flat).isfinite():  # also of numbers above 1e19, which no layer can use
                    return name
    return None


def check_weights(content: Mapping[str, Any], step: int, processes: int = 1) -> None:
    """Refuses to write a checkpoint with weights that are not finite.

    Args:
        content: of the checkpoint to write. step: the steps taken so far.
        processes: of which each has a part of the weights, and calls this; 1: every process has them all.

    Raises:
        MmcsError: a weight is NaN or infinite.
    """
    names = [name_of_not_finite(content)]
    if processes > 1:
        names = names * processes
        torch.distributed.all_gather_object(names, names[0])
    if wrong := next(filter(None, names), None):
        raise MmcsError(
            f"weights are not finite after step {step - 1} (the first is {wrong}), so no checkpoint was written: {_ADVICE}"
        )


class LossWatch:
    """Stops training at a loss that is not finite: at once on a CPU; on a GPU at the next step, without waiting for its queue."""

    def __init__(self) -> None:
        self._before: tuple[int, list[str], Tensor, Any] | None = None

    def __call__(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Looks at the terms of a step, ``"loss"`` among them.

        Raises:
            MmcsError: the loss of this step, or of the one before on a GPU, is NaN or infinite.
        """
        self.settle()
        values = torch.stack([term.detach().float() for term in terms.values()])
        copied = values.to("cpu", non_blocking=values.is_cuda)
        event = None
        if values.is_cuda:
            event = torch.cuda.Event()
            event.record()
        self._before = (step, list(terms), copied, event)
        if event is None:
            self.settle()

    def settle(self) -> None:
        """Checks the loss that is still to be checked, if any.

        Raises:
            MmcsError: the loss is NaN or infinite.
        """
        if self._before is None:
            return
        step, names, values, event = self._before
        self._before = None
        if event is not None:
            event.synchronize()
        terms = dict(zip(names, values.tolist(), strict=True))
        if not values[names.index("loss")].isfinite():
            raise MmcsError(
                f"the loss is not finite at step {step} ({', '.join(f'{n} {v:.4g}' for n, v in terms.items())}): {_ADVICE}"
            )
