"""Atomic writes: complete or absent, whatever happens in between."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmcs.errors import UserError
from mmcs.files import atomic_file, atomic_folder


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
