"""Damaged, malformed and malicious checkpoints end in one sentence, and nothing in them is executed."""

from __future__ import annotations

import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcs.errors import DataError, MmcsError, UserError
from mmcs.model.checkpoint import load_model
from mmcs.model.checkpoint_file import read_checkpoint, read_plain, verify_checkpoint, write_checkpoint
from mmcs.model.run_checkpoints import best_checkpoint, check_good


def content(**changes: Any) -> dict[str, Any]:
    config = {"model": {"name": "ViT-B-32"}, "eval": {"seen_languages": ["de"]}, "codeswitch": {"lexicons": []}}
    extras = {"format": 1, "config": config, "image_fingerprint": None, "text_fingerprint": "x"}
    loop = {"epoch_loop.batch_progress": {"current": {"ready": 3}, "is_last_batch": False}}
    loop |= {"epoch_progress": {"current": {"processed": 0}}, "state_dict": {"combined_loader": []}}
    state = {"towers.a": torch.arange(6.0).view(2, 3), "towers.b": torch.tensor(0.5)}
    scores = {"KeepBest": {"monitor": "r", "scores": {"best-step=3.ckpt": 0.5}}}
    whole = {"mmcs": extras, "state_dict": state, "loops": {"fit_loop": loop}, "optimizer_states": [{"state": {}}]}
    return {**whole, "callbacks": scores, "global_step": 3, **changes}


def of_other(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        whole = content()
        change(whole)
        torch.save(whole, path)

    return spoil


def rezip(path: Path, compression: int) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(torch.arange(6.0).numpy().tobytes()) + 9] ^= 1
    path.write_bytes(data)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")


class Deadly:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


SPOILT: dict[str, tuple[Callable[[Path], Any], type, str]] = {
    "empty": (lambda path: path.write_bytes(b""), DataError, "the file is empty"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-30]), DataError, "it is truncated, or no checkpoint"),
    "text": (lambda path: path.write_text("hello"), DataError, "it is a text file"),
    "a flipped bit": (flip, DataError, "the checksum of .*data/0 does not match"),
    "another zip": (write_zip, DataError, "has no data.pkl"),
    "compressed": (lambda path: rezip(path, zipfile.ZIP_DEFLATED), DataError, "compressed members"),
    "a raw pickle": (lambda path: path.write_bytes(pickle.dumps(Deadly())), DataError, "is a pickle, which is never loaded"),
    "an object": (of_other(lambda c: c.update(x=Deadly())), DataError, "more than plain values and tensors"),
    "a class": (lambda path: torch.save(Path, path), DataError, "more than plain values and tensors"),
    "a list": (lambda path: torch.save([1, 2], path), UserError, "no checkpoint of mmcs"),
    "a tensor": (lambda path: torch.save(torch.ones(3), path), UserError, "no checkpoint of mmcs"),
    "another's": (lambda path: torch.save({"state_dict": {}}, path), UserError, "no checkpoint of mmcs"),
    "a newer one": (of_other(lambda c: c["mmcs"].update(format=9)), DataError, "newer mmcs"),
    "no format": (of_other(lambda c: c["mmcs"].pop("format")), DataError, "mmcs.format must be a whole number"),
    "a model that is none": (of_other(lambda c: c["mmcs"]["config"].update(model=3)), DataError, "config.model"),
    "a section that is none": (of_other(lambda c: c["mmcs"]["config"].update(eval=[1])), DataError, "config.eval"),
    "tensors in the configuration": (of_other(lambda c: c["mmcs"]["config"].update(seed=torch.ones(1))), DataError, "JSON"),
    "languages": (of_other(lambda c: c["mmcs"]["config"]["eval"].update(seen_languages=[3])), DataError, "list of texts"),
    "no weights": (of_other(lambda c: c.pop("state_dict")), DataError, "state_dict must hold tensors by name"),
    "weights that are none": (of_other(lambda c: c["state_dict"].update(a=3)), DataError, "must hold tensors by name"),
    "a forged size": (of_other(lambda c: c["state_dict"].update(a=torch.ones(1).expand(10**12))), DataError, "larger than its"),
    "another place": (of_other(lambda c: c["mmcs"].update(wise_ft={"alpha": 1, "of": "../x"})), DataError, "wise_ft"),
    "an endless tree": (of_other(lambda c: c.update(x=c)), UserError, ""),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "error", "sentence"), SPOILT.values(), ids=SPOILT)
