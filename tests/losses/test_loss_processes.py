"""Every term of the loss on 1, 2 and 4 gloo processes: its value and every gradient are those of the naive full matrix, with
duplicates across processes, unequal and empty shares; and those of open_clip where no two samples are the same.
"""

from __future__ import annotations

import loss_processes
import naive_losses as naive
import pytest
import torch
import torch.multiprocessing as mp


@pytest.mark.parametrize(
    "cuts", [[0, 16], [0, 5, 16], [0, 7, 7, 13, 16]], ids=["one process", "two processes", "four, one of them empty"]
)
def test_loss_and_gradients_are_those_of_the_full_matrix(tmp_path, cuts):
    world = len(cuts) - 1
    context = mp.start_processes(
        loss_processes.process, (cuts, str(tmp_path)), nprocs=world, start_method="spawn", join=False
    )
    whole = {}
    for name in loss_processes.TERMS:
        part, leaves = naive.embedded(naive.batch(), slice(None))
        whole[name] = naive.gradients(naive.term(name, part), leaves)
    while not context.join(timeout=240):  # false when a process has ended; raises what failed in one
        pass
    for rank in range(world):
        rows = slice(cuts[rank], cuts[rank + 1])
        for key, found in torch.load(tmp_path / f"{rank}.pt", weights_only=True).items():
            expected = {name: v[rows] if v.ndim else v for name, v in whole[key.split()[0]].items()}
            for name, value in found.items():
                torch.testing.assert_close(value, expected[name], msg=lambda text, of=(key, name): f"{of}: {text}")
