"""Ends a run on SIGTERM, SIGUSR1, SIGUSR2 (exit code 143) or Ctrl-C (exit code 130): the step ends, then a checkpoint is written.

``mmcs.train`` listens. ``mmcs.callbacks.last`` asks at every step whether any process received a signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from lightning import Trainer

from mmcs.errors import Stopped
from mmcs.losses.gather import world_size

#: Sent by SLURM, submitit, Kubernetes and the like some time before they kill.
PREEMPTING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (*PREEMPTING, signal.SIGINT)
#: The exit codes of a run that was stopped, and what is printed of it.
STOPPED = {128 + signal.SIGTERM: "preempted", 128 + signal.SIGINT: "interrupted"}


def stopped(sentence: str, step: int = 0, *, number: int | None = None) -> Stopped:
    """The exception for a run that a signal ended; ``sentence`` follows "interrupted" or "preempted".

    Args:
        number: of the signal; None: the first that came to this process.
    """
    code = 128 + (signal.SIGINT if (number or _Received.number) == signal.SIGINT else signal.SIGTERM)
    return Stopped(code, f"{STOPPED[code]} {sentence}", step)


BEFORE_TRAINING = "before the first training step; run the same command again."


class _Received:
    """The state of this process. (Signal handlers are per process.)"""

    number: int | None = None
    deferred = False
    hopeless: Callable[[], bool] = staticmethod(lambda: False)


def _receive(number: int, _: object) -> None:
    if number == signal.SIGINT and _Received.number is not None:
        kill_now()
    _Received.number = _Received.number or number
    if _Received.hopeless():
        os._exit(1)  # another process has failed: this one may wait for it in a collective for ever
    if not _Received.deferred:
        raise stopped(BEFORE_TRAINING)
    if number == signal.SIGINT and sys.stderr.isatty():
        os.write(2, b"\nmmcs-train: the step ends and a checkpoint is written; press Ctrl-C again to end at once.\n")


def kill_now() -> None:
    """Ends this process at once, and with it those that it started (``mmcs.orphans``)."""
    os.write(2, b"mmcs-train: killed; checkpoints that are complete are kept.\n")
    os._exit(128 + signal.SIGINT)


@contextlib.contextmanager
def listening(hopeless: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Receives the signals inside. A second Ctrl-C kills; another further signal changes nothing. Signals that are ignored stay so.

    Args:
        hopeless: asked when a signal comes: whether there is nothing to be saved, since another process has failed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Received.number, _Received.deferred, _Received.hopeless = None, False, staticmethod(hopeless)
    received = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _receive) for number in received}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside, from the moment at which an ``Agreement`` is made, a signal is remembered rather than acted on."""
    try:
        yield
    finally:
        _Received.deferred = False


def received_here() -> bool:
    """Whether a signal has come to this process."""
    return _Received.number is not None


class Agreement:
    """Whether any process of a run received a signal; made and asked by all of them at the same step, the first."""

    def __init__(self) -> None:
        # Not the group of the gradients: on GPUs an answer from there would make every step wait for the queue to empty.
        self._group: Any = dist.new_group(backend="gloo") if world_size() > 1 else None
        _Received.deferred = True

    def asked_anywhere(self) -> bool:
        if self._group is None:
            return received_here()
        answer = torch.tensor([int(received_here())])
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
