"""A loading worker that dies without an exception is one sentence that names the sample."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from mmcs.errors import MmcsError
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes


class Die:
    """A stage that ends its own process at one sample, as a decoder or the kernel would."""

    def __init__(self, how: str, wait: float = 0.0) -> None:
        self.how = how
        self.wait = wait

    def __call__(self, sample):
        if sample["key"] == "0013":
            time.sleep(self.wait)
            if self.how == "exit":
                os._exit(3)
            elif self.how == "exit silently":
                os._exit(0)
            elif self.how == "recursion":
                self(sample)
            elif self.how == "memory":
                raise MemoryError
            os.kill(os.getpid(), getattr(signal, self.how))
        return sample


def stream(make_shards, how: str, wait: float = 0.0) -> StreamLoader:
    shards = make_shards([10, 20])
    stages = [ReadSample(extensions=["txt", "json"]), ParseSample(), Die(how, wait)]
    return StreamLoader(shards, sizes(shards), stages, batch_size=4, num_workers=2, place=Place())


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("SIGKILL", r"was killed by signal: Killed, at the sample set/train/00001/0013; perhaps memory ran out"),
        (
            "SIGSEGV",
            r"was killed by signal: Segmentation fault, at the sample set/train/00001/0013; data.num_workers=0",
        ),
        ("SIGBUS", r"was killed by signal: Bus error, at the sample set/train/00001/0013; perhaps the shared memory"),
        ("exit", r"ended with exit code 3, at the sample set/train/00001/0013"),
        ("exit silently", r"ended with exit code 0, at the sample set/train/00001/0013"),
    ],
)
def test_a_dead_worker_names_its_sample(make_shards, how, told):
    with pytest.raises(MmcsError, match=rf"^A loading worker \(process \d+\) {told}.*list that sample in data.exclude"):
        list(stream(make_shards, how))


@pytest.mark.parametrize("how", ["recursion", "memory"])
def test_errors_that_are_no_faults_of_the_code_name_it_too(make_shards, how):
    with pytest.raises(RuntimeError, match=r"Die failed on the sample set/train/00001/0013: (Recursion|Memory)Error"):
        list(stream(make_shards, how))


def test_it_is_told_wherever_the_main_process_is(make_shards):
    """A step of training takes its time, and torch tells of the death in the middle of it."""
    batches = iter(stream(make_shards, "SIGKILL", wait=1.0))
    for _ in range(4):  # two more are made ahead
        next(batches)
    with pytest.raises(MmcsError, match="0013"):
        for _ in range(200):
            time.sleep(0.05)


def test_a_worker_that_is_killed_while_it_waits_is_not_blamed_on_a_sample(make_shards):
    shards = make_shards([100])
    stages = [ReadSample(extensions=["txt", "json"]), ParseSample()]
    batches = iter(StreamLoader(shards, sizes(shards), stages, batch_size=4, num_workers=1, place=Place()))
    next(batches)
    time.sleep(0.5)
    worker = batches.gi_frame.f_locals["self"]._loader[1]._iterator._workers[0]
    with pytest.raises(MmcsError) as caught:
        os.kill(worker.pid, signal.SIGKILL)
        list(batches)
        time.sleep(5)
    assert re.search(
        r"between two batches; perhaps memory ran out: lower data\.num_workers or data\.batch_size\.$",
        str(caught.value),
    )
