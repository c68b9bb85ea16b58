"""What tells one trunk from another: digests of all that decides the features that a tower yields.

``Towers`` asks; feature stores are named by them, and checkpoints compare them with the model that they are loaded into.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from mmcs.model.towers import Towers

_HF_FUNCTION = [
    "model_type",
    "hidden_act",
    "activation_function",
    "pad_token_id",
    "layer_norm_eps",
    "num_attention_heads",
    "num_heads",
    "encoder_attention_heads",
    "position_embedding_type",
    "relative_attention_num_buckets",
    "scale_embedding",
]


def image_identity(towers: Towers) -> str:
    """Hex digest of the image trunk's weights, its architecture and the preprocessing."""
    model = towers.config["model_cfg"]
    vision = {key: value for key, value in model["vision_cfg"].items() if key != "timm_model_pretrained"}
    parts = {"vision": vision, "quick_gelu": _quick_gelu(model), "preprocess": vars(towers.preprocess)}
    return _digest(towers, "image", parts)


def text_identity(towers: Towers) -> str:
    """Hex digest of the text trunk's weights, its architecture, tokeniser and context length."""
    model = towers.config["model_cfg"]
    places = {"hf_model_name", "hf_tokenizer_name", "hf_model_pretrained"}  # where from, not what
    text = {key: value for key, value in model["text_cfg"].items() if key not in places}
    config = getattr(getattr(towers.clip, "text", None), "config", None)  # a Hugging Face tower's
    hf = {} if config is None else {key: getattr(config, key, None) for key in _HF_FUNCTION}
    parts = {"text": text, "hf": hf, "quick_gelu": _quick_gelu(model), "tokeniser": towers.tokenise.fingerprint()}
    return _digest(towers, "text", parts)


def towers_identity(towers: Towers) -> str:
    """Hex digest of all that decides embeddings: both trunks, and the weights outside of them."""
    digest = hashlib.blake2b(f"{image_identity(towers)} {text_identity(towers)}\n".encode(), digest_size=16)
    for name, value in towers.state_dict().items():
        own = name.removeprefix("clip.")
        if not (towers.in_trunk("image", own) or towers.in_trunk("text", own)):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(memoryview(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def _quick_gelu(model_cfg: dict[str, Any]) -> bool:
    return bool(model_cfg.get("quick_gelu", False))


def _digest(towers: Towers, tower: str, parts: dict[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=16)
    for name, value in sorted(towers.clip.state_dict().items()):
        if towers.in_trunk(tower, name):
            array = value.detach().cpu().contiguous()
            digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
            digest.update(memoryview(array.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()
