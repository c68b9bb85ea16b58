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
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcs.errors import DataError, UserError
from mmcs.export import tokenizer_json
from mmcs.files import atomic_folder
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
    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.towers.embed_image_features(self.towers._image_trunk_features(pixel_values))


class _Text(nn.Module):
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
        towers: in eval mode on the CPU, as ``load_model`` gives them; adapters are merged.
        out: must not exist, or be empty.
        card: makes the text of ``README.md`` of the section that says how to load the folder.

    Raises:
        UserError: packages are missing; ``out`` holds something already; ONNX or ``tokenizer.json`` cannot express the model.
        DataError: onnxruntime does not get the same embeddings.
    """
    require_packages()
    if towers.preprocess.resize_mode not in ("shortest", "squash"):
        raise UserError(f"resize mode {towers.preprocess.resize_mode} has no ONNX export: shortest and squash have.")
    with atomic_folder(out) as partial, _plain_attention():
        towers = merged(towers)
        tokenizer = tokenizer_json.build(towers)
        tokenizer.save(str(partial / "tokenizer.json"))
        images, tokens = _probes(towers)
        free = {0: "batch", 1: "length"} if tokenizer_json.masks(towers) else {0: "batch"}
        _write_graph(_Image(towers), images[0][:2], partial / "image.onnx", ("pixel_values", "image_embeds"), [0])
        _write_graph(_Text(towers), tokens[-1][:2], partial / "text.onnx", ("input_ids", "text_embeds"), list(free))
        worst = max(
            _worst(partial / "image.onnx", _Image(towers), images),
            _worst(partial / "text.onnx", _Text(towers), tokens),
        )
        if not worst <= TOLERANCE:
            raise DataError(f"the export was not kept: its embeddings differ from the model's by {worst:.2g}.")
        how = towers.preprocess
        content = {"height": how.size[0], "width": how.size[1], "resize_mode": how.resize_mode}
        content |= {"interpolation": how.interpolation, "mean": list(how.mean), "std": list(how.std)}
        (partial / "preprocess.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (partial / "example.py").write_text(EXAMPLE, encoding="utf-8")
        odd = len(tokenizer_json.differing(tokenizer, towers, tokenizer_json.ODD))
        (partial / "README.md").write_text(card(_loading(towers, worst, odd)), encoding="utf-8")
    return Path(out)


def require_packages() -> None:
    """Raises UserError where the packages of the extra ``onnx`` are not all there."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"an ONNX export needs {', '.join(missing)}: pip install 'mmcs[onnx]'.")


def _write_graph(module: nn.Module, example: Tensor, path: Path, names: tuple[str, str], free: list[int]) -> None:
    """``module`` as ``path``, the axes ``free`` of its input of any size."""
    size = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    shapes = (dict.fromkeys(free, torch.export.Dim.DYNAMIC),)
    try:
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                input_names=[names[0]],
                output_names=[names[1]],
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=shapes,
                external_data=size > _ONE_FILE,
                verbose=False,
            )
    except Exception as error:  # whatever part of torch's exporter meets what it does not know
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserError(f"ONNX cannot express {path.stem} tower as it is ({type(error).__name__}: {reason}).") from None


def _worst(path: Path, module: nn.Module, inputs: list[Tensor]) -> float:
    """The largest difference of any number of the embeddings of ``inputs``, onnxruntime against torch."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = [session.run(None, {session.get_inputs()[0].name: batch.numpy()})[0] for batch in inputs]
    except Exception as error:  # onnxruntime's own errors have no common class
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise DataError(f"the export was not kept: onnxruntime cannot run {path.name} ({reason}).") from None
    with torch.inference_mode():
        pairs = [(mine, module(batch).numpy()) for mine, batch in zip(found, inputs, strict=True)]
    return max(float(np.abs(mine - torchs).max()) for mine, torchs in pairs)


def _probes(towers: Towers) -> tuple[list[Tensor], list[Tensor]]:
    """Normalised images and token ids in ``BATCHES``; captions of several lengths, the last batch of the context length."""
    random = np.random.default_rng(0)
    height, width = towers.preprocess.size
    pixels = torch.from_numpy(random.integers(0, 256, (max(BATCHES), 3, height, width), dtype=np.uint8))
    images = [towers.normalise(pixels[:count]) for count in (max(BATCHES), *BATCHES)]
    plain = tokenizer_json.PLAIN
    tokens = [towers.tokenise.encode(plain[3 * i : 3 * i + count]) for i, count in enumerate(BATCHES)]
    return images, [*tokens, towers.tokenise.encode(plain[-max(BATCHES) :])]


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Without torch's fused attention, which has no ONNX form."""
    before: Any = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _loading(towers: Towers, worst: float, odd: int) -> str:
    """The card's section on the folder's files."""
    length = towers.tokenizer.context_length
    lengths = f"L up to {length}, padding is masked" if tokenizer_json.masks(towers) else f"L = {length}"
    height, width = towers.preprocess.size
    return (
        "## How to load it\n\nWith onnxruntime, tokenizers, Pillow and NumPy alone: `example.py` searches pictures.\n\n"
        f"- `image.onnx`: `pixel_values` float32 (B, 3, {height}, {width}), prepared as `preprocess.json` says → "
        f"`image_embeds` (B, {towers.embed_dim}) of length 1\n"
        f"- `text.onnx`: `input_ids` int64 (B, L), {lengths} → `text_embeds` (B, {towers.embed_dim}) of length 1\n"
        f"- `tokenizer.json`: `Tokenizer.from_file`; truncates and pads\n\nONNX opset {OPSET}. Checked at export with "
        f"onnxruntime against torch, batches of {', '.join(map(str, BATCHES))}: no number of an embedding differs by more "
        f"than {worst:.1g} (allowed: {TOLERANCE:g}).\n\n`tokenizer.json` gave all {len(tokenizer_json.PLAIN)} plain probe "
        f"captions in many scripts the model's own ids, and other ids to {odd} of {len(tokenizer_json.ODD)} odd ones: it "
        "does not repair broken encodings, HTML entities, curly quotes or full-width letters before it reads them, as the "
        "model's own tokeniser does."
    )
