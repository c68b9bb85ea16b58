"""Checkpoints hold what training changes; loading rebuilds the rest and refuses what has changed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcs.errors import DataError, UserError
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import checkpoint_extras, load_model, trainable_state
from mmcs.model.towers import Towers


def trained(model: str, **options: Any) -> tuple[Towers, dict[str, Any]]:
    """Towers whose trainable weights have moved, and the configuration that built them."""
    arguments = {"name": model, "pretrained": None, "lock_image": True, "text_dropout": 0.3, **options}
    towers = build_towers(**arguments)
    with torch.no_grad():
        for parameter in towers.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)
    return towers, {"model": arguments, "seed": 3}


def save(towers: Towers, config: dict[str, Any], path: Path, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {f"towers.{name}": value for name, value in trainable_state(towers).items()}
    extras = checkpoint_extras(towers, config) | changes
    torch.save({"state_dict": state, "mmcs": extras, "epoch": 1, "loops": {}}, path)
    return path


def embeddings(towers: Towers) -> torch.Tensor:
    images = torch.arange(2 * 3 * 32 * 32, dtype=torch.uint8).view(2, 3, 32, 32)
    with torch.no_grad():
        texts = towers.eval().embed_texts(towers.tokenise.encode(["a dog", "кошка"]))
        return torch.cat((towers.embed_images(images), texts))


@pytest.mark.parametrize("locked", [True, False])
def test_a_checkpoint_gives_the_same_embeddings(hf_model: str, tmp_path: Path, locked: bool) -> None:
    towers, config = trained(hf_model, lock_image=locked, lock_text=locked)
    path = save(towers, config, tmp_path / "x.ckpt")
    loaded = load_model(path)
    assert torch.equal(embeddings(loaded.towers), embeddings(towers))
    assert loaded.config == config and loaded.run_folder is None and loaded.name == "x"
    names = torch.load(path, weights_only=True)["state_dict"]
    assert any(name.startswith("towers.clip.visual.trunk.") for name in names) is not locked


def test_a_run_gives_its_best_checkpoint_else_its_last(own_model: str, tmp_path: Path) -> None:
    towers, config = trained(own_model)
    run = tmp_path / "run"
    save(towers, {**config, "which": "last"}, run / "checkpoints" / "last.ckpt")
    (run / "config.yaml").write_text("")
    assert (load_model(run).config or {})["which"] == "last"
    for age, name in ((1, "best-new"), (100, "best-old")):
        path = save(towers, {**config, "which": name}, run / "checkpoints" / f"{name}.ckpt")
        os.utime(path, (2e9 - age, 2e9 - age))
    loaded = load_model(run)
    assert (loaded.config or {})["which"] == "best-new"
    assert loaded.run_folder == run.resolve() and loaded.name == "run"


def test_a_locked_tower_that_changed_is_refused(hf_model: str, tmp_path: Path) -> None:
    """The same checkpoint, after the preprocessing that its locked image tower was trained with has changed."""
    copy = tmp_path / "model"
    shutil.copytree(Path(hf_model).parent, copy)
    towers, config = trained(str(copy / "hf-tiny.json"), lock_text=True)
    path = save(towers, config, tmp_path / "x.ckpt")
    load_model(path)
    content = json.loads((copy / "hf-tiny.json").read_text())
    content["preprocess_cfg"]["mean"] = [0.1, 0.1, 0.1]
    (copy / "hf-tiny.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="another image tower"):
        load_model(path)


def test_names_and_folders_load_too(own_model: str) -> None:
    loaded = load_model(own_model)
    assert loaded.config is None and loaded.name == own_model
    with pytest.raises(UserError, match="its tags"):
        load_model("ViT-B-32", "no-such-tag")


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (lambda path: path.unlink(), UserError, "does not exist"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), DataError, "damaged"),
        (lambda path: path.write_bytes(b"no checkpoint"), DataError, "damaged"),
        (lambda path: torch.save({"state_dict": {}}, path), UserError, "no checkpoint of mmcs"),
        (lambda path: torch.save({"mmcs": {"config": {"model": {}}, "format": 9}}, path), DataError, "newer mmcs"),
        (lambda path: torch.save(Path, path), DataError, "holds more than plain values and tensors"),
    ],
    ids=["gone", "cut off", "text", "another's", "newer", "code"],
)
def test_unusable_files_get_one_sentence(
    own_model: str, tmp_path: Path, spoil: Any, error: type, sentence: str
) -> None:
    path = save(*trained(own_model), tmp_path / "x.ckpt")
    spoil(path)
    with pytest.raises(error, match=sentence):
        load_model(path)


def test_a_run_without_checkpoint_and_a_folder_that_is_none_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no checkpoint yet"):
        load_model(tmp_path)
    with pytest.raises(UserError, match="neither a run"):
        load_model(tmp_path / "checkpoints")
    with pytest.raises(UserError, match="does not exist"):
        load_model(tmp_path / "nothing")
