"""``build_towers``: from a model's name (or folder, or file) to ``Towers``, through open_clip.

Everything that differs between the places a model can come from is here; what a model does is in ``towers.py``.
Called by the LightningModule's configuration and by ``checkpoint.py``.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import logging
import os
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmcs.errors import UserError, exit_code_of
from mmcs.model.lite0_e5 import build_lite0_e5
from mmcs.model.lora import add_adapters
from mmcs.model.towers import Towers
from mmcs.model.tuning import freeze_for_adapters, freeze_unreached, recompute_activations

LOCAL = "local-dir:"
CONFIG_FILE = "open_clip_config.json"


@dataclass
class Source:
    """Where open_clip finds a model: its identifier, the arguments that go with it, and its configuration."""

    identifier: str
    model_cfg: dict[str, Any]
    arguments: dict[str, Any] = field(default_factory=dict)  # of open_clip.create_model
    weights: Path | None = None  # a checkpoint to load after creation
    tokenizer: str | None = None  # a Hugging Face tokeniser's place, where open_clip would look elsewhere


def build_towers(
    name: str,
    pretrained: str | None = None,
    *,
    lock_image: bool = False,
    lock_image_unlocked_groups: int = 0,
    lock_text: bool = False,
    lock_text_unlocked_layers: int = 0,
    image_dropout: float = 0.0,
    text_dropout: float = 0.0,
    lora: Mapping[str, Any] | None = None,
    grad_checkpointing: bool = False,
    compile: bool = False,
    cache_dir: str | None = None,
) -> Towers:
    """Builds the towers of a model, on the CPU, in eval mode.

    Weights that nothing provides are drawn from a fixed seed, whatever the global one: a starting point is a function
    of these arguments alone, so runs are comparable and a checkpoint need not hold what was never trained.

    Args:
        name: an OpenCLIP model name (also ``hf-hub:…``), the path of a model configuration (JSON), a folder with an
            ``open_clip_config.json`` (also ``local-dir:FOLDER``; no hub is asked), or ``lite0_e5``.
        pretrained: a tag of open_clip or a checkpoint file; None: random weights (folders bring their own).
        lock_image, lock_text: freeze the trunk, all but its last ``…_unlocked_groups`` / ``…_unlocked_layers``.
        image_dropout, text_dropout: share of trunk features dropped before the heads, in training.
        lora: ``r`` (0: none), ``alpha``, ``dropout``, ``image``, ``text`` (false, true, or which modules: ``add_adapters``).
        grad_checkpointing: recompute activations of trained trunks. compile: ``torch.compile`` trunks, in training only.
        cache_dir: where hub downloads are kept.

    Raises:
        UserError: unknown name or tag, unreadable files, a download that failed, a lock that open_clip lacks.
    """
    adapted = _adapted(lora)
    _check_options(lock_image, lock_image_unlocked_groups, "image", image_dropout, "image" in adapted)
    _check_options(lock_text, lock_text_unlocked_layers, "text", text_dropout, "text" in adapted)
    import open_clip

    with tempfile.TemporaryDirectory() as scratch, quiet(), _fixed_seed():
        try:
            source = _find(name, pretrained, Path(scratch))
            clip = open_clip.create_model(source.identifier, cache_dir=cache_dir, **source.arguments)
            if source.weights is not None:
                open_clip.load_checkpoint(clip, str(source.weights), weights_only=True)
            tokenizer = _tokenizer(source, cache_dir)
        except UserError:
            raise
        except Exception as error:  # whatever open_clip, timm, transformers or the hub raise about what was named
            if exit_code_of(error) is not None:
                raise
            raise UserError(_sentence(name, pretrained, error)) from error
    clip.visual.to(memory_format=torch.channels_last)  # same weights, convolutions up to 1.5 times as fast
    config = {"name": name, "pretrained": pretrained, "model_cfg": source.model_cfg}
    config["preprocess_cfg"] = _preprocess_cfg(clip)
    towers = Towers(clip, tokenizer, config, image_dropout=image_dropout, text_dropout=text_dropout).eval()
    freeze_unreached(towers)
    if lock_image:
        towers.lock_image(lock_image_unlocked_groups)
    if lock_text:
        towers.lock_text(lock_text_unlocked_layers)
    if lora and adapted:
        for tower in adapted:
            freeze_for_adapters(towers, tower)
        with quiet(), _fixed_seed():
            add_adapters(towers, adapted, r=lora["r"], alpha=lora["alpha"], dropout=lora["dropout"])
    if grad_checkpointing:
        recompute_activations(towers)
    towers.compiles = compile
    return towers


def _check_options(lock: bool, unlocked: int, tower: str, dropout: float, adapted: bool) -> None:
    if unlocked < 0 or (unlocked and not lock):
        raise UserError(f"lock_{tower}_unlocked_… is {unlocked}: it must be 0 or more, and 0 without lock_{tower}.")
    if unlocked and adapted:
        raise UserError(
            f"lock_{tower}_unlocked_… is {unlocked}: it must be 0 where model.lora adapts the {tower} tower (name the modules of "
            f"its last blocks in model.lora.{tower} instead)."
        )
    if not 0 <= dropout < 1:
        raise UserError(f"{tower}_dropout is {dropout}: it must be at least 0 and below 1.")


def _adapted(lora: Mapping[str, Any] | None) -> dict[str, Any]:
    """Per tower that gets adapters, the modules."""
    if not lora or not lora["r"]:
        return {}
    adapted = {tower: lora[tower] for tower in ("image", "text") if lora[tower]}
    if not adapted:
        raise UserError(
            f"model.lora.r is {lora['r']}, but neither model.lora.image nor model.lora.text names what to adapt."
        )
    return adapted


# --- where a model comes from ---------------------------------------------------------------------------------------


def _find(name: str, pretrained: str | None, scratch: Path) -> Source:
    import open_clip

    if name == "lite0_e5":
        if pretrained:
            raise UserError("model lite0_e5 brings its own weights: leave model.pretrained empty.")
        return _folder(build_lite0_e5(), None)
    if name.startswith(LOCAL):
        return _folder(Path(name.removeprefix(LOCAL)), pretrained)
    if name.replace("/", "-") in open_clip.list_models() or name.startswith("hf-hub:"):
        return _named(name, pretrained)
    if name.endswith(".json"):
        return _config_file(Path(name), pretrained, scratch)
    if Path(name).is_dir():
        return _folder(Path(name), pretrained)
    close = difflib.get_close_matches(name, open_clip.list_models(), n=4, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "open_clip.list_models() lists the names."
    raise UserError(
        f"unknown model {name!r}: no OpenCLIP name, folder, model configuration (.json) or lite0_e5; {hint}"
    )


def _folder(folder: Path, pretrained: str | None) -> Source:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{folder} is no OpenCLIP folder: it has no {CONFIG_FILE}.")
    model_cfg = _read_config(path)["model_cfg"]
    weights = _weights_file(pretrained) if pretrained else None
    if weights is None and not any(any(folder.glob(f"*.{suffix}")) for suffix in ("safetensors", "bin", "pth")):
        raise UserError(f"{folder} holds no weights (open_clip_model.safetensors).")
    arguments: dict[str, Any] = {"load_weights": weights is None, "pretrained_text": False}
    if model_cfg["text_cfg"].get("hf_model_name") and (folder / "config.json").is_file():
        # open_clip does not look for the text tower's configuration in a local folder unless told so.
        local = {"hf_model_name": str(folder.resolve()), "hf_model_pretrained": False}
        arguments["text_cfg"] = {**model_cfg["text_cfg"], **local}
    return Source(f"{LOCAL}{folder.resolve()}", model_cfg, arguments, weights)


def _config_file(path: Path, pretrained: str | None, scratch: Path) -> Source:
    """A model configuration as open_clip keeps them, or with ``model_cfg`` and ``preprocess_cfg`` as in a folder."""
    config = _read_config(path)
    text, vision = config["model_cfg"]["text_cfg"], config["model_cfg"]["vision_cfg"]
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if text.get(key) and (path.parent / text[key]).is_dir():  # a folder beside the file
            text[key] = str((path.parent / text[key]).resolve())
    (scratch / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    arguments = {
        "pretrained_text": bool(text.get("hf_model_pretrained", False)) and not pretrained,
        "pretrained_image": bool(vision.get("timm_model_pretrained", False)) and not pretrained,
    }
    weights = _weights_file(pretrained) if pretrained else None
    return Source(f"{LOCAL}{scratch}", config["model_cfg"], arguments, weights, text.get("hf_tokenizer_name"))


def _named(name: str, pretrained: str | None) -> Source:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if name.startswith("hf-hub:"):
        if pretrained:
            raise UserError(f"model {name} brings its own weights: leave model.pretrained empty.")
        return Source(name, open_clip.get_model_config(name), {"require_pretrained": True})
    key = name.replace("/", "-")
    model_cfg = open_clip.get_model_config(key)
    arguments: dict[str, Any] = {"pretrained": pretrained, "pretrained_text": False}
    if pretrained and pretrained in (tags := open_clip.list_pretrained_tags_by_model(key)):
        if get_pretrained_cfg(key, pretrained).get("quick_gelu"):  # how these weights were trained
            arguments["force_quick_gelu"] = model_cfg["quick_gelu"] = True
    elif pretrained and not Path(pretrained).is_file():
        known = ", ".join(tags) or "none"
        raise UserError(f"pretrained {pretrained!r} is neither a file nor a tag of {name}; its tags: {known}.")
    return Source(key, model_cfg, arguments)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        config = config if "model_cfg" in config else {"model_cfg": config}
        missing = {"embed_dim", "vision_cfg", "text_cfg"} - config["model_cfg"].keys()
    except FileNotFoundError:
        raise UserError(f"model configuration {path} does not exist.") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no model configuration ({error}).") from None
    if missing:
        raise UserError(f"{path} is no OpenCLIP model configuration: {', '.join(sorted(missing))} missing.")
    return config


def _weights_file(pretrained: str) -> Path:
    if not Path(pretrained).is_file():
        raise UserError(f"pretrained {pretrained!r} is no file: a local model takes a checkpoint file.")
    return Path(pretrained)


def _tokenizer(source: Source, cache_dir: str | None) -> Any:
    import open_clip
    from open_clip.tokenizer import HFTokenizer

    text = source.model_cfg["text_cfg"]
    if source.tokenizer is None:
        return open_clip.get_tokenizer(source.identifier, cache_dir=cache_dir)
    return HFTokenizer(
        source.tokenizer,
        context_length=text.get("context_length", 77),
        cache_dir=cache_dir,
        tokenizer_mode=text.get("tokenizer_mode"),
        **text.get("tokenizer_kwargs", {}),
    )


def _preprocess_cfg(clip: Any) -> dict[str, Any]:
    kept = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    config = clip.visual.preprocess_cfg
    return {key: list(config[key]) if isinstance(config[key], tuple) else config[key] for key in kept if key in config}


def _sentence(name: str, pretrained: str | None, error: Exception) -> str:
    what = f"model {name}" + (f" with pretrained {pretrained}" if pretrained else "")
    first = textwrap.shorten(str(error), 300, placeholder=" …") or type(error).__name__
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return f"{what} could not be loaded{offline}: {first}"


# --- a quiet, repeatable construction -------------------------------------------------------------------------------


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without prints and logs, here and at export; open_clip's calls of ``logging.warning`` would also configure the root logger."""
    silent = logging.NullHandler()
    root, before = logging.getLogger(), logging.root.manager.disable
    root.addHandler(silent)
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
        root.removeHandler(silent)


@contextlib.contextmanager
def _fixed_seed() -> Iterator[None]:
    """Fresh weights drawn from one seed, the caller's CPU generator left as it was (weights are made on the CPU)."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(0)
    try:
        yield
    finally:
        torch.set_rng_state(state)
