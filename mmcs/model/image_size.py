"""``model.image_size``: an image tower built for pictures of another size, with its positional embeddings interpolated by open_clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mmcs.errors import UserError
from mmcs.model.source import Source


def set_image_size(source: Source, size: Any) -> None:
    """Has open_clip build ``source`` for pictures of ``size``, a number of pixels or a height and a width.

    Raises:
        UserError: no size, or one that is no multiple of the tower's patches.
    """
    pair = size if isinstance(size, Sequence) and not isinstance(size, str) else [size, size]
    if len(pair) != 2 or not all(type(n) is int and n > 0 for n in pair):
        raise UserError(f"model.image_size is a number of pixels, or a height and a width as [224,288]; got {size!r}.")
    vision = source.model_cfg["vision_cfg"]
    resnet = isinstance(vision.get("layers"), list)
    patch = 1 if vision.get("timm_model_name") else 32 if resnet else vision.get("patch_size", 16)
    if any(n % patch for n in pair):
        raise UserError(f"model.image_size is {size}: this image tower takes multiples of {patch} pixels.")
    size = list(pair) if pair[0] != pair[1] else pair[0]
    source.own_size = vision.get("image_size", 224)
    source.arguments["force_image_size"] = tuple(size) if isinstance(size, list) else size
    vision["image_size"] = size


def check_image_size(clip: Any, source: Source, name: str) -> None:
    """Checks a tower that was built for another image size.

    Raises:
        UserError: one whose size OpenCLIP's format does not keep, or that cannot take pictures of this size.
    """
    size, vision = source.model_cfg["vision_cfg"]["image_size"], source.model_cfg["vision_cfg"]
    if size != source.own_size and hasattr(getattr(clip.visual, "trunk", None), "set_input_size"):
        raise UserError(
            f"model.image_size is {size}, but the image tower of {name} (timm's {vision['timm_model_name']}) has a size of its own, "
            f"{source.own_size}, that OpenCLIP's format does not change; choose a model of the size that you need "
            "(open_clip.list_models())."
        )
    try:
        with torch.no_grad():
            clip.eval().encode_image(torch.zeros(1, 3, *_pair(size)))
    except Exception as error:  # towers fail as they like
        raise UserError(f"model.image_size is {size}, which the image tower of {name} cannot take ({error}).") from None


def _pair(size: int | Sequence[int]) -> Sequence[int]:
    return (size, size) if isinstance(size, int) else size
