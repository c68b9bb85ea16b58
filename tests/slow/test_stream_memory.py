"""A long run over many shards: memory and open files of the reading processes stay where they were."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stream"))  # the stream's own helpers

from stream_shards import write_shard

from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import DropCounter
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.sources import Shard
from mmcs.stream.transforms import train_transform

SHARDS, STEPS, BATCH = 1000, 10_000, 3
EVERY = 250  # steps between two looks
KEYS = 20


def unshared(pid: int) -> int:
    """Bytes that this process alone holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def workers() -> list[int]:
    tasks = Path("/proc/self/task")
    return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("number_of_workers", [0, 2])
def test_memory_and_open_files_are_flat_over_ten_thousand_steps(tmp_path, number_of_workers):
    """1,000 shards, one in ten of them damaged; several epochs. The first third may still fill caches."""
    shards = []
    keys = [f"{number:05d}" for number in range(KEYS)]
    write_shard(tmp_path / "whole.tar", keys, with_images=True)
    whole = (tmp_path / "whole.tar").read_bytes()
    for number in range(SHARDS):
        path = tmp_path / f"{number:05d}.tar"
        if number % 10:
            path.hardlink_to(tmp_path / "whole.tar")
        else:
            path.write_bytes(whole[: len(whole) * 3 // 4])
        shards.append(Shard("set/train", path.stem, str(path)))
    stages = [ReadSample(), ParseSample(), DecodeImage(train_transform(16))]
    stream = StreamLoader(
        shards,
        [KEYS] * SHARDS,
        stages,
        batch_size=BATCH,
        num_workers=number_of_workers,
        shuffle=Shuffle(),
        place=Place(),
    )
    counter = DropCounter()
    looks: list[dict[int, tuple[int, int]]] = []
    step = epoch = 0
    while step < STEPS:
        stream.set_epoch(epoch)
        for batch in stream:
            counter.add(batch)
            step += 1
            if step % EVERY == 0:
                looks.append({pid: (unshared(pid), open_files(pid)) for pid in (os.getpid(), *workers())})
            if step == STEPS:
                break
        epoch += 1
    assert counter.seen >= STEPS * BATCH - BATCH and counter.dropped
    third = len(looks) // 3
    lasting = set(looks[third]) & set(looks[-1])
    assert len(lasting) >= 1 + number_of_workers
    for pid in lasting:
        middle = max(look[pid][0] for look in looks[third : 2 * third])
        late = min(look[pid][0] for look in looks[2 * third :])
        assert late < middle + (4 << 20), f"{(late - middle) / 2**20:.1f} MB more"
        assert max(look[pid][1] for look in looks) < 250
