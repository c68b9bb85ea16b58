"""Exports towers as a folder that plain open_clip loads, and proves it before the folder appears.

The model card comes from ``card.py``; the loading lines that the card shows are made here, because they are what the
check runs, in a fresh process that knows nothing of mmcs. Called by ``mmcs export`` and the demo.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcs.errors import DataError
from mmcs.files import atomic_folder
from mmcs.model.lora import merged
from mmcs.model.towers import Towers

TOLERANCE = 1e-5
PROBE_TEXTS = [
    "a black cat",
    "Zwei Hunde spielen im Schnee.",
    "красный зонт",
    "木の下の小さな家",
    "بيت على التل",
    "x " * 200,
]
_LINES_OWN = """\
import open_clip

folder = "."  # the path of this folder
model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
"""
_LINES_HF = """\
import json, open_clip

folder = "."  # the path of this folder
text_cfg = json.load(open(f"{folder}/open_clip_config.json"))["model_cfg"]["text_cfg"]
text_cfg.update(hf_model_name=folder, hf_model_pretrained=False)
model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}", text_cfg=text_cfg)
tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
"""
# Around the card's lines: probes in, embeddings out, nothing of mmcs loaded.
_CHECK = """
import sys
import numpy, torch
from PIL import Image

torch.set_num_threads(1)
probes = numpy.load(sys.argv[1], allow_pickle=False)
model.eval()
with torch.inference_mode():
    pixels = torch.stack([preprocess(Image.fromarray(image)) for image in probes["images"]])
    images = model.encode_image(pixels, normalize=True)
    texts = model.encode_text(tokenizer(probes["texts"].tolist()), normalize=True)
assert not any(name.split(".")[0] == "mmcs" for name in sys.modules)
numpy.savez(sys.argv[2], images=images.numpy(), texts=texts.numpy(), logit_scale=model.logit_scale.exp().item())
"""


def loading_lines(towers: Towers) -> str:
    """The lines of plain open_clip that load an export of ``towers``, for the model card's first ``python`` block.

    open_clip reads a Hugging Face text tower's configuration from ``hf_model_name``, which ``local-dir:`` does not
    redirect: those lines point it to the folder.
    """
    return _LINES_HF if _has_hf_text(towers) else _LINES_OWN


def export_open_clip(towers: Towers, out: str | os.PathLike[str], *, card: str) -> Path:
    """Writes ``towers`` to the folder ``out``.

    Args:
        out: must not exist, or be empty.
        card: the text of ``README.md``; its first ``python`` block loads the model (``loading_lines``).

    Raises:
        UserError: ``out`` holds something already. DataError: open_clip does not get the same embeddings from it.
    """
    with atomic_folder(out) as partial:
        write_folder(towers, partial, card)
        check_folder(towers, partial)
    return Path(out)


def write_folder(towers: Towers, folder: Path, card: str) -> None:
    """Writes the export's files, adapters merged into the weights; nothing in them names a place on this machine."""
    from safetensors.torch import save_file

    towers = merged(towers)
    weights = folder / "open_clip_model.safetensors"
    # Cloned, since tensors that share memory (tied weights) cannot be saved as such.
    save_file(
        {name: value.detach().cpu().clone().contiguous() for name, value in towers.clip.state_dict().items()}, weights
    )
    weights.chmod(0o644)
    if _has_hf_text(towers):
        _write_json(folder / "config.json", _without_places(towers.clip.text.config.to_diff_dict()))
    if hasattr(towers.tokenizer, "tokenizer"):
        towers.tokenise.reset()
        towers.tokenizer.save_pretrained(str(folder))
        path = folder / "tokenizer_config.json"
        _write_json(path, _without_places(json.loads(path.read_text(encoding="utf-8"))))
    config = {"model_cfg": _portable(towers.config["model_cfg"]), "preprocess_cfg": towers.config["preprocess_cfg"]}
    _write_json(folder / "open_clip_config.json", config)
    (folder / "README.md").write_text(card, encoding="utf-8")


def check_folder(towers: Towers, folder: Path) -> None:
    """Runs the card's loading lines on ``folder`` in a fresh process, offline, and compares embeddings.

    Raises:
        DataError: they fail, or a few fixed images and texts get embeddings that differ by more than ``TOLERANCE``.
    """
    expected, probes = _expected(towers)
    lines = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    if lines is None:
        raise ValueError("the model card shows no lines that load the model")
    with tempfile.TemporaryDirectory() as scratch:
        given, got = Path(scratch, "probes.npz"), Path(scratch, "embeddings.npz")
        np.savez(given, images=probes["images"], texts=probes["texts"])
        command = [sys.executable, "-P", "-c", lines[1] + _CHECK, str(given), str(got)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise DataError(f"the export was not kept: open_clip cannot load it as its card says ({reason[:300]}).")
        with np.load(got, allow_pickle=False) as found:
            worst = max(float(np.abs(found[kind] - expected[kind]).max()) for kind in expected)
    if not worst <= TOLERANCE:
        raise DataError(f"the export was not kept: its embeddings differ from the model's by {worst:.2g}.")


def _expected(towers: Towers) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Embeddings of the probes by ``towers`` themselves (in fp32 on the CPU), and the probes."""
    on_cpu = copy.deepcopy(towers).cpu() if next(towers.parameters()).is_cuda else towers
    was_training = on_cpu.training
    images = np.random.default_rng(0).integers(0, 256, (3, *towers.preprocess.size, 3), dtype=np.uint8)
    on_cpu.eval()
    with torch.inference_mode():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        expected = {
            "images": on_cpu.embed_images(pixels).numpy(),
            "texts": on_cpu.embed_texts(on_cpu.tokenise.encode(PROBE_TEXTS)).numpy(),
            "logit_scale": np.asarray(on_cpu.logit_scale.exp().item()),
        }
    on_cpu.train(was_training)
    return expected, {"images": images, "texts": np.array(PROBE_TEXTS)}


def _has_hf_text(towers: Towers) -> bool:
    return bool(towers.config["model_cfg"]["text_cfg"].get("hf_model_name"))


def _portable(model_cfg: dict[str, Any]) -> dict[str, Any]:
    """``model_cfg`` without paths and without downloads: hub names stay, a place becomes ``"."``.

    ``"."`` is also what a model gets whose weights come from a folder: a hub name beside it would make open_clip
    quietly take another configuration (multilingual-e5-small's own pads with 0, not 1) where it could get one.
    """
    config = copy.deepcopy(model_cfg)
    text, vision = config["text_cfg"], config["vision_cfg"]
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if key in text and not is_hub_name(str(text[key])):
            text[key] = "."
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    return config


def is_hub_name(name: str) -> bool:
    """Whether ``name`` reads as a hub's (``bert-base-uncased``, ``intfloat/multilingual-e5-small``) and is no folder."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name) is not None and not Path(name).is_dir()


def _without_places(config: dict[str, Any]) -> dict[str, Any]:
    """A Hugging Face configuration without what tells where and by which version of transformers it was loaded."""
    places = ("name_or_path", "_name_or_path", "_commit_hash", "is_local", "local_files_only", "backend")
    kept = {key: value for key, value in config.items() if key not in places}
    if kept.get("tokenizer_class") == "TokenizersBackend":  # transformers 5's name for what 4 knows by this one
        kept["tokenizer_class"] = "PreTrainedTokenizerFast"
    return kept


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
