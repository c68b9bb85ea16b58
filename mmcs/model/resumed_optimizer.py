"""An optimiser and a schedule that are resumed with the settings that the run has now.

Torch restores learning rates, decay, betas and base rates from a checkpoint, whatever the configuration says.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mmcs.errors import DataError, UserError


def keep_settings(optimizer: Optimizer) -> None:
    """Has ``optimizer.load_state_dict`` restore moments and steps alone; settings of the groups stay as they are.

    Raises:
        UserError: when a state of other groups is loaded. DataError: when it is malformed.
    """

    def with_own_settings(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        own, saved = optimizer.param_groups, state["param_groups"]
        sizes = [[len(group["params"]) for group in groups] for groups in (own, saved)]
        if sizes[0] != sizes[1]:
            raise UserError(
                f"resume: the optimiser has groups of {sizes[0]} weights, in the checkpoint they are of {sizes[1]}. Keep the "
                "run's model, loss.logit_scale and optim.*_lr and layer_decay, or start a new run from the weights "
                "(model.pretrained=CHECKPOINT)."
            )
        weights = [weight for group in own for weight in group["params"]]
        for number, moments in state["state"].items():
            if moments.keys() != {"step", "exp_avg", "exp_avg_sq"} or not _fits(moments, weights[number]):
                raise DataError(f"the optimiser's state of weight {number} in the checkpoint is malformed.")
        groups = [{**new, "params": old["params"]} for new, old in zip(own, saved, strict=True)]
        return {**state, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(with_own_settings)


def _fits(moments: dict[str, Any], weight: Tensor) -> bool:
    means = [moments["exp_avg"], moments["exp_avg_sq"]]
    step = moments["step"]
    return all(isinstance(mean, Tensor) and mean.shape == weight.shape for mean in means) and (
        isinstance(step, int | float) or (isinstance(step, Tensor) and step.numel() == 1)
    )


class Schedule(LambdaLR):
    """Torch's, whose rates after ``load_state_dict`` are those of the settings now at the step that is resumed."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "base_lrs": self.base_lrs})
        rates = [base * factor(self.last_epoch) for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates
