"""What was dropped, as a run tells it: the log, the metrics, ``drops.json``, exact over a resume, and the end of a bad run."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from stream_shards import shard_of

from mmcs.callbacks.drops import DropReport
from mmcs.errors import DataError
from mmcs.stream.drops import CAUSES
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.read import ReadSample
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import expand


class Still(LightningModule):
    """Learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return self.weight * len(batch["position"])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder: Path, shards, share: float = 1.0, resume: Path | None = None, **options) -> DropReport:
    stages = [ReadSample(extensions=["txt", "json"]), ParseSample()]
    stream = StreamLoader(shards, sizes(shards), stages, batch_size=5, shuffle=Shuffle(seed=2), place=Place())
    drops = DropReport(share)
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "devices": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            callbacks=[drops, keep],
            default_root_dir=folder,
            logger=CSVLogger(folder, name="", version=""),
            log_every_n_steps=4,
            **quiet,
            **({"max_epochs": 2} | options),
        )
        trainer.fit(Still(), stream, ckpt_path=resume, weights_only=True)
    return drops


@pytest.fixture
def shards(tmp_path):
    """60 samples in two shards: of the first every fifth is blank, of the second the last and one with half a surrogate."""
    folder = tmp_path / "set/train"
    folder.mkdir(parents=True)
    shard_of(folder / "0.tar", {f"{n:02d}.txt": b" " if n % 5 == 0 else b"text" for n in range(30)})
    second = {f"{n:02d}.txt": b"text" for n in range(28)}
    shard_of(folder / "1.tar", second | {"28.json": b'{"caption": "\\ud800"}', "29.txt": b" "})
    return expand(folder)


COUNTS = {"empty caption": 7.0, "bad utf-8": 1.0, "all": 8.0, "worst_shard_share": 0.2}


def test_the_metrics_tell_while_an_epoch_runs_and_at_its_end(shards, tmp_path):
    fit(tmp_path / "run", shards)
    with (tmp_path / "run/metrics.csv").open() as lines:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]
    within = [row["data/dropped/all"] for row in rows if row["epoch"] == 0 and "data/dropped/missing" not in row]
    assert len(within) == 3 and within == sorted(within) and within[-1] == 8
    for epoch in range(2):
        last = next(row for row in rows if row["epoch"] == epoch and "data/dropped/missing" in row)
        wanted = {cause: COUNTS.get(cause, 0.0) for cause in (*CAUSES, "all", "worst_shard_share")}
        assert {name: last[f"data/dropped/{name}"] for name in wanted} == pytest.approx(wanted)


def test_the_log_names_the_first_of_each_cause_and_is_short(shards, tmp_path, capsys):
    fit(tmp_path / "run", shards, max_epochs=3)
    lines = [line for line in capsys.readouterr().out.splitlines() if "dropped" in line]
    firsts = [line for line in lines if line.startswith("dropped ")]
    assert len(firsts) == 2
    assert any(
        line.startswith("dropped set/train/1/28: bad utf-8: half a surrogate pair in caption") for line in firsts
    )
    assert lines[-1] == (
        "epoch 2: 8 of 60 samples dropped (13.3%): 7 empty caption, 1 bad utf-8; worst shard set/train/0 (20.0%)"
    )
    assert len(lines) == 2 + 3


def test_the_file_holds_counts_by_shard_and_cause(shards, tmp_path):
    fit(tmp_path / "run", shards)
    report = json.loads((tmp_path / "run/drops.json").read_text())
    assert (report["epoch"], report["seen"], report["dropped"], report["shards_not_shown"]) == (1, 60, 8, 0)
    assert report["by_cause"] == {"empty caption": 7, "bad utf-8": 1}
    first, second = report["shards"]["set/train/0"], report["shards"]["set/train/1"]
    assert (first["seen"], first["dropped"], first["causes"]["empty caption"]["count"]) == (30, 6, 6)
    assert len(first["causes"]["empty caption"]["examples"]) == 3
    assert second["causes"]["empty caption"]["examples"] == [{"key": "29", "detail": ""}]


def test_counts_are_exact_after_a_resume_anywhere(shards, tmp_path):
    whole = fit(tmp_path / "whole", shards)
    for step in (1, 5, 11, 12, 17, 23):
        again = fit(tmp_path / "again", shards, resume=tmp_path / f"whole/step={step}.ckpt")
        assert again.counter.state_dict()["seen_by_shard"] == whole.counter.state_dict()["seen_by_shard"], step
        assert again.counter.by_cause == whole.counter.by_cause and again.counter.seen == 60, step


def test_a_bad_run_stops_and_leaves_the_file(shards, tmp_path):
    with pytest.raises(DataError, match=r"8 of 60 .* 10\.0%; the worst shard is set/train/0 \(6 of 30 dropped"):
        fit(tmp_path / "run", shards, share=0.1)
    assert json.loads((tmp_path / "run/drops.json").read_text())["dropped"] == 8
