"""The training loss: named terms, each with a weight. The LightningModule calls it; the terms are one file each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmcs.errors import UserError
from mmcs.losses.embedded import Embedded


class ContrastiveLoss(nn.Module):
    """The weighted sum of ``terms``; a term of weight 0 is left out and costs nothing.

    A term is a module with a ``weight`` that maps ``Embedded`` to a scalar: this process's part times the number of processes,
    so that the mean over processes is the term of the whole batch. What else it needs it says: ``uses_bias``, ``uses_teacher``.

    Args:
        terms: by name.
        logit_scale: ``init`` (a number; None: the model's own; "auto": see ``prepare_temperature``), ``learn``, and ``max``,
            above which the scale does not go.
        logit_bias: ``init`` (a number, None or "auto"), for a loss that has one.
        own: further terms, of the user's own.

    Raises:
        UserError: no term with a weight, a negative weight, two terms of one name, or a temperature out of range.
    """

    def __init__(
        self,
        terms: Mapping[str, Any],
        logit_scale: Mapping[str, Any],
        logit_bias: Mapping[str, Any],
        own: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name in own or ():
            if name in (*terms, "loss"):
                raise UserError(f"loss.own.{name}: there is a {name} already; give the term another name.")
        terms = {**terms, **(own or {})}
        for name, term in terms.items():
            if not _is_number(term.weight) or term.weight < 0:
                raise UserError(f"loss.terms.{name}.weight is a number, 0 (left out) or more; got {term.weight!r}.")
        self.terms = nn.ModuleDict({name: term for name, term in terms.items() if term.weight})
        if not self.terms:
            raise UserError("every term of the loss has weight 0; give loss.terms.image_text.weight=1, say.")
        self.logit_scale, self.logit_bias = dict(logit_scale), dict(logit_bias)
        self._check()
        self.uses_bias = any(getattr(term, "uses_bias", False) for term in self.terms.values())
        self.uses_teacher = any(getattr(term, "uses_teacher", False) for term in self.terms.values())

    def _check(self) -> None:
        most, first, bias = self.logit_scale["max"], self.logit_scale["init"], self.logit_bias["init"]
        if not _is_number(most) or most < 1:
            raise UserError(f"loss.logit_scale.max is a number, at least 1; got {most!r}.")
        if first not in (None, "auto") and not (_is_number(first) and 0 < first <= most):
            raise UserError(
                f"loss.logit_scale.init is a number above 0 and at most loss.logit_scale.max ({most}), auto, or null for the "
                f"model's own; got {first!r}."
            )
        if bias not in (None, "auto") and not _is_number(bias):
            raise UserError(f"loss.logit_bias.init is a number, auto, or null for the model's own; got {bias!r}.")
        if not isinstance(self.logit_scale["learn"], bool):
            raise UserError(f"loss.logit_scale.learn is true or false; got {self.logit_scale['learn']!r}.")

    def forward(self, embedded: Embedded) -> dict[str, Tensor]:
        """Every term by name, as it is, and "loss", their weighted sum; scalars."""
        terms = {name: term(embedded) for name, term in self.terms.items()}
        weighed = [self.terms[name].weight * term for name, term in terms.items()]
        # DDP waits for the gradient of every parameter, of a tower that no term reads (text to text alone), too.
        read = [embedded.images, *embedded.views, embedded.scale]
        unread = [tensor.sum() * 0 for tensor in read if tensor.requires_grad]
        return {"loss": torch.stack([*weighed, *unread]).sum(), **terms}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
