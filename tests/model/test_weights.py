"""Files of weights: every kind that users have is read without running anything in it, or refused in a sentence."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from tiny_models import write_own_model
from tuned import embeddings, lora, trained

from mmcs.errors import DataError, UserError
from mmcs.export.open_clip import write_folder
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model
from mmcs.model.torch_archive import uses_quick_gelu
from mmcs.model.weights import read_state_dict

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def clip(own_model: str) -> Any:
    """The small model with weights that no build draws."""
    clip = build_towers(own_model).clip
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.copy_(torch.rand_like(parameter))
    return clip


def save_safetensors(state: State, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in state.items()}, path)


def save_training_checkpoint(state: State, path: Path) -> None:
    """As open_clip's trainer writes it, with objects of other libraries."""
    content = {
        "epoch": np.int64(3),
        "best": np.float64(0.5),
        "curve": np.arange(4.0),
        "args": argparse.Namespace(lr=1e-3),
        "counts": defaultdict(list, a=[1]),
        "optimizer": {"state": {0: {"exp_avg": torch.rand(3)}}},
        "state_dict": {f"module.{name}": value for name, value in state.items()},
    }
    torch.save(content, path)


SAVED = {
    "plain.pt": torch.save,
    "parameters.pt": lambda state, path: torch.save({n: torch.nn.Parameter(v) for n, v in state.items()}, path),
    "old_format.pth": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "numpy_scalars.pt": save_training_checkpoint,
    "weights.safetensors": save_safetensors,
    "safetensors_by_another_name.bin": save_safetensors,
}


@pytest.mark.parametrize("file", list(SAVED))
def test_every_kind_of_file_gives_the_weights(file: str, clip: Any, own_model: str, tmp_path: Path) -> None:
    SAVED[file](clip.state_dict(), tmp_path / file)
    assert_weights(build_towers(own_model, str(tmp_path / file)).clip.state_dict(), clip.state_dict())


def assert_weights(found: State, expected: State) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("quick", [False, True], ids=["gelu", "quick gelu"])
def test_a_torchscript_archive_gives_its_weights_and_its_activation(quick: bool, tmp_path: Path) -> None:
    """As OpenAI distributes its models: half precision, sizes among the tensors, QuickGELU that the model's name does not say."""
    own = write_own_model(tmp_path)
    clip = open_clip.create_model(f"local-dir:{folder_of(own, tmp_path)}", force_quick_gelu=quick).half()
    for name in ("input_resolution", "context_length", "vocab_size"):
        if hasattr(clip, name):
            delattr(clip, name)
        clip.register_buffer(name, torch.tensor(7))
    torch.jit.script(clip).save(str(tmp_path / "ViT.pt"))
    assert uses_quick_gelu(tmp_path / "ViT.pt") is quick
    towers = build_towers(own, str(tmp_path / "ViT.pt"))
    assert_weights(
        towers.clip.half().state_dict(), {n: v for n, v in clip.state_dict().items() if v.ndim or "scale" in n}
    )
    activations = {type(module).__name__ for module in towers.modules()}
    assert ("QuickGELU" in activations) is quick
    assert towers.config["model_cfg"].get("quick_gelu", False) is quick


def folder_of(config: str, folder: Path) -> Path:
    text = Path(config).read_text()
    (folder / "open_clip_config.json").write_text(f'{{"model_cfg": {text}}}')
    return folder


