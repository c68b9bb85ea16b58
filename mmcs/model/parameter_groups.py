"""The optimiser's parameter groups: where weight decay applies, and which learning rate each tower and layer has."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mmcs.errors import UserError
from mmcs.model.towers import Towers

_UNDECAYED = re.compile(r"bias|(^|[._])(bn|ln)(\d|_|\.|$)")
_BLOCK = re.compile(r"(?:^|\.)(?:resblocks|blocks?|layers?|h)\.?(\d+)\.")
_ABOVE = re.compile(r"(^|\.)(attn_?pool\w*|pooler|\w*proj\w*|head|ln_post|ln_final)(\.|$)")
_BELOW = re.compile(r"emb|shared|(^|\.)(conv\d|bn\d|ln_pre)\.")


def parameter_groups(towers: Towers, optim: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups for AdamW, with a learning rate where ``optim`` has more than one.

    Weight decay is open_clip's: none on biases, normalisation and the temperature. With ``layer_decay`` the learning rate of
    a layer is that of the layer above times the factor, from the projection down to the embeddings (BEiT, Bao et al. 2021).

    Args:
        optim: ``lr``, ``weight_decay``, and ``image_lr``, ``text_lr`` (of a tower; None: ``lr``), ``layer_decay`` (None: none).

    Raises:
        UserError: a learning rate for a tower of which nothing is trained, or a layer decay where only last layers are.
    """
    rates = {tower: optim.get(f"{tower}_lr") for tower in ("image", "text")}
    decay = optim.get("layer_decay")
    if decay is None and all(rate is None for rate in rates.values()):
        return decay_groups(towers, optim["weight_decay"])
    groups: dict[str, dict[str, Any]] = {}
    for tower, parameters in _by_tower(towers).items():
        own_rate = rates.get(tower)
        rate = optim["lr"] if own_rate is None else own_rate
        layers = _layers(towers, list(parameters)) if decay is not None and tower in rates else {}
        top = max(layers.values(), default=0)
        trained = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
        if not trained and own_rate is not None:
            raise UserError(
                f"optim.{tower}_lr is {own_rate}, but nothing of the {tower} tower is trained; unlock it or leave the key out."
            )
        for name, parameter in trained.items():
            weight_decay = optim["weight_decay"] if _is_decayed(name, parameter) else 0.0
            layer = layers.get(name, top)
            label = "/".join([tower, *([str(layer)] if layers else []), *([] if weight_decay else ["no_weight_decay"])])
            own = {
                "params": [],
                "lr": rate * (decay or 1.0) ** (top - layer),
                "weight_decay": weight_decay,
                "name": label,
            }
            groups.setdefault(label, own)["params"].append(parameter)
    if decay not in (None, 1) and {group["lr"] for group in groups.values()} <= {optim["lr"], *rates.values()}:
        raise UserError(
            f"optim.layer_decay is {decay}, but only the last layers are trained, the projections; unlock more, or leave the key out."
        )
    return list(groups.values())


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups as open_clip makes them: no decay on biases (of positions, too), normalisation and the temperature."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if _is_decayed(name, p)], "weight_decay": weight_decay},
        {"params": [p for name, p in trained if not _is_decayed(name, p)], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _is_decayed(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim >= 2 and not _UNDECAYED.search(name)


def _by_tower(towers: Towers) -> dict[str, dict[str, nn.Parameter]]:
    """The parameters by their names in ``clip``: of each tower with its projection, and of neither."""
    found: dict[str, dict[str, nn.Parameter]] = {"image": {}, "text": {}, "temperature": {}}
    for name, parameter in towers.clip.named_parameters():
        tower = "image" if name.startswith("visual.") else "temperature" if name.startswith("logit_") else "text"
        found[tower][name] = parameter
    return found


def _layers(towers: Towers, names: Sequence[str]) -> dict[str, int]:
    """The layer of each parameter of a tower: 0 the embeddings, then the blocks in their order, the projection last."""
    if names[0].startswith("visual.") and (trunk := getattr(towers.clip.visual, "trunk", None)) is not None:
        return _timm_layers(trunk, names)
    found = {}
    for name in names:
        if block := _BLOCK.search(name):
            found[name] = int(block[1]) + 1
        else:
            found[name] = 0 if _BELOW.search(name) and not _ABOVE.search(name) else sys.maxsize
    order = {layer: place for place, layer in enumerate(sorted(set(found.values())))}
    return {name: order[layer] for name, layer in found.items()}


def _timm_layers(trunk: Any, names: Sequence[str]) -> dict[str, int]:
    from timm.models import group_parameters
    from timm.optim import auto_group_layers

    if hasattr(trunk, "group_matcher"):
        own = group_parameters(trunk, trunk.group_matcher(coarse=False), reverse=True)
    else:
        own = auto_group_layers(trunk)
    last = max(own.values())
    prefix = "visual.trunk."
    return {name: own.get(name.removeprefix(prefix), last) if name.startswith(prefix) else last + 1 for name in names}
