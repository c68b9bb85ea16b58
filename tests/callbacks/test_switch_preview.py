"""The realised rates of the switch: counted over batches, ranks and resumes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmcs.callbacks.preview import SwitchPreview

# Samples of an epoch: (words, languages of the replaced ones). Sums and averages of ratios differ for any split of them.
SAMPLES = [(9, ["de"]), (1, ["fi"]), (5, []), (2, ["de", "de"]), (7, ["fi", "de", "fi"]), (3, [])]
EXPECTED = {"switch_rate/de": 4 / 27, "switch_rate/fi": 3 / 27, "switch_rate/all": 7 / 27, "unchanged_captions": 2 / 6}


def batch(samples: list[Any]) -> dict[str, Any]:
    return {
        "words": [words for words, _ in samples],
        "replaced": [languages for _, languages in samples],
        "unchanged": [not languages for _, languages in samples],
    }


def part(rank: int, samples: list[Any], checkpoint: dict[str, Any] | None, *, ends: bool) -> dict[str, Any]:
    """What one rank logs at the end of the epoch, or saves in its middle, after ``samples``."""
    preview = SwitchPreview(["de", "fi"], captions=0)
    trainer: Any = SimpleNamespace(current_epoch=3, global_step=9, is_global_zero=rank == 0)
    told: dict[str, Any] = {}
    module: Any = SimpleNamespace(log=lambda name, value, **_: told.__setitem__(name.removeprefix("train/"), value))
    if checkpoint is not None:
        preview.on_load_checkpoint(trainer, module, checkpoint)
    for sample in samples:
        preview.on_train_batch_end(trainer, module, None, batch([sample]), 0)
    if ends:
        preview.on_train_epoch_end(trainer, module)
    else:
        preview.on_save_checkpoint(trainer, module, told)
    return told


def _process(rank: int, folder: str, ranks: int, *given: Any, ends: bool) -> None:
    from torch import distributed

    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=ranks)
    samples, checkpoint = given
    told = part(rank, samples[rank::ranks], checkpoint, ends=ends)
    Path(folder, f"{rank}.json").write_text(json.dumps(told))
    distributed.destroy_process_group()


def parts(folder: Path, ranks: int, samples: list[Any], checkpoint: dict[str, Any] | None, *, ends: bool) -> list[Any]:
    """``part`` in ``ranks`` real gloo processes, or in this one."""
    if ranks == 1:
        return [part(0, samples, checkpoint, ends=ends)]
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_process, args=(rank, str(folder), ranks, samples, checkpoint), kwargs={"ends": ends})
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(ranks)]


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 1), (1, 2), (2, 3)])
def test_rates_are_of_summed_counts_after_a_resume_on_another_number_of_ranks(tmp_path, before, after):
    saved = parts(tmp_path / "before", before, SAMPLES[:3], None, ends=False)
    assert all(checkpoint == saved[0] for checkpoint in saved), "every rank saves the counts of all"
    for told in parts(tmp_path / "after", after, SAMPLES[3:], saved[0], ends=True):
        assert told == pytest.approx(EXPECTED)


def test_counts_of_a_finished_epoch_are_not_those_of_the_next():
    checkpoint = {"switched": {"epoch": 2, "counts": {"words": 99, "samples": 9, "replaced/de": 99}}}
    assert part(0, SAMPLES, checkpoint, ends=True) == pytest.approx(EXPECTED)
    assert part(0, SAMPLES, {}, ends=True) == pytest.approx(EXPECTED), "a checkpoint without counts"