class Runs:
    """Runs a program when it is unpickled as Python would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def test_nothing_in_a_file_is_executed(clip: Any, own_model: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    torch.save({"state_dict": clip.state_dict(), "extra": Runs(marker)}, tmp_path / "a.pt")
    assert_weights(read_state_dict(tmp_path / "a.pt"), clip.state_dict())
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"state_dict": Runs(marker)}))
    with pytest.raises(DataError, match=r"cannot be read: .*save its weights alone|a Python pickle"):
        build_towers(own_model, str(tmp_path / "b.pt"))
    assert not marker.exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.rand(4)}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name.endswith("data.pkl"):
                assert b"K\x04\x85" in content  # the size, (4,)
                content = content.replace(b"K\x04\x85", b"K\x7f\x85")
            bad.writestr(name, content)
    with pytest.raises(DataError, match="damaged"):
        read_state_dict(tmp_path / "bad.pt")


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        (b"<!doctype html><html></html>", "a web page"),
        (b"\x00\x01\x02garbage" * 99, "it reads safetensors"),
    ],
)
def test_other_files_are_named(content: bytes, sentence: str, own_model: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        build_towers(own_model, str(tmp_path / "w.pt"))
    assert "\x1b" not in str(caught.value) and "HF_HUB" not in str(caught.value)


@pytest.mark.parametrize("file", ["plain.pt", "old_format.pth", "weights.safetensors"])
def test_a_truncated_file_is_refused(file: str, clip: Any, own_model: str, tmp_path: Path) -> None:
    SAVED[file](clip.state_dict(), tmp_path / file)
    (tmp_path / file).write_bytes(cut((tmp_path / file).read_bytes()))
    with pytest.raises(DataError, match="cannot be read"):
        build_towers(own_model, str(tmp_path / file))


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"state_dict": {"a": 1}}, torch.rand(3)])
def test_a_file_without_weights_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(DataError, match="hold no tensors"):
        read_state_dict(tmp_path / "w.pt")


def test_weights_of_another_model_are_counted(clip: Any, own_model: str, tmp_path: Path) -> None:
    state = dict(clip.state_dict())
    state["more"] = state.pop("ln_final.weight")
    state["text_projection"] = torch.rand(3, 3)
    torch.save(state, tmp_path / "w.pt")
    counted = r"1 missing \(such as ln_final.weight\), 1 unknown \(such as more\), 1 of another shape \(such as text_projection\)"
    with pytest.raises(UserError, match=counted):
        build_towers(own_model, str(tmp_path / "w.pt"))
    torch.save({**clip.state_dict(), "positional_embedding": torch.rand(16, 8)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"of another model \(text pos_embed width changed\)\.$"):
        build_towers(own_model, str(tmp_path / "w.pt"))


@pytest.mark.parametrize("options", [{}, {"lora": lora()}, {"lock_image": True}], ids=["whole", "adapters", "locked"])
def test_a_run_a_checkpoint_and_an_export_are_starting_points(
    options: dict[str, Any], own_model: str, tmp_path: Path
) -> None:
    """Of the weights that it ended with, adapters merged; in a run's folder those of its best checkpoint."""
    run = tmp_path / "run"
    _, last = trained(run / "checkpoints", {"name": own_model, **options}, epochs=1)
    ended = load_model(last).towers
    (tmp_path / "export").mkdir()
    write_folder(ended, tmp_path / "export", "")
    for start in (last, run, tmp_path / "export"):
        torch.testing.assert_close(embeddings(build_towers(own_model, str(start))), embeddings(ended))


def test_a_bias_that_the_loss_gave_to_a_run_is_left(own_model: str, tmp_path: Path, clip: Any) -> None:
    torch.save({**clip.state_dict(), "logit_bias": torch.tensor(-3.0)}, tmp_path / "w.pt")
    assert_weights(build_towers(own_model, str(tmp_path / "w.pt")).clip.state_dict(), clip.state_dict())


@pytest.mark.parametrize("model", ["own_model", "ViT-B-32", "lite0_e5"])
@pytest.mark.parametrize("place", ["nothing", "empty"])
def test_places_without_weights_are_refused(
    place: str, model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    name = request.getfixturevalue(model) if model in ("own_model", "lite0_e5") else model
    with pytest.raises(UserError, match=r"run"):
        build_towers("lite0_e5" if model == "lite0_e5" else name, str(tmp_path / place))
