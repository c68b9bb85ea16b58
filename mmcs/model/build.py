"""``build_towers``: from a model's name (or folder, or file) to ``Towers``, through open_clip.

``source.py`` finds what is named, ``towers.py`` holds what a model does. Called by ``mmcs.assemble`` and ``checkpoint.py``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmcs.errors import UserError, exit_code_of
from mmcs.model.hub import Hub, hub_access
from mmcs.model.image_size import check_image_size, set_image_size
from mmcs.model.lora import add_adapters
from mmcs.model.source import Source, find_source
from mmcs.model.start import as_folder
from mmcs.model.towers import Towers
from mmcs.model.tuning import freeze_for_adapters, freeze_unreached, recompute_activations, use_channels_last
from mmcs.model.weights import load_pretrained, misfit, safe_reading


def build_towers(
    name: str,
    pretrained: str | None = None,
    *,
    image_size: int | Sequence[int] | None = None,
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
            ``open_clip_config.json`` (also ``local-dir:FOLDER``; no hub is asked), a run or a checkpoint of one, or ``lite0_e5``.
        pretrained: a tag of open_clip, or a file of weights, a run, a checkpoint of mmcs or an OpenCLIP folder; None: random
            weights (folders bring their own).
        image_size: of pictures, in pixels (or height and width); None: the model's own.
        lock_image, lock_text: freeze the trunk, all but its last ``…_unlocked_groups`` / ``…_unlocked_layers``.
        image_dropout, text_dropout: share of trunk features dropped before the heads, in training.
        lora: ``r`` (0: none), ``alpha``, ``dropout``, ``image``, ``text`` (false, true, or which modules: ``add_adapters``).
        grad_checkpointing: recompute activations of trained trunks. compile: ``torch.compile`` trunks, in training only.
        cache_dir: where hub downloads are kept.

    Raises:
        UserError: unknown name or tag, weights of another model, a download that failed, a lock that open_clip lacks.
        DataError: a file of weights that cannot be read.
    """
    adapted = _adapted(lora)
    _check_options(lock_image, lock_image_unlocked_groups, "image", image_dropout, "image" in adapted)
    _check_options(lock_text, lock_text_unlocked_layers, "text", text_dropout, "text" in adapted)
    import open_clip

    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        found, origin = as_folder(name, pretrained, Path(scratch))
        for context in (quiet(), _fixed_seed(), safe_reading()):
            stack.enter_context(context)
        hub = stack.enter_context(hub_access())
        try:
            source = find_source(found, pretrained, Path(scratch))
            if image_size is not None:
                set_image_size(source, image_size)
            clip = open_clip.create_model(source.identifier, cache_dir=cache_dir, **source.arguments)
            if source.weights is not None:
                load_pretrained(clip, source.weights)
            if image_size is not None:
                check_image_size(clip, source, name)
            tokenizer = _tokenizer(source, cache_dir)
        except Exception as error:  # whatever open_clip, timm, transformers or the hub raise about what was named
            if exit_code_of(error) is not None:
                raise
            raise UserError(_sentence(name, pretrained, error, hub)) from error
    config: dict[str, Any] = {"name": origin, "pretrained": pretrained, "model_cfg": source.model_cfg}
    config |= {"preprocess_cfg": _preprocess_cfg(clip), "random": list(source.random)}
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
    use_channels_last(towers)
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


def _sentence(name: str, pretrained: str | None, error: Exception, hub: Hub) -> str:
    what = f"model {name}" + (f" with pretrained {pretrained}" if pretrained else "")
    if (counted := misfit(error)) is not None:
        return f"{what} could not be loaded: the weights are of another model ({counted})."
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    reason = hub.explain(error) or textwrap.shorten(plain, 300, placeholder=" …") or type(error).__name__
    return f"{what} could not be loaded: {reason.rstrip('.')}."


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
