"""The temperature of a loss, and SigLIP's bias: where they begin, whether they are learned, how far they may go.

The LightningModule calls it before training and after every step. The values are the towers' own parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmcs.losses.contrastive import ContrastiveLoss
from mmcs.model.towers import Towers

SIGLIP_SCALE = 10.0  # Zhai et al. 2023, section 3.2


def prepare_temperature(towers: Towers, loss: ContrastiveLoss, global_batch: int) -> None:
    """Sets ``towers``' logit scale and bias to where ``loss`` begins, and frees or freezes them.

    With "auto" (SigLIP's), a model that has a bias keeps both as they are; another begins with a scale of 10 and a bias of
    -log(G - 1), at which a pair among ``global_batch`` = G samples is a positive with its own share, 1 / G.
    """
    own_bias = towers.logit_bias is not None
    scale = loss.logit_scale["init"]
    if scale == "auto":
        scale = None if own_bias or not loss.uses_bias else SIGLIP_SCALE
    with torch.no_grad():
        if scale is not None:
            towers.logit_scale.fill_(math.log(scale))
        if loss.uses_bias:
            bias = loss.logit_bias["init"]
            if bias == "auto":
                bias = None if own_bias else -math.log(max(1, global_batch - 1))
            parameter = ensure_bias(towers)
            if bias is not None:
                parameter.fill_(bias)
    towers.logit_scale.requires_grad_(loss.logit_scale["learn"])
    if towers.logit_bias is not None:  # DDP waits for the gradient of whatever may have one
        towers.logit_bias.requires_grad_(loss.uses_bias)


def clamp_temperature(towers: Towers, loss: ContrastiveLoss) -> None:
    """Keeps the scale between 1 and the loss's ``max``, as open_clip does (Radford et al. 2021, section 2.5)."""
    if loss.logit_scale["learn"]:
        with torch.no_grad():
            towers.logit_scale.clamp_(0, math.log(loss.logit_scale["max"]))


def ensure_bias(towers: Towers) -> Tensor:
    """The bias of open_clip's model, which is given one, at 0, where it has none; its configuration names it for exports."""
    if towers.logit_bias is None:
        towers.clip.logit_bias = nn.Parameter(torch.zeros_like(towers.logit_scale))
        towers.config["model_cfg"]["init_logit_bias"] = 0.0
    assert towers.logit_bias is not None
    return towers.logit_bias
