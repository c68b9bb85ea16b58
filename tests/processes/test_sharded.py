"""FSDP2 on real gloo processes: what it trains, what it writes, and that a written folder executes nothing."""

from __future__ import annotations

import enum
import multiprocessing
import pickle
import re
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from mmcs.errors import DataError, MmcsError, UserError
from mmcs.files import replace_path, settled
from mmcs.model import sharded_checkpoint
from mmcs.model.finite import check_weights
from mmcs.model.sharded import _blocks, check_precision, shard


class Clip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.resblocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.conv = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
        self.logit_scale = nn.Parameter(torch.tensor(1.5))


class Model(nn.Module):
    """What ``shard`` needs of towers: ``clip`` with blocks, a scalar, and a weight that lies in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = Clip()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        for block in self.clip.resblocks:
            rows = torch.tanh(block(rows))
        return self.clip.logit_scale.exp().sum() * rows.sum() + self.clip.conv.weight.square().sum()


ROWS = torch.arange(24.0).view(4, 6).sin()


def step(model: Model, rows: torch.Tensor, share: float) -> torch.optim.AdamW:
    """One step with clipped gradients; ``share``: what makes the mean over processes the whole batch's loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, foreach=True)
    (share * model(rows)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    return optimizer


def content(model: Model, optimizer: torch.optim.AdamW) -> dict[str, Any]:
    return {"state_dict": model.state_dict(), "optimizer_states": [optimizer.state_dict()], "step": 3}


def _process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model: Any = Model()
    shard(model, init_device_mesh("cpu", (2,)))
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    # A block's own hook gathers it; the root's gathers what is in no block.
    optimizer = step(model, ROWS[2 * rank : 2 * rank + 2], 1.0)
    scalar = next(i for i, p in enumerate(model.parameters()) if p.shape == (1,))
    written = Path(folder, "last.ckpt")

    def was_scalar(path: tuple[Any, ...]) -> bool:
        return path[-1] == "clip.logit_scale" or (len(path) == 5 and path[3] == scalar and path[4] != "step")

    for _ in range(2):  # the second takes the place of the first
        sharded_checkpoint.write(content(model, optimizer), written, was_scalar)
        dist.barrier()
    spoilt = torch.tensor([float("nan") if rank == 1 else 1.0])
    with pytest.raises(
        MmcsError, match=r"not finite after step 3 \(the first is w\)"
    ):  # in every process, or one would wait
        check_weights({"state_dict": {"w": spoilt}}, 4, processes=2)
    check_weights(content(model, optimizer), 4, processes=2)
    targets = {f"state_dict.{name}": torch.zeros_like(value) for name, value in model.state_dict().items()}
    read = sharded_checkpoint.read(written, targets.get)
    for name, value in model.state_dict().items():
        assert isinstance(read["state_dict"][name], DTensor)
        assert torch.equal(read["state_dict"][name].full_tensor(), value.full_tensor()), name
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A checkpoint that two processes wrote after one step."""
    folder = tmp_path_factory.mktemp("parts")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(rank, str(folder)), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    return folder / "last.ckpt"


def test_one_process_reads_what_two_wrote_and_it_is_what_one_would_have_trained(written):
    """Weights and moments after a clipped step equal one process's; the scalar has no axis outside FSDP2."""
    one = Model()
    # The mean over two processes of a sum over rows each: half of the whole; what is not per row counts once.
    half = torch.optim.AdamW(one.parameters(), lr=0.1, foreach=True)
    (0.5 * (one(ROWS[:2]) + one(ROWS[2:]))).backward()
    torch.nn.utils.clip_grad_norm_(one.parameters(), 0.5)
    half.step()
    expected, read = content(one, half), sharded_checkpoint.read(written)
    assert read["step"] == 3
    assert read["state_dict"].keys() == expected["state_dict"].keys()
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(read["state_dict"][name], value)
    states, wanted = read["optimizer_states"][0], expected["optimizer_states"][0]
    assert states["param_groups"] == wanted["param_groups"] and states["state"].keys() == wanted["state"].keys()
    for index, moments in wanted["state"].items():
        for name, value in moments.items():
            torch.testing.assert_close(states["state"][index][name], value)
    half.load_state_dict(states)


def test_the_blocks_are_what_stands_in_the_outermost_lists():
    model = Model()
    assert _blocks(model) == list(model.clip.resblocks)


class _Deadly:
    def __reduce__(self):
        return (Path.touch, (Path(self.mark),))

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)


def copied(written: Path, target: Path, checksums: bool = False) -> Path:
    """A copy of a checkpoint, without its checksums as an attacker or an older mmcs leaves it."""
    shutil.copytree(written, target)
    for file in () if checksums else target.glob("checksums.*.json"):
        file.unlink()
    return target


