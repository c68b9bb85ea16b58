"""FSDP2: towers whose weights, gradients and optimiser states are shared out among the processes.

``shard`` is what the LightningModule applies; ``Sharded`` is the strategy that ``trainer=fsdp`` names: Lightning's, with
checkpoints that can be continued on any number of devices, with or without it. How these are written is
``mmcs.model.sharded_checkpoint``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mmcs.errors import UserError
from mmcs.model import sharded_checkpoint
from mmcs.model.checkpoint_file import read_checkpoint
from mmcs.model.towers import Towers

SCALARS = ("logit_scale", "logit_bias")


def check_precision(trainer: Mapping[str, Any]) -> None:
    """Refuses what FSDP2 cannot do, before anything starts.

    Raises:
        UserError: float16 with a scaled loss.
    """
    strategy = trainer.get("strategy")
    here = isinstance(strategy, Mapping) and str(strategy.get("_target_")).endswith(f".{Sharded.__name__}")
    if here and str(trainer.get("precision")) in ("16-mixed", "16"):
        raise UserError("trainer=fsdp has no trainer.precision=16-mixed: take bf16-mixed, or trainer=ddp.")


def is_sharded(towers: nn.Module) -> bool:
    """Whether ``shard`` was applied to ``towers``."""
    return isinstance(towers, FSDPModule)


def shard(towers: Towers, mesh: DeviceMesh) -> None:
    """Shares ``towers`` out over ``mesh`` (one axis), each transformer block or stage by itself, so that no process ever holds
    more than a few of them whole. Their parameters are DTensors from then on, whole within ``towers.forward``.
    """
    if is_sharded(towers):
        return
    for name in SCALARS:  # FSDP2 takes no parameter without axes
        scalar = getattr(towers.clip, name, None)
        if scalar is not None:
            setattr(towers.clip, name, nn.Parameter(scalar.detach().reshape(1), requires_grad=scalar.requires_grad))
    for parameter in towers.parameters():  # nor one that lies in another order (channels last)
        parameter.data = parameter.data.contiguous()
    for block in _blocks(towers):
        fully_shard(block, mesh=mesh)
    fully_shard(towers, mesh=mesh)


def _blocks(module: nn.Module) -> list[nn.Module]:
    """What stands in the outermost lists (``blocks``, ``resblocks``, ``layer``): the repeated part of a tower."""
    found = []
    for child in module.children():
        if isinstance(child, nn.ModuleList) or (type(child) is nn.Sequential and len(child) > 1):
            # A list of lists has no forward of its own (a stage of a ModuleList); a Sequential has.
            found += [part for part in child if any(True for _ in part.parameters()) and not _is_list(part)]
        else:
            found += _blocks(child)
    return found


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList)


class Sharded(ModelParallelStrategy):
    """All processes on one axis. Optimiser states go by the number of the parameter, as in any other checkpoint."""

    def setup_environment(self) -> None:
        self._data_parallel_size, self._tensor_parallel_size = self.num_nodes * self.num_processes, 1
        super().setup_environment()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        return optimizer.state_dict()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Writes a folder; all processes call it."""
        sharded_checkpoint.write(checkpoint, Path(self.broadcast(filepath)), self._was_scalar)

    def _was_scalar(self, path: tuple[Any, ...]) -> bool:
        if path[0] == "optimizer_states" and len(path) == 5:
            parameters = _parameters(self.optimizers[path[1]])
            return parameters[path[3]].shape == (1,) and path[4] != "step" and path[3] in self._scalar_places(path[1])
        return str(path[-1]).rsplit(".")[-1] in SCALARS

    def _scalar_places(self, optimizer: int) -> set[int]:
        assert isinstance(self.model, nn.Module)
        scalars = {id(p) for name, p in self.model.named_parameters() if name.rsplit(".")[-1] in SCALARS}
        return {i for i, p in enumerate(_parameters(self.optimizers[optimizer])) if id(p) in scalars}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Weights and optimiser states of a folder or file, each process's own part of them, into the model and the optimisers.

        Returns the checkpoint, for what else is in it.

        Raises:
            UserError: no checkpoint of mmcs. DataError: damaged.
        """
        path = Path(self.broadcast(checkpoint_path))
        assert self.lightning_module is not None
        model = self.lightning_module.state_dict()

        def into(key: str) -> Tensor | None:
            kind, _, name = key.partition(".")
            if kind == "state_dict":
                return model.get(name)
            if kind == "optimizer_states" and not name.endswith(".step"):
                optimizer, _, index, _ = name.split(".")
                return torch.zeros_like(_parameters(self.optimizers[int(optimizer)])[int(index)].detach())
            return None

        content = read_checkpoint(path, into)
        with torch.no_grad():
            for name, value in content["state_dict"].items():
                if name in model and value is not model[name]:
                    model[name].copy_(_like(value, model[name]))
        for optimizer, state in zip(self.optimizers, content.get("optimizer_states", ()), strict=False):
            parameters = _parameters(optimizer)
            for index, moments in state["state"].items():
                for name, value in moments.items():
                    if name != "step":
                        moments[name] = _like(value, parameters[index])
            optimizer.load_state_dict(state)
        return content


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    """In the order in which an optimiser's state numbers them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(value: Tensor, target: Tensor) -> Tensor:
    """``value``, a part or whole, shared out as ``target`` is."""
    if isinstance(value, DTensor) or not isinstance(target, DTensor):
        return value
    whole = value.reshape(target.shape).to(target.device)
    return distribute_tensor(whole, target.device_mesh, target.placements, src_data_rank=None)
