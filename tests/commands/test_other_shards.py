"""Shards made by others: other languages, several captions, damage of many kinds. It trains, counts, and says so."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import pytest
from small_world import COLOURS, SHAPES, add, picture, write_shard

from mmcs.train import main


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without sizes.json, groups or manifest: 20 good samples, 6 bad ones, and a shard cut in the middle."""
    root = tmp_path_factory.mktemp("others")
    with tarfile.open(root / "part-a.tar", "w") as tar:
        for number, (colour, (_, _, rgb)) in enumerate(COLOURS.items()):
            for k, shape in enumerate(SHAPES):
                key = f"x/{number}{k}"
                add(tar, f"{key}.jpg", picture(rgb, shape, 20))
                meta = {"captions": {"en": [f"one {colour} {shape}", f"{shape}, {colour}"], "nl": ["iets", "nog iets"]}}
                add(tar, f"{key}.txt", f"a {colour} {shape}".encode())
                add(tar, f"{key}.json", json.dumps(meta).encode())
        good = picture((1, 2, 3), "circle", 20)
        for key, files in {
            "b1": {"jpg": b"this is no picture", "txt": b"a text as jpg"},
            "b2": {"jpg": good, "txt": b"   "},
            "b3": {"txt": b"no picture at all"},
            "b4": {"jpg": good},
            "b5": {"jpg": good[:400], "txt": b"half a picture"},
            "b6": {"jpg": good, "txt": b"caf\xe9"},
        }.items():
            for extension, content in files.items():
                add(tar, f"{key}.{extension}", content)
    write_shard(root / "part-b.tar", [20])
    whole = (root / "part-b.tar").read_bytes()
    (root / "part-b.tar").write_bytes(whole[: len(whole) // 2])
    return root


def run(world: Path, others: Path, folder: Path, *overrides: str) -> int:
    return main(
        [
            "experiment=ml_cs",
            "data=shards",
            f"data.train_shards={others}/part-*.tar",
            "data.batch_size=8",
            "data.num_workers=0",
            "model=open_clip",
            f"model.name={world}/model.json",
            "model.lock_image=false",
            "eval=suites",
            f"eval.val={{mine: {others}/part-a.tar}}",
            f"codeswitch.lexicons=[{world}/words.lex]",
            "eval.allow_unmeasured=true",
            "trainer.max_epochs=1",
            "trainer.check_val_every_n_epoch=1",
            f"hydra.run.dir={folder}",
            *overrides,
        ]
    )


def test_it_trains_and_counts_what_it_drops_by_cause(world, others, tmp_path, capfd):
    assert run(world, others, tmp_path / "run", "data.max_bad_share=0.9") == 0
    with (tmp_path / "run" / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    counted = {name: float(row[name]) for row in rows for name in row if name.startswith("data/dropped/") and row[name]}
    for cause in ("empty caption", "no image", "no caption", "bad utf-8", "truncated archive"):
        assert counted[f"data/dropped/{cause}"] == 1, counted
    assert counted["data/dropped/undecodable image"] == 2
    assert counted["data/dropped/all"] == 7
    assert any(row.get("val/mine/nl/image_retrieval_recall@10") for row in rows)
    assert "7 of 37 samples dropped" in capfd.readouterr().out


def test_too_much_damage_stops_the_run_with_the_worst_shard(world, others, tmp_path, capfd):
    assert run(world, others, tmp_path / "run", "data.max_bad_share=0.05") == 3
    told = capfd.readouterr().err.strip().splitlines()[-1]
    assert "part-a" in told and "data.max_bad_share" in told