@pytest.mark.parametrize("file", [".metadata", "meta.pt", "__0_0.distcp"])
def test_a_malicious_folder_executes_nothing(written, tmp_path, file):
    folder, mark = copied(written, tmp_path / "last.ckpt"), tmp_path / "executed"
    harm = pickle.dumps(_Deadly(mark))
    (folder / file).write_bytes(harm)
    with pytest.raises(DataError, match=r"damaged|is a pickle") as raised:
        sharded_checkpoint.read(folder)
    assert not mark.exists() and "weights_only" not in str(raised.value)
    pickle.loads(harm)
    assert mark.exists()  # it would have


@pytest.mark.parametrize("file", [".metadata", "__0_0.distcp", "__1_0.distcp"])
def test_every_file_of_a_folder_has_a_checksum(written, tmp_path, file):
    folder = copied(written, tmp_path / "last.ckpt", checksums=True)
    sharded_checkpoint.verify(folder)
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    with pytest.raises(DataError, match=rf"the checksum of {re.escape(file)} does not match"):
        sharded_checkpoint.read(folder)
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"{re.escape(file)} is missing"):
        sharded_checkpoint.read(folder)


class _AsPython3112(pickle._Pickler):  # the one in Python, which asks for every object
    """Pickles the members of enumerations as Python 3.11.0 to 3.11.3 do."""

    def reducer_override(self, value: object) -> Any:
        return (getattr, (type(value), value.name)) if isinstance(value, enum.Enum) else NotImplemented


def test_an_index_of_python_3_11_2_is_read(written, tmp_path):
    folder = copied(written, tmp_path / "last.ckpt")
    index = pickle.loads((folder / ".metadata").read_bytes())
    with (folder / ".metadata").open("wb") as file:
        _AsPython3112(file).dump(index)
    assert b"getattr" in (folder / ".metadata").read_bytes()
    read, expected = sharded_checkpoint.read(folder), sharded_checkpoint.read(written)
    for name, value in expected["state_dict"].items():
        assert torch.equal(read["state_dict"][name], value)


@pytest.mark.parametrize("arguments", [(_MEM_FORMAT_ENCODING, "__class__"), (OrderedDict, "fromkeys"), (Path, "touch")])
def test_an_index_names_no_other_attribute(written, tmp_path, arguments):
    class Attribute:
        def __reduce__(self):
            return (getattr, arguments)

    folder = copied(written, tmp_path / "last.ckpt")
    (folder / ".metadata").write_bytes(pickle.dumps(Attribute()))
    with pytest.raises(DataError, match="its index names"):
        sharded_checkpoint.read(folder)


def test_an_index_that_names_what_is_no_tensor_is_refused(written, tmp_path):
    """Torch would unpickle such an entry."""
    from torch.distributed.checkpoint.metadata import BytesStorageMetadata

    folder = copied(written, tmp_path / "last.ckpt")
    index = pickle.loads((folder / ".metadata").read_bytes())
    index.state_dict_metadata["state_dict.clip.logit_scale"] = BytesStorageMetadata()
    (folder / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(DataError, match="names something else than tensors"):
        sharded_checkpoint.read(folder)


def test_plain_values_are_read_without_the_parts(written, tmp_path):
    folder = copied(written, tmp_path / "last.ckpt")
    for part in folder.glob("*.distcp"):
        part.unlink()
    plain, whole = sharded_checkpoint.read_plain(folder), sharded_checkpoint.read(written)
    assert plain["step"] == 3
    assert {k: v.shape for k, v in plain["state_dict"].items()} == {k: v.shape for k, v in whole["state_dict"].items()}


@pytest.mark.parametrize(("before", "after"), [("file", "folder"), ("folder", "file"), ("folder", "folder")])
def test_a_folder_takes_the_place_of_what_stood_there(tmp_path, before, after):
    def make(path: Path, kind: str, text: str) -> Path:
        if kind == "folder":
            path.mkdir()
        (path / "part" if kind == "folder" else path).write_text(text)
        return path

    target = make(tmp_path / "last.ckpt", before, "before")
    replace_path(make(tmp_path / "new", after, "after"), target)
    assert (target / "part" if after == "folder" else target).read_text() == "after"
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    target.rename(tmp_path / ".last.ckpt.before")  # a kill between the two steps
    assert settled(target).exists()


def test_float16_with_a_scaled_loss_is_refused():
    strategy = {"_target_": "mmcs.model.sharded.Sharded"}
    with pytest.raises(UserError, match="bf16-mixed"):
        check_precision({"strategy": strategy, "precision": "16-mixed"})
    check_precision({"strategy": strategy, "precision": "bf16-mixed"})
    check_precision({"strategy": "ddp", "precision": "16-mixed"})
