"""Exports towers as two ONNX graphs that onnxruntime runs without torch, and proves it before the folder appears.

The tokeniser comes from ``tokenizer_json.py``, the model card from ``card.py``. Called by ``mmcs export --to onnx``.

Shapes: B batch, H W image, L tokens, D embedding.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcs.errors import DataError, UserError
from mmcs.export import tokenizer_json
from mmcs.files import atomic_folder, disk_errno
from mmcs.model.build import quiet
from mmcs.model.lora import merged
from mmcs.model.towers import Towers

OPSET = 18
TOLERANCE = 1e-4  # of each number of a unit embedding, onnxruntime against torch
BATCHES = (1, 2, 5)
_ONE_FILE = 1_900_000_000  # bytes of weights; an ONNX file ends at 2 GB, beyond it they lie beside it

EXAMPLE = '''\
"""Searches pictures: python example.py "two dogs in the snow" a.jpg b.jpg … (pip install onnxruntime tokenizers pillow numpy)"""
import json, sys
from pathlib import Path
import numpy as np, onnxruntime
from PIL import Image
from tokenizers import Tokenizer
folder, (query, *files) = Path(__file__).parent, sys.argv[1:]
how = json.loads((folder / "preprocess.json").read_text())
H, W = how["height"], how["width"]
def pixels(file):
    image = Image.open(file).convert("RGB")
    w, h = image.size
    w, h = {"squash": (W, H), "shortest": (int(max(W, H * w / h)), int(max(H, W * h / w)))}[how["resize_mode"]]
    image = image.resize((w, h), Image.Resampling[how["interpolation"].upper()])
    x, y = round((w - W) / 2), round((h - H) / 2)
    return ((np.asarray(image.crop((x, y, x + W, y + H))) / 255 - how["mean"]) / how["std"]).transpose(2, 0, 1)
run = lambda name, **given: onnxruntime.InferenceSession(folder / name).run(None, given)[0]
ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(query).ids
scores = run("image.onnx", pixel_values=np.float32([pixels(f) for f in files])) @ run("text.onnx", input_ids=np.int64([ids]))[0]
for i in np.argsort(-scores): print(f"{scores[i]:.6f}\\t{files[i]}")
'''


class _Image(nn.Module):
    """Normalised images (B, 3, H, W) → (B, D)."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.clip = towers.clip

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.clip.encode_image(pixel_values, normalize=True)


class _Text(nn.Module):
    """Token ids (B, L) → (B, D). (Not open_clip's own call, which cuts some towers' states by a computed mask.)"""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.towers.embed_texts(input_ids)


def export_onnx(towers: Towers, out: str | os.PathLike[str], *, card: Callable[[str], str]) -> Path:
    """Writes ``towers`` to the folder ``out``: ``image.onnx`` (``pixel_values`` float32 (B, 3, H, W), normalised →
    ``image_embeds`` (B, D)), ``text.onnx`` (``input_ids`` int64 (B, L) → ``text_embeds`` (B, D)), ``tokenizer.json``,
    ``preprocess.json``, ``example.py``, ``README.md``.

    Args:
        towers: in eval mode on the CPU in float32, as ``load_model`` gives them; adapters are merged.
        out: must not exist, or be empty.
        card: makes the text of ``README.md`` of the section that says how to load the folder.

    Raises:
        UserError: packages are missing; ``out`` holds something already; ONNX, ``tokenizer.json`` or ``preprocess.json`` cannot
            express the model. DataError: onnxruntime does not get the same embeddings.
    """
    require_packages()
    how = _preprocess(towers)
    with atomic_folder(out) as partial:
        towers = merged(towers)
        tokenizer_json.build(towers).save(str(partial / "tokenizer.json"))
        _write_graphs(towers, partial)
        worst = _worst(towers, partial)
        if not worst <= TOLERANCE:
            raise DataError(f"the export was not kept: its embeddings differ from the model's by {worst:.2g}.")
        (partial / "preprocess.json").write_text(json.dumps(how, indent=2) + "\n", encoding="utf-8")
        (partial / "example.py").write_text(EXAMPLE, encoding="utf-8")
        (partial / "README.md").write_text(card(_loading(towers, worst)), encoding="utf-8")
    return Path(out)


