"""The losses as their papers write them, over the full matrix, and a batch with duplicates of every kind. For tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from mmcs.losses.embedded import Embedded

NAMES = ("images", "first", "second", "english", "scale", "bias")


def positives(left: Tensor, right: Tensor) -> Tensor:
    """(B, G) bool: equal in any column."""
    return torch.tensor([[any(a == b for a, b in zip(x, y, strict=True)) for y in right] for x in left])


def info_nce(left: Tensor, right: Tensor, scale: Tensor, together: Tensor) -> Tensor:
    """Cross-entropy with the target uniform over a row's positives, the mean of both directions."""
    total = left.new_zeros(())
    for logits, target in ((scale * left @ right.T, together), (scale * right @ left.T, together.T)):
        share = target / target.sum(1, keepdim=True)
        total = total - (share * logits.log_softmax(1)).sum(1).mean()
    return total / 2


def siglip(left: Tensor, right: Tensor, scale: Tensor, bias: Tensor, together: Tensor) -> Tensor:
    """Equation 1 of the paper: labels +1 and -1."""
    sign = torch.where(together, 1.0, -1.0)
    return -logsigmoid(sign * (scale * left @ right.T + bias)).sum() / len(left)


def batch(samples: int = 16, width: int = 6, unique: bool = False) -> dict[str, Tensor]:
    """Leaves (float64) by ``NAMES``, with labels in which groups, captions and texts repeat, or none does."""
    generator = torch.Generator().manual_seed(samples)
    leaves = {name: torch.randn(samples, width, generator=generator, dtype=torch.float64) for name in NAMES[:4]}
    leaves["teacher"] = torch.randn(samples, width, generator=generator, dtype=torch.float64)
    leaves["scale"], leaves["bias"] = torch.tensor(7.3, dtype=torch.float64), torch.tensor(-2.1, dtype=torch.float64)
    every = torch.arange(samples)
    labels = {name: every.clone() for name in ("group", "caption", "text_0", "text_1")}
    if not unique:
        labels["group"][samples // 2 :: 3] = 0
        labels["caption"][-1] = 1
        labels["text_0"] += 100
        labels["text_1"] += 200
        labels["text_1"][3] = labels["text_1"][samples - 2] = 104  # two copies that read as another sample's caption
    return leaves | labels


def embedded(values: dict[str, Tensor], rows: slice) -> tuple[Embedded, dict[str, Tensor]]:
    """Part of a batch, and its leaves, which receive the gradients."""
    leaves = {name: (values[name][rows] if values[name].ndim else values[name]).clone() for name in NAMES}
    for leaf in leaves.values():
        leaf.requires_grad_()
    images, first, second, english = (normalize(leaves[name], dim=1) for name in NAMES[:4])
    return Embedded(
        images=images,
        views=[first, second],
        group=values["group"][rows],
        caption=values["caption"][rows],
        text_id=[values["text_0"][rows], values["text_1"][rows]],
        scale=leaves["scale"],
        bias=leaves["bias"],
        english=english,
        teacher=normalize(values["teacher"][rows], dim=1),
    ), leaves


def term(name: str, part: Embedded) -> Tensor:
    """A term of a batch that is whole."""
    labels = [part.labels(view) for view in (0, 1)]
    if name == "info_nce":
        both = zip(part.views, labels, strict=True)
        return sum(info_nce(part.images, view, part.scale, positives(label, label)) for view, label in both)
    if name == "siglip":
        both = zip(part.views, labels, strict=True)
        return sum(siglip(part.images, view, part.scale, part.bias, positives(label, label)) for view, label in both)
    if name == "text_to_text":
        first, second = part.text_id
        left = torch.stack([part.group, part.caption, first, second, first], dim=1)
        right = torch.stack([part.group, part.caption, first, second, second], dim=1)
        return info_nce(part.views[0], part.views[1], part.scale, positives(left, right))
    return (part.english - part.teacher).pow(2).sum(1).mean()


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    """The loss and its gradient with respect to every leaf; zero where it has none."""
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {"loss": loss.detach()} | dict(zip(leaves, found, strict=True))
