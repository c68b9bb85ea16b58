"""Where a model comes from: a name, folder or file that a user gives, as the arguments of ``open_clip.create_model``.

``build.py`` builds what is found here.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmcs.errors import UserError
from mmcs.model.lite0_e5 import build_lite0_e5
from mmcs.model.torch_archive import uses_quick_gelu
from mmcs.model.weights import is_run_or_folder

LOCAL = "local-dir:"
CONFIG_FILE = "open_clip_config.json"


@dataclass
class Source:
    """Where open_clip finds a model: its identifier, the arguments that go with it, and its configuration.

    Attributes:
        arguments: of ``open_clip.create_model``.
        weights: a checkpoint to load after creation.
        tokenizer: a Hugging Face tokeniser's place, where open_clip would look elsewhere.
        random: the towers ("image", "text") that no pretrained weights are loaded into.
    """

    identifier: str
    model_cfg: dict[str, Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    tokenizer: str | None = None
    random: tuple[str, ...] = ()
    own_size: Any = None  # of its images, where another is asked for


def find_source(name: str, pretrained: str | None, scratch: Path) -> Source:
    """The source of what ``build_towers`` is given; ``scratch`` is a folder for files that open_clip reads.

    Raises:
        UserError: nothing of that name, files that are no model, a tag that the model does not have.
    """
    import open_clip

    if name == "lite0_e5":
        if pretrained and not Path(pretrained).exists():
            raise UserError(
                f"model lite0_e5 brings its own weights: leave model.pretrained empty, or name a run or a file; got {pretrained!r}."
            )
        return _folder(build_lite0_e5(), pretrained)
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
    weights = _weights_file(pretrained) if pretrained else None
    _take_quick_gelu(config["model_cfg"], weights)
    (scratch / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    own = {
        "image": bool(vision.get("timm_model_pretrained", False)) and not pretrained,
        "text": bool(text.get("hf_model_pretrained", False)) and not pretrained,
    }
    return Source(
        f"{LOCAL}{scratch}",
        config["model_cfg"],
        {f"pretrained_{tower}": given for tower, given in own.items()},
        weights,
        text.get("hf_tokenizer_name"),
        () if weights else tuple(tower for tower, given in own.items() if not given),
    )


def _named(name: str, pretrained: str | None) -> Source:
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if name.startswith("hf-hub:"):
        if pretrained:
            raise UserError(f"model {name} brings its own weights: leave model.pretrained empty.")
        return Source(name, open_clip.get_model_config(name), {"require_pretrained": True})
    key = name.replace("/", "-")
    model_cfg = open_clip.get_model_config(key)
    arguments: dict[str, Any] = {"pretrained_text": False}
    if not pretrained:
        return Source(key, model_cfg, arguments, random=("image", "text"))
    if pretrained in (tags := open_clip.list_pretrained_tags_by_model(key)):
        if get_pretrained_cfg(key, pretrained).get("quick_gelu"):  # how these weights were trained
            arguments["force_quick_gelu"] = model_cfg["quick_gelu"] = True
        return Source(key, model_cfg, {**arguments, "pretrained": pretrained})
    if not Path(pretrained).exists():
        known = ", ".join(tags) or "none"
        raise UserError(
            f"pretrained {pretrained!r} is neither a tag of {name} nor a file, a run or an OpenCLIP folder; its tags: {known}."
        )
    weights = _weights_file(pretrained)
    if _take_quick_gelu(model_cfg, weights):
        arguments["force_quick_gelu"] = True
    return Source(key, model_cfg, arguments, weights)


def _take_quick_gelu(model_cfg: dict[str, Any], weights: Path | None) -> bool:
    """Sets the activation of the model that the weights are of, where they say which: names of models do not."""
    if weights is None or not _of_quick_gelu(weights):
        return False
    model_cfg["quick_gelu"] = True
    return True


def _of_quick_gelu(weights: Path) -> bool:
    from mmcs.model.checkpoint_file import read_plain
    from mmcs.model.start import checkpoint_at

    if (weights / CONFIG_FILE).is_file():
        return bool(_read_config(weights / CONFIG_FILE)["model_cfg"].get("quick_gelu"))
    checkpoint = checkpoint_at(str(weights))
    if checkpoint is None:
        return weights.is_file() and uses_quick_gelu(weights)
    model = read_plain(checkpoint)["mmcs"]["config"]["model"]
    start = checkpoint_at(model.get("name"))
    if start is not None:
        return _of_quick_gelu(start)
    with tempfile.TemporaryDirectory() as scratch:
        return bool(find_source(model["name"], model.get("pretrained"), Path(scratch)).model_cfg.get("quick_gelu"))


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
    path = Path(pretrained)
    if not path.is_file() and not is_run_or_folder(path):
        what = "holds no weights" if path.is_dir() else "does not exist"
        raise UserError(f"pretrained {pretrained!r} {what}; name a file of weights, a run or an OpenCLIP folder.")
    return path
