"""Atomic writes: complete or absent, whatever happens in between."""

from __future__ import annotations

import errno
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from mmcs.errors import MmcsError, UserError, exit_code_of, sentence_of
from mmcs.files import atomic_file, atomic_folder, check_writable, disk_errors


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a" / "b.txt"
    with atomic_file(target) as path:
        path.write_text("one")
    with pytest.raises(RuntimeError), atomic_file(target) as path:
        path.write_text("two")
        raise RuntimeError
    assert target.read_text() == "one" and [p.name for p in target.parent.iterdir()] == ["b.txt"]


def test_a_folder_does_not_replace_another(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").touch()
    with pytest.raises(UserError, match="exists already"), atomic_folder(tmp_path / "x"):
        pass


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    code = (
        "import os, sys; from mmcs.files import atomic_folder\n"
        f"with atomic_folder({str(tmp_path / 'out')!r}) as p: (p / 'half').touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert not (tmp_path / "out").exists() and list(tmp_path.glob(".out.*.partial"))
    with atomic_folder(tmp_path / "out") as path:
        (path / "whole").touch()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def save_torch(path: Path) -> None:
    with path.open("wb") as file:
        torch.save(torch.zeros(10**5), file)


WRITERS = {
    "text": lambda path: path.write_text("a" * 10**5),
    "json": lambda path: path.write_text(json.dumps(list(range(10**5)))),
    "torch": save_torch,
    "torch by itself": lambda path: torch.save(torch.zeros(10**5), path),
    "safetensors": lambda path: safetensors.torch.save_file({"a": torch.zeros(10**5)}, path),
    "numpy": lambda path: np.save(path.open("wb"), np.zeros(10**5)),
    "numpy, compressed": lambda path: np.savez_compressed(path.open("wb"), a=np.random.default_rng(0).random(10**5)),
}


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file can be longer than 50 KB: what a full disk does to a write, with another number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_full_disk_is_one_sentence_with_the_targets_name(tmp_path, small_disk, write, kind):
    target = tmp_path / "out"
    if kind == "file":
        target.write_text("before")
    with pytest.raises(OSError) as raised:
        if kind == "file":
            with atomic_file(target) as path:
                write(path)
        else:
            with atomic_folder(target) as path:
                write(path / "part")
    assert exit_code_of(raised.value) == 1
    assert str(target) in sentence_of(raised.value) and ".partial" not in sentence_of(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == (["out"] if kind == "file" else [])
    assert kind == "folder" or target.read_text() == "before"


def test_only_the_disks_errors_are_renamed(tmp_path):
    for error in (
        ValueError("x"),
        OSError(errno.ECONNRESET, "reset"),
        OSError(errno.EIO, "other", "other"),
        UserError("u"),
    ):
        with pytest.raises(type(error)) as raised, disk_errors(tmp_path / "out", tmp_path / "part"):
            raise error
        assert raised.value is error
    for error in (OSError(errno.ENOSPC, "full"), OSError(errno.ENOSPC, "full", str(tmp_path / "part/a"))):
        with pytest.raises(OSError) as raised, disk_errors(tmp_path / "out", tmp_path / "part"):
            raise error
        assert str(raised.value.filename).startswith(str(tmp_path / "out")) and raised.value.errno == errno.ENOSPC
    with pytest.raises(MmcsError) as told, disk_errors(tmp_path / "out"):
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError:
            raise MmcsError("the disk is full") from None
    assert str(told.value) == "the disk is full"


def test_a_path_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for fine in ("new", "new/deep/er", "file", "."):
        check_writable(tmp_path / fine)
    for path, sentence in (
        ("file/x", "file is not a folder"),
        ("file/x/y", "file is not a folder"),
        ("a" * 300, "name too long"),
    ):
        with pytest.raises(UserError, match=rf"cannot be written: (?i:.*{sentence})"):
            check_writable(tmp_path / path)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(UserError, match=r"new/x cannot be written: .* cannot be written to by this user"):
        check_writable(tmp_path / "new/x")


def test_a_file_does_not_replace_a_folder(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/kept").touch()
    with pytest.raises(UserError, match="x is a folder; name a file"), atomic_file(tmp_path / "x"):
        pass
    assert (tmp_path / "x/kept").exists()
