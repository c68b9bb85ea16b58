"""``mmcs export --alpha``: weights between the start of training and its end, and a card that says of which weights it is."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor
from trained_run import LORA, save_run

from mmcs.errors import UserError
from mmcs.export.card import model_card
from mmcs.export.command import register
from mmcs.export.open_clip import write_folder
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model, load_weights, save_weights
from mmcs.model.lora import merged
from mmcs.model.towers import Towers
from mmcs.model.wise_ft import interpolate


def export(*arguments: str) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(["export", *arguments])
    args.run(args)


def embeddings(towers: Towers) -> Tensor:
    images = torch.arange(2 * 32 * 32 * 3).to(torch.uint8).view(2, 3, 32, 32)
    with torch.inference_mode():
        return torch.cat(
            (towers.embed_texts(towers.tokenise.encode(["a black cat", "кошка"])), towers.embed_images(images))
        )


@pytest.mark.parametrize("model", ["own_model", "hf_model"])
def test_the_ends_are_the_start_and_the_trained_model_and_between_them_lies_the_line(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Of every tensor, statistics of batch normalisation among them, but for the temperature, which stays the trained one."""
    name = request.getfixturevalue(model)
    run = save_run(tmp_path / "run", name)
    start, trained = build_towers(name), load_model(run).towers
    assert not torch.allclose(embeddings(start), embeddings(trained), atol=1e-2)
    assert torch.equal(embeddings(load_model(run, alpha=0.0).towers), embeddings(start))
    assert torch.equal(embeddings(load_model(run, alpha=1.0).towers), embeddings(trained))
    loaded = load_model(run / "checkpoints" / "last.ckpt", alpha=0.3)
    assert loaded.alpha == 0.3
    first, last = start.state_dict(), trained.state_dict()
    for key, value in loaded.towers.state_dict().items():
        between = last[key] if "logit" in key or not value.is_floating_point() else 0.7 * first[key] + 0.3 * last[key]
        torch.testing.assert_close(value, between)


def test_adapters_lie_on_the_line_of_what_they_add(own_model: str, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", own_model, lora=LORA)
    start, trained, half = (merged(load_model(run, alpha=alpha).towers).state_dict() for alpha in (0.0, 1.0, 0.5))
    plain = build_towers(own_model).state_dict()
    for key, value in half.items():
        torch.testing.assert_close(start[key], plain[key] if "logit" not in key else trained[key])
        torch.testing.assert_close(value, (start[key] + trained[key]) / 2)


def test_alpha_is_counted_from_what_was_trained_not_from_weights_that_wise_ft_chose(
    own_model: str, tmp_path: Path
) -> None:
    run = save_run(tmp_path / "run", own_model)
    folder = run / "checkpoints"
    shutil.move(folder / "last.ckpt", folder / "best-step=7.ckpt")
    start, towers = build_towers(own_model).trainable_state_dict(), build_towers(own_model)
    load_weights(towers, folder / "best-step=7.ckpt")
    expected = embeddings(load_model(run, alpha=0.5).towers)
    towers.load_trainable_state_dict(interpolate(start, towers.trainable_state_dict(), 0.2))
    chosen = {"alpha": 0.2, "of": "best-step=7.ckpt"}
    save_weights(towers, folder / "best-step=7.ckpt", folder / "best-wise_ft.ckpt", wise_ft=chosen)
    loaded = load_model(run)
    assert loaded.alpha == 0.2 and loaded.evaluated
    torch.testing.assert_close(embeddings(loaded.towers), embeddings(towers))
    assert torch.equal(embeddings(load_model(run, alpha=0.5).towers), expected)


def test_a_model_without_a_start_and_an_alpha_off_the_line_end_in_a_sentence(own_model: str, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", own_model)
    for alpha in (-0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="alpha lies between 0"):
            load_model(run, alpha=alpha)
    with pytest.raises(UserError, match="does not say where training began"):
        load_model(own_model, alpha=0.5)
    for name in ("ViT-B-32", own_model):
        with pytest.raises(UserError, match="has no weights of its own: name them with --pretrained"):
            export(name, "--out", str(tmp_path / "out"))
    (run / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_model(run)


def test_the_command_writes_them_and_shows_no_results_of_other_weights(own_model: str, tmp_path: Path) -> None:
    """A run's table stands on the card of the weights that it evaluated: its best checkpoint, as trained."""
    run = save_run(tmp_path / "run", own_model)
    shutil.copy(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best-step=7.ckpt")
    row = {"suite": "stamps", "split": "test", "protocol": "all_captions", "setting": "CLIR", "task": "image_retrieval"}
    row |= {"query_transform": None, "query_language": "de", "gallery_language": "image", "metric": "recall@10"}
    row |= {"value": 0.3, "ci95": [0.2, 0.4], "n_queries": 9, "n_gallery": 5}  # type: ignore[dict-item]
    results = {"schema": 1, "model": "m", "experiment": "e", "seed": 3, "config": {}, "languages": ["de"]}
    (run / "results.json").write_text(json.dumps({**results, "rows": [row]}))
    export(str(run), "--alpha", "0.25", "--out", str(tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "0.75 times those of the start plus 0.25 times those trained (WiSE-FT)" in card
    assert "These weights have not been evaluated." in card and "30.0" not in card
    expected = embeddings(load_model(run, alpha=0.25).towers)
    torch.testing.assert_close(embeddings(load_model(tmp_path / "out").towers), expected)
    evaluated = {path.name: load_model(path).evaluated for path in (run / "checkpoints").iterdir()}
    assert evaluated == {"last.ckpt": False, "best-step=7.ckpt": True}
    assert load_model(run).evaluated and not load_model(run, alpha=1.0).evaluated


def test_a_locked_image_tower_leaves_an_index_as_it_was_bit_by_bit(own_model: str, tmp_path: Path) -> None:
    """open_clip's own tower locks with its projection: what the card promises holds of the folder, halfway too."""
    run = save_run(tmp_path / "run", own_model, lock_image=True)
    images = torch.randint(0, 256, (8, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for alpha in (None, 0.5):
        towers = load_model(run, alpha=alpha).towers
        out = tmp_path / f"out{alpha}"
        out.mkdir()
        write_folder(towers, out, model_card(towers, "x", {"model": {"name": own_model}}))
        assert "bit for bit, so an existing image index stays valid." in (out / "README.md").read_text(encoding="utf-8")
        with torch.inference_mode():
            index = build_towers(own_model).embed_images(images)
            assert torch.equal(load_model(out).towers.embed_images(images), index)
    onnx = model_card(towers, "x", {"model": {"name": own_model}}, loading="Differs by 1e-7.")
    assert "its weights are those of the model it starts from, bit for bit" in onnx and "itself rounds" in onnx