def require_packages() -> None:
    """Raises UserError where the packages of the extra ``onnx`` are not all there."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"an ONNX export needs {', '.join(missing)}: pip install 'mmcs[onnx]'.")


def _preprocess(towers: Towers) -> dict[str, Any]:
    """``preprocess.json``: what is done with an RGB picture, in this order."""
    how, (height, width) = towers.preprocess, towers.preprocess.size
    if how.resize_mode not in ("shortest", "squash") or (how.resize_mode == "shortest" and height != width):
        raise UserError(
            f"preprocess.json cannot say resize mode {how.resize_mode} to {width} × {height}: it knows shortest for squares, and "
            "squash."
        )
    return {
        "channels": "RGB",
        "resize_mode": how.resize_mode,
        "interpolation": "bilinear" if how.interpolation == "bilinear" else "bicubic",  # as open_clip reads "random"
        "antialias": True,
        "height": height,
        "width": width,
        "crop": "center",
        "rescale": 1 / 255,
        "mean": list(how.mean),
        "std": list(how.std),
        "layout": "NCHW",
    }


# --- graphs ---------------------------------------------------------------------------------------------------------


def _write_graphs(towers: Towers, folder: Path) -> None:
    """``image.onnx`` and ``text.onnx``, of any batch, and of any length where the text tower masks its padding."""
    height, width = towers.preprocess.size
    tokens = towers.tokenise.encode(tokenizer_json.PROBES[-2:])
    free = {0, 1} if tokenizer_json.masks(towers) else {0}
    with _plain_attention():
        _write_graph(_Image(towers), torch.zeros(2, 3, height, width), {0}, folder / "image.onnx")
        _write_graph(_Text(towers), tokens, free, folder / "text.onnx")


def _write_graph(module: nn.Module, example: Tensor, free: set[int], path: Path) -> None:
    image = path.stem == "image"
    weights = {name: value for name, value in module.state_dict().items() if ("clip.visual." in f".{name}") == image}
    try:
        with torch.no_grad(), quiet(), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                input_names=["pixel_values" if image else "input_ids"],
                output_names=[f"{path.stem}_embeds"],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=(dict.fromkeys(free, torch.export.Dim.DYNAMIC),),
                external_data=sum(value.nbytes for value in weights.values()) > _ONE_FILE,
                verbose=False,
            )
    except Exception as error:  # whatever part of torch's exporter meets what it does not know
        if disk_errno(error) is not None:
            raise
        raise UserError(f"ONNX cannot express the {path.stem} tower of this model: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    """The operator that has no ONNX form, or the first line of what began it: the exporter wraps errors in advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    if operator := re.search(r"OpOverload\(op='([\w.]+)'", str(error)):
        return f"there is none for the operator {operator[1]}"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:200].rstrip('. ')}"


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Without torch's fused attention, which has no ONNX form."""
    before: Any = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


# --- the check ------------------------------------------------------------------------------------------------------


def _worst(towers: Towers, folder: Path) -> float:
    """The largest difference of any number of an embedding, onnxruntime against torch: batches of random images and of captions
    of several lengths, the context length among them, as ``tokenizer.json`` gives them. NaN where any is NaN.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    image, text = _Session(folder / "image.onnx"), _Session(folder / "text.onnx")
    random, probes, pairs = np.random.default_rng(0), tokenizer_json.PROBES, []
    with torch.inference_mode():
        for count in BATCHES:
            images = torch.from_numpy(random.integers(0, 256, (count, 3, *towers.preprocess.size), dtype=np.uint8))
            pairs.append((image(towers.normalise(images)), towers.embed_images(images)))
            for texts in (probes[:count], probes[-count:]):
                ids = torch.tensor([one.ids for one in tokenizer.encode_batch(texts)])
                pairs.append((text(ids), towers.embed_texts(towers.tokenise.encode(texts))))
    return float(np.max([np.abs(found - expected.numpy()).max() for found, expected in pairs]))


class _Session:
    """A graph in onnxruntime, whose errors end in a sentence."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.name = path.name
        with self._told():
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __call__(self, inputs: Tensor) -> np.ndarray:
        with self._told():
            return self.session.run(None, {self.session.get_inputs()[0].name: inputs.numpy()})[0]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # onnxruntime's own have no common class
            if disk_errno(error) is not None:
                raise
            raise DataError(
                f"the export was not kept: onnxruntime cannot run {self.name} ({_reason(error)})."
            ) from error


def _loading(towers: Towers, worst: float) -> str:
    """The card's section on the folder's files."""
    length, (height, width) = towers.tokenizer.context_length, towers.preprocess.size
    lengths = f"L up to {length}, padding is masked" if tokenizer_json.masks(towers) else f"L = {length}"
    return (
        "## How to load it\n\nWith onnxruntime, tokenizers, Pillow and NumPy alone: `example.py` searches pictures.\n\n"
        f"- `image.onnx`: `pixel_values` float32 (B, 3, {height}, {width}), prepared as `preprocess.json` says → "
        f"`image_embeds` float32 (B, {towers.embed_dim}) of length 1\n"
        f"- `text.onnx`: `input_ids` int64 (B, L), {lengths} → `text_embeds` float32 (B, {towers.embed_dim}) of length 1\n"
        "- `tokenizer.json`: for `tokenizers.Tokenizer.from_file`; truncates and pads. It does not repair texts that were decoded "
        "wrongly (`cafÃ©`), nor HTML entities but the common ones, as open_clip does first\n\n"
        f"ONNX opset {OPSET}. Checked at export with onnxruntime against torch, in batches of {', '.join(map(str, BATCHES))}: no "
        f"number of an embedding differs by more than {worst:.1g} (allowed: {TOLERANCE:g})."
    )