def test_every_spoilt_file_gets_one_sentence(tmp_path, monkeypatch, spoil, error, sentence):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.ckpt"
    write_checkpoint(content(), path)
    verify_checkpoint(path)
    spoil(path)
    if not sentence:
        assert read_checkpoint(path)["x"]["x"]
        return
    for load in (read_checkpoint, load_model):
        with pytest.raises(error, match=sentence) as raised:
            load(path)
        told = str(raised.value)
        assert str(path) in told and "\n" not in told and "weights_only" not in told, told
    assert not (tmp_path / "executed").exists()


def test_a_folder_without_parts_gets_one_sentence(tmp_path):
    (tmp_path / "x.ckpt").mkdir()
    (tmp_path / "x.ckpt/meta.pt").write_bytes(b"x")
    with pytest.raises(DataError, match="it is a text file"):
        load_model(tmp_path / "x.ckpt")
    with pytest.raises(DataError, match=r"it has no meta\.pt"):
        (tmp_path / "x.ckpt/meta.pt").unlink()
        read_plain(tmp_path / "x.ckpt")


def test_wise_ft_weights_that_name_themselves_are_refused(tmp_path):
    path = tmp_path / "best-wise_ft.ckpt"
    whole = content()
    whole["mmcs"]["wise_ft"] = {"alpha": 0.5, "of": path.name}
    write_checkpoint(whole, path)
    with pytest.raises(DataError, match="does not hold trained weights"):
        load_model(path, alpha=0.5)


JUNK = [
    None,
    -1,
    10**30,
    float("nan"),
    "",
    b"x",
    [],
    {},
    [[1]],
    {1: 2},
    True,
    torch.zeros(2),
    torch.zeros(1).expand(10**9),
]


def _mutated(draw: random.Random, whole: dict[str, Any]) -> dict[str, Any]:
    """``whole`` with one part, anywhere in its tree, taken out or replaced by junk."""

    def parts(value: Any) -> list[tuple[Any, Any]]:
        own = [(value, key) for key in value] if isinstance(value, dict) else []
        own += [(value, place) for place in range(len(value))] if isinstance(value, list) else []
        return own + [part for holder, key in own for part in parts(holder[key])]

    holder, key = draw.choice(parts(whole))
    if draw.random() < 0.3:
        del holder[key]
    else:
        holder[key] = draw.choice(JUNK)
    return whole


@pytest.mark.parametrize("seed", range(4))
def test_any_change_of_a_checkpoint_is_read_or_refused_in_a_sentence(tmp_path, seed):
    draw = random.Random(seed)
    path = tmp_path / "checkpoints/best-step=3.ckpt"
    path.parent.mkdir()
    for _ in range(60):
        torch.save(_mutated(draw, content()), path)
        for use in (read_checkpoint, read_plain, check_good):
            try:
                use(path)
            except MmcsError as error:
                assert "\n" not in str(error)
        assert best_checkpoint(tmp_path) == path


def test_what_older_versions_wrote_is_read(tmp_path):
    """Without a state of callbacks, and by torch's default options; the same file is readable by torch alone."""
    old = {key: value for key, value in content().items() if key != "callbacks"}
    torch.save(old, tmp_path / "x.ckpt")
    assert json.dumps(read_checkpoint(tmp_path / "x.ckpt")["mmcs"]) == json.dumps(old["mmcs"])
    write_checkpoint(content(), tmp_path / "y.ckpt")
    assert torch.load(tmp_path / "y.ckpt", weights_only=True)["global_step"] == 3
