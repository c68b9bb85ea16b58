"""The first process that fails is the cause that a run reports, on file systems with and without hard links."""

import errno
import json
import os
from pathlib import Path

import pytest

from mmcs.processes import _tell


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_the_first_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for sentence in ("first", "second"):
        _tell(tmp_path / "failure.json", {"sentence": sentence})
    assert [path.name for path in tmp_path.iterdir()] == ["failure.json"]
    assert json.loads((tmp_path / "failure.json").read_text()) == {"sentence": "first"}
