"""The training loss: named terms, each with a weight. The LightningModule calls it; the terms are one file each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmcs.losses.embedded import Embedded


class ContrastiveLoss(nn.Module):
    """The weighted sum of ``terms``; one of weight 0 is not computed.

    Attributes:
        uses_bias, uses_teacher: whether a term reads them.
    """

    def __init__(self, terms: Mapping[str, Any], logit_scale: dict[str, Any], logit_bias: dict[str, Any]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict({name: term for name, term in terms.items() if term.weight})
        self.logit_scale, self.logit_bias = logit_scale, logit_bias
        self.uses_bias = any(getattr(term, "uses_bias", False) for term in self.terms.values())
        self.uses_teacher = any(getattr(term, "uses_teacher", False) for term in self.terms.values())

    def forward(self, embedded: Embedded) -> dict[str, Tensor]:
        """"loss" and every term by name, unweighted."""
        terms = {name: term(embedded) for name, term in self.terms.items()}
        loss = torch.stack([self.terms[name].weight * term for name, term in terms.items()]).sum()
        return {"loss": loss, **terms}
