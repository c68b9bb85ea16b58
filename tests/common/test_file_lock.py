"""Locks hold between processes; without them a run, a cache and an embed command work, with one warning."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmcs.common import file_lock
from mmcs.common.file_lock import try_lock
from mmcs.errors import UserError
from mmcs.evaluation.unfinished import unfinished_folder
from mmcs.run_folder import held
from mmcs.stream.shard_cache import ShardCache
from mmcs.stream.stores import Version


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)
    file_lock._warn.cache_clear()
    yield
    file_lock._warn.cache_clear()


def test_a_lock_is_held_by_one_and_ends_with_its_descriptor(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_lock(first, "") is True
    assert try_lock(second, "") is False
    os.close(first)
    assert try_lock(second, "") is True
    os.close(second)


def test_another_failure_is_raised() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        try_lock(1_000_000, "")


def test_without_locks_there_is_one_warning(
    without_locks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "lock").open("w") as file:
        assert [try_lock(file.fileno(), "work continues") for _ in range(3)] == [None] * 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mmcs: warning: the file system cannot lock files (")
    assert line.endswith("): work continues.")


def test_a_run_begins_without_locks(without_locks: None, tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


def test_a_folder_is_written_without_locks(without_locks: None, tmp_path: Path) -> None:
    with unfinished_folder(tmp_path / "out", {"model": "m"}) as folder:
        (folder.path / "rows").write_text("1")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rows"]


def test_a_shard_is_not_kept_without_locks_and_nothing_waits(without_locks: None, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path / "cache", 1000, patience=1e9)
    assert cache.open("https://host/a.tar", Version(3, "1"), lambda file: pytest.fail("copied")) is None


def test_a_folder_is_written_by_one_process(tmp_path: Path) -> None:
    with (
        unfinished_folder(tmp_path / "out", {}) as folder,
        pytest.raises(UserError, match="another process is writing"),
    ):
        folder.save("rows", {"n": 1})
        with unfinished_folder(tmp_path / "out", {}):
            pass
