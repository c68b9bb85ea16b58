"""What SIGTERM, SIGUSR1 and SIGUSR2 do to a run: its step ends, a checkpoint is written, it ends with exit code 143.

``mmcs.train`` listens, ``mmcs.callbacks.last`` asks at every step whether any process was signalled. How a run goes on
is ``mmcs.resume``'s.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer

from mmcs.losses.gather import world_size

#: What SLURM, submitit, Kubernetes and the like send some time before they kill.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
CODE = 128 + signal.SIGTERM


class Preempted(SystemExit):
    """A signal ended the run. Like ``KeyboardInterrupt`` it passes by everything that catches an ``Exception``."""

    exit_code = CODE

    def __init__(self, sentence: str, step: int = 0) -> None:
        super().__init__(CODE)
        self.sentence = sentence
        self.step = step

    def __str__(self) -> str:
        return self.sentence


class _Heard:
    """What this process has been told. (Signal handlers belong to the process, so there is one.)"""

    asked = False
    deferred = False
    hopeless: Callable[[], bool] = staticmethod(lambda: False)


def _hear(number: int, _: object) -> None:
    _Heard.asked = True
    if _Heard.hopeless():
        os._exit(1)  # another process has failed: this one may wait for it in a collective for ever
    if not _Heard.deferred:
        raise Preempted("preempted before a step was taken; the same command begins again.")


@contextlib.contextmanager
def listening(hopeless: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hears the signals inside; a further one changes nothing. A signal that is ignored stays so.

    Args:
        hopeless: asked when a signal comes: whether there is nothing to be saved, since another process has failed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Heard.asked, _Heard.deferred, _Heard.hopeless = False, False, staticmethod(hopeless)
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _hear) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, a signal is remembered rather than acted on: ``asked_anywhere`` tells."""
    _Heard.deferred = True
    try:
        yield
    finally:
        _Heard.deferred = False


def asked_here() -> bool:
    """Whether a signal has come to this process."""
    return _Heard.asked


class Agreement:
    """Whether any process of a run was signalled; made and asked by all of them at the same step."""

    def __init__(self) -> None:
        # Not the group of the gradients: on GPUs an answer from there would make every step wait for the queue to empty.
        self._group: Any = dist.new_group(backend="gloo") if world_size() > 1 else None

    def asked_anywhere(self) -> bool:
        if self._group is None:
            return _Heard.asked
        answer = torch.tensor([int(_Heard.asked)])
        dist.all_reduce(answer, dist.ReduceOp.MAX, group=self._group)
        return bool(answer)


def take_over(trainer: Trainer) -> None:
    """Leaves the signals of a run to this module.

    Lightning's own handlers speak to the other processes from within the handler, in the midst of whatever they have under
    way, and under SLURM requeue the job with a checkpoint of their own; and its loop asks rank 0 at every batch.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def stop_after_this_step(trainer: Trainer) -> None:
    """Has Lightning's loop raise ``SIGTERMException`` as soon as the step is logged; to be called by all processes."""
    trainer._signal_connector.received_sigterm = True
