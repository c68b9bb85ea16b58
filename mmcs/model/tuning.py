"""How much of the towers is trained, and at what cost: parts that no gradient reaches, trunks frozen for adapters, memory
formats, recomputed activations. ``build.py`` applies it; locking itself is a method of ``Towers``, adapters are in ``lora.py``.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from mmcs.errors import UserError
from mmcs.model.towers import Towers


def freeze_unreached(towers: Towers) -> None:
    """Has the loss reach whatever is trained, at every step: DDP waits for each gradient.

    Freezes CoCa's caption decoder, which no embedding passes through, and turns off LayerDrop, which leaves out layers of NLLB's
    text tower at random.
    """
    if hasattr(towers.clip, "text_decoder"):
        towers.clip.text_decoder.requires_grad_(False)
    for module in towers.clip.modules():
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0


def check_gradients(towers: Towers) -> None:
    """Checks, after a backward pass, that it reached whatever is trained.

    Raises:
        UserError: weights without a gradient, which would never change (and stop DDP at the second step).
    """
    missed = [name for name, p in towers.named_parameters() if p.requires_grad and p.grad is None]
    if missed:
        owners = [re.sub(r"\.lora_.*|\.[^.]*$", "", name.removeprefix("clip.")) for name in missed]
        modules = dict.fromkeys(re.sub(r"\d+", "N", owner) for owner in owners)
        shown = ", ".join([*list(modules)[:5], *(["…"] if len(modules) > 5 else [])])
        raise UserError(
            f"{len(missed)} trained weights of {towers.config.get('name')} got no gradient in the first step: the model does not "
            f"call {shown} (N a number). Name other modules in model.lora.image and model.lora.text, or lock the tower "
            "(model.lock_image, model.lock_text)."
        )


def use_channels_last(towers: Towers) -> None:
    """Stores the weights of the image tower's convolutions in channels-last order, up to 1.5 times as fast, where that is safe.

    Elsewhere pixels, which are decoded in that order, are brought into the usual one: a convolution takes its input's.
    """
    visual = towers.clip.visual
    towers.channels_last = not any(_overruns_channels_last(module) for module in visual.modules())
    if towers.channels_last:
        visual.to(memory_format=torch.channels_last)


def _overruns_channels_last(module: nn.Module) -> bool:
    """Whether the weight's gradient of a convolution overruns memory in channels-last order on a CPU.

    oneDNN's kernels for strided 1 × 1 convolutions do where the channels do not fill a block of 16 (pytorch#136348, torch 2.15).
    The stems of MobileCLIP have one.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.weight.requires_grad
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.groups == 1
        and module.in_channels % 16 != 0
    )


def freeze_for_adapters(towers: Towers, tower: str) -> None:
    """Freezes the trunk of a tower ("image", "text") that adapters will stand in. What projects its features stays trained,
    unless the tower is locked. Its fingerprint remains that of the weights as they are now.
    """
    image = tower == "image"
    towers.keep_fingerprint(tower)
    projection = [parameter for parameter in _projection(towers.clip, image) if parameter.requires_grad]
    if image:
        towers.lock_image()
        towers.image_locked, towers.image_adapted = False, True
    else:
        towers.lock_text()
        towers.text_locked, towers.text_adapted = False, True
    for parameter in projection:
        parameter.requires_grad_(True)


def _projection(clip: Any, image: bool) -> list[nn.Parameter]:
    """That of open_clip's own towers, which locking freezes with them; other towers have theirs beside the trunk."""
    found = (
        getattr(clip.visual, "proj", None) if image else getattr(getattr(clip, "text", clip), "text_projection", None)
    )
    if isinstance(found, nn.Parameter):
        return [found]
    return list(found.parameters()) if isinstance(found, nn.Module) else []


def recompute_activations(towers: Towers) -> None:
    """Gradient checkpointing (Chen et al. 2016) in the trunks that are trained: less memory for a second forward.

    Raises:
        UserError: a trunk that cannot.
    """
    from open_clip.modified_resnet import ModifiedResNet

    clip: Any = towers.clip
    if not towers.image_locked:
        try:
            if isinstance(clip.visual, ModifiedResNet):
                raise NotImplementedError("a ModifiedResNet has no blocks to recompute")
            getattr(clip.visual, "trunk", clip.visual).set_grad_checkpointing(True)
        except Exception as error:  # timm's models raise what they like
            raise UserError(
                f"model.grad_checkpointing: the image tower of {towers.config.get('name')} cannot recompute its activations "
                f"({str(error) or type(error).__name__}); lower optim.chunk_size instead."
            ) from None
    if not towers.text_locked:
        text = getattr(clip, "text", clip)
        if hasattr(
            text.transformer, "gradient_checkpointing_enable"
        ):  # Hugging Face's: open_clip's call takes no arguments
            text.transformer.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            text.transformer.grad_checkpointing = True
