"""A run, a checkpoint or an export as the start of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trained_run import LORA, save_run
from tuned import embeddings

from mmcs.errors import DataError, UserError
from mmcs.export.open_clip import write_folder
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model
from mmcs.model.start import checkpoint_at, pinned
from mmcs.model.temperature import ensure_bias


@pytest.mark.parametrize(
    ("model", "options"),
    [("own_model", {"lora": LORA}), ("own_model", {"lock_image": True}), ("hf_model", {})],
    ids=["adapters", "locked", "a Hugging Face text tower"],
)
def test_a_run_is_a_start_by_name_and_as_pretrained(
    model: str, options: dict[str, Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Adapters are merged, locks are the new run's own."""
    name = request.getfixturevalue(model)
    run = save_run(tmp_path / "run", name, **options)
    expected = embeddings(load_model(run).towers)
    (tmp_path / "export").mkdir()
    write_folder(load_model(run).towers, tmp_path / "export", card="")
    last = str(run / "checkpoints/last.ckpt")
    starts = [(str(run), None), (last, None), (name, str(run)), (name, str(tmp_path / "export"))]
    for start, pretrained in starts:
        towers = build_towers(start, pretrained, lora={**LORA, "image": False, "dropout": 0.0}, lock_image=True)
        torch.testing.assert_close(embeddings(towers), expected, atol=1e-6, rtol=0)
        assert towers.image_locked and towers.text_adapted
        trained = {name for name, parameter in towers.named_parameters() if parameter.requires_grad}
        assert not any(name.startswith("clip.visual.transformer") for name in trained)


def test_a_model_that_was_started_from_a_run_is_loaded_again(own_model: str, tmp_path: Path) -> None:
    first = save_run(tmp_path / "first", own_model)
    second = save_run(tmp_path / "second", own_model, pretrained=str(first / "checkpoints/last.ckpt"), lock_text=True)
    seen = [embeddings(load_model(run).towers) for run in (first, second)]
    assert not torch.allclose(seen[0][:6], seen[1][:6], atol=1e-3) and torch.equal(seen[0][6:], seen[1][6:])
    assert load_model(second).towers.config["name"] == own_model, "what it is made of, wherever it is read from"


def test_the_bias_and_the_image_size_of_a_run_go_with_it(own_model: str, tmp_path: Path) -> None:
    towers = build_towers(own_model, image_size=64)
    ensure_bias(towers)
    (tmp_path / "export").mkdir()
    write_folder(towers, tmp_path / "export", card="")
    assert build_towers(str(tmp_path / "export")).preprocess.size == (64, 64)
    run = save_run(tmp_path / "run", own_model, image_size=64)
    assert build_towers(str(run)).preprocess.size == (64, 64)
    assert build_towers(own_model, str(run)).preprocess.size == (32, 32)


def test_a_run_with_further_weights_or_none_gets_one_sentence(own_model: str, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", own_model)
    with pytest.raises(UserError, match="brings its own weights"):
        build_towers(str(run), "openai")
    (tmp_path / "other.ckpt").write_text("x")
    with pytest.raises(DataError, match=r"other\.ckpt is damaged: it is a text file"):
        build_towers(str(tmp_path / "other.ckpt"))
    (run / "checkpoints/last.ckpt").unlink()
    with pytest.raises(UserError, match="has no checkpoint yet"):
        build_towers(str(run))


def test_the_activation_goes_with_the_weights(own_model: str, tmp_path: Path) -> None:
    """Names and shapes of weights do not show it."""
    quick = tmp_path / "quick.json"
    quick.write_text(Path(own_model).read_text().replace('"embed_dim"', '"quick_gelu": true, "embed_dim"'))
    run = save_run(tmp_path / "run", str(quick))
    second = save_run(tmp_path / "second", str(run))
    expected = embeddings(load_model(run).towers)
    for start in ((str(run), None), (own_model, str(run)), (own_model, str(run / "checkpoints/last.ckpt"))):
        assert torch.equal(embeddings(build_towers(*start)), expected), start
    assert build_towers(own_model, str(second)).config["model_cfg"]["quick_gelu"]


def test_a_new_run_keeps_to_the_checkpoint_that_it_started_from(own_model: str, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", own_model)
    last = str(run / "checkpoints/last.ckpt")
    assert pinned({"name": own_model, "pretrained": str(run), "x": 1}) == {
        "name": own_model,
        "pretrained": last,
        "x": 1,
    }
    assert pinned({"name": str(run), "pretrained": None}) == {"name": last, "pretrained": None}
    assert pinned({"name": "ViT-B-32", "pretrained": "openai"}) == {"name": "ViT-B-32", "pretrained": "openai"}
    (tmp_path / "other.ckpt").write_bytes(b"weights of another program")
    assert checkpoint_at(str(tmp_path / "other.ckpt")) is None and checkpoint_at(None) is None
