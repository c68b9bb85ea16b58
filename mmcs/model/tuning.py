"""How much of the towers is trained, and at what cost in memory: what a loss never reaches, trunks frozen for adapters,
recomputed activations. ``build.py`` applies it; locking itself is a method of ``Towers``, adapters are in ``lora.py``.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from mmcs.errors import UserError
from mmcs.model.towers import Towers


def freeze_unreached(towers: Towers) -> None:
    """Freezes what no embedding passes through: CoCa's caption decoder. (Under DDP every process would wait for its gradients.)"""
    if hasattr(towers.clip, "text_decoder"):
        towers.clip.text_decoder.requires_grad_(False)


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
