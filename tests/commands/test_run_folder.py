"""Nothing that a run finished is replaced unasked, and nothing of the user's own is removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

import mmcs.finish
from mmcs.errors import UserError
from mmcs.run_folder import check_free, clear, held, write_status
from mmcs.train import main


@pytest.fixture(autouse=True)
def own_cache(world, monkeypatch):
    monkeypatch.setenv("MMCS_CACHE", str(world / "cache"))
    monkeypatch.chdir(world)


def arguments(world: Path, folder: Path | str, *overrides: str) -> list[str]:
    return [
        "data=shards",
        f"data.train_shards={world}/train",
        "data.batch_size=40",
        "data.num_workers=0",
        "model=open_clip",
        f"model.name={world}/model.json",
        "model.lock_image=false",
        "eval=suites",
        f"eval.val={{shapes: {world}/test}}",
        f"eval.test={{shapes: {world}/test}}",
        "eval.untouched=false",
        f"codeswitch.lexicons=[{world}/words.lex]",
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1",
        "callbacks.recall.queries_shown=0",
        f"hydra.run.dir={folder}",
        *overrides,
    ]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """The folder of a run that was preempted in its final evaluation and continued."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMCS_CACHE", str(world / "cache"))
        evaluate = mmcs.finish.evaluate

        def preempted(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGTERM)
            evaluate(*args, **kwargs)

        patch.setattr(mmcs.finish, "evaluate", preempted)
        assert main(arguments(world, folder)) == 143
    status = json.loads((folder / "status.json").read_text())
    assert (status["status"], status["step"], status["code"]) == ("preempted", 2, 143)
    assert "during the final evaluation" in status["sentence"] and "resume=auto repeats" in status["sentence"]
    assert (folder / "checkpoints/last.ckpt").exists() and not (folder / "results.json").exists()
    assert main(arguments(world, folder, "resume=auto")) == 0
    assert json.loads((folder / "status.json").read_text())["status"] == "completed"
    assert (folder / "results.json").exists()
    return folder


def test_the_same_command_again_is_refused(world, finished, capfd):
    before = content(finished)
    assert main(arguments(world, finished)) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"{finished} already holds a run (completed)" in errors
    assert all(way in errors for way in ("resume=auto", "hydra.run.dir", "overwrite=true"))
    assert content(finished) == before


def test_a_completed_run_has_nothing_to_resume(world, finished, capfd):
    before = content(finished)
    assert main(arguments(world, finished, "resume=auto")) == 0
    assert "has completed; there is nothing to do" in capfd.readouterr().err
    assert content(finished) == before


def test_overwrite_replaces_the_run_and_nothing_else(world, finished, tmp_path, capfd):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "checkpoints/notes.txt").write_text("mine")
    (folder / "validation/step_00000099.npz").touch()
    before = content(folder)
    for wrong in (["model.name=nosuch"], ["resume=auto"], [f"resume={folder}"]):
        assert main(arguments(world, folder, "overwrite=true", *wrong)) == 2
        assert content(folder) == before
    assert main(arguments(world, folder, "overwrite=true", "seed=1", "eval.test=null")) == 0
    assert "seed: 1" in (folder / "config.yaml").read_text() and "overwrite" not in (folder / "config.yaml").read_text()
    assert (folder / "checkpoints/notes.txt").read_text() == "mine"
    assert not (folder / "results.json").exists() and not (folder / "validation/step_00000099.npz").exists()
    capfd.readouterr()


def test_a_folder_is_free_while_nothing_is_lost(tmp_path):
    check_free(tmp_path)
    (tmp_path / "config.yaml").write_text("trainer: {max_epochs: 1}\n")
    write_status(tmp_path, "failed")
    check_free(tmp_path)  # a run that failed before its first checkpoint
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    with pytest.raises(UserError, match=r"already holds a run \(failed\)"):
        check_free(tmp_path)
    clear(tmp_path)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_configuration_of_something_else_is_not_replaced(world, tmp_path, capfd):
    (tmp_path / "config.yaml").write_text("theirs: 1\n")
    assert main(arguments(world, tmp_path)) == 2
    assert "is not the configuration of a run" in capfd.readouterr().err
    assert content(tmp_path) == {"config.yaml": b"theirs: 1\n"} and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "mode", [["hydra.run.dir=."], ["hydra.run.dir=new/run"], ["-m", "hydra.sweep.dir=.", "seed=range(3,0)"]]
)
def test_a_failing_command_keeps_the_users_empty_folder(world, tmp_path, monkeypatch, capfd, mode):
    here = tmp_path / "mine/empty"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert main([*arguments(world, "unused")[:-1], "model.name=nosuch", *mode]) == 2
    assert here.is_dir() and not any(here.iterdir())
    capfd.readouterr()


@pytest.mark.parametrize("mode", ["run", "sweep"])
@pytest.mark.parametrize("folder", ["file/run", "/proc/nosuch/run", "null"])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, capfd, mode, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main([*(["-m"] if mode == "sweep" else []), f"hydra.{mode}.dir={folder}"]) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and ("cannot be written" in errors or "is not Optional" in errors), errors
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_held_removes_only_what_it_made(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(UserError), held(mine / "a/b"):
        raise UserError("wrong")
    assert mine.is_dir() and not any(mine.iterdir())
    with held(mine / "a/b"):
        (mine / "a/b/config.yaml").touch()
    assert (mine / "a/b/config.yaml").exists()
