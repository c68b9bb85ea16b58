"""Configurations of the models that the GPU's benchmark trains from random weights: no hub, no tokeniser's files."""

from __future__ import annotations

import json
from pathlib import Path

XLM_R_BASE = {
    "model_type": "xlm-roberta",
    "architectures": ["XLMRobertaModel"],
    "vocab_size": 250_002,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3_072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
TINY_TEXT = {"vocab_size": 1_000, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY_VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}


def write_models(folder: Path, tiny: bool) -> dict[str, Path]:
    """Configurations of the two models by their names; ``tiny``: of the same kinds, a thousandth of the size."""
    import open_clip
    from tokenizers import Tokenizer, models

    text = folder / "xlm-roberta"
    text.mkdir()
    (text / "config.json").write_text(json.dumps(XLM_R_BASE | (TINY_TEXT | {"intermediate_size": 48} if tiny else {})))
    # It cuts nothing: tokens are made; but towers come with a tokeniser.
    words = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    Tokenizer(models.WordLevel(words, unk_token="<unk>")).save(str(text / "tokenizer.json"))
    roles = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    (text / "tokenizer_config.json").write_text(json.dumps(settings))
    written = {}
    for name in ("xlm-roberta-base-ViT-B-32", "ViT-B-16"):
        model = open_clip.get_model_config(name)
        if "hf_model_name" in model["text_cfg"]:
            here = {"hf_model_name": str(text), "hf_tokenizer_name": str(text), "hf_model_pretrained": False}
            model["text_cfg"].update(here)
        elif tiny:
            model["text_cfg"].update(width=32, heads=2, layers=2)
        if tiny:
            model.update(embed_dim=24, vision_cfg=TINY_VISION)
        written[name] = folder / f"random-{name}.json"
        written[name].write_text(json.dumps(model))
    return written
