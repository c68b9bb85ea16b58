"""Small models with random weights that any room's tests may build in under a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VISION = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 16}
TIMM = {"timm_model_name": "test_efficientnet", "timm_pool": "", "timm_proj": "linear", "image_size": 32}
WORDS = ["a", "the", "dog", "cat", "house", "red", "two", "black", "and", "in", "snow", "Hund", "Katze", "кошка", "дом"]


def write_own_model(folder: Path) -> str:
    """The path of a model configuration (.json) with open_clip's own vision transformer and text tower."""
    text = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 3}
    return _write(folder / "own-tiny.json", {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": text})


def write_hf_model(folder: Path) -> str:
    """The path of a model configuration (.json) with a timm image tower and a BERT whose files lie beside it."""
    write_bert(folder / "bert")
    text = {
        "hf_model_name": "bert",
        "hf_tokenizer_name": "bert",
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
        "hf_model_pretrained": False,
        "context_length": 12,
    }
    model = {"embed_dim": 24, "vision_cfg": TIMM, "text_cfg": text}
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.6, 0.7]}
    return _write(folder / "hf-tiny.json", {"model_cfg": model, "preprocess_cfg": preprocess})


def write_bert(folder: Path) -> None:
    """A Hugging Face folder without weights: a Unigram tokeniser trained on a few words, a BERT of three layers."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **roles})
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    sizes |= {"vocab_size": 100, "max_position_embeddings": 40, "pad_token_id": 1}
    _write(folder / "config.json", {"model_type": "bert", "architectures": ["BertModel"], **sizes})


def _write(path: Path, content: dict[str, Any]) -> str:
    path.write_text(json.dumps(content))
    return str(path)
