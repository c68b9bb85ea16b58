"""The demo's settings are the study's, and it replaces its own earlier runs alone."""

import pytest
import yaml

from mmcs.config import compose_config, conf_dir, resolve
from mmcs.demo import ARMS, SETTINGS, remove_earlier
from mmcs.errors import UserError


def test_the_demo_trains_at_the_settings_of_the_study():
    study = yaml.safe_load((conf_dir() / "study.yaml").read_text(encoding="utf-8"))
    of_training = [each for each in study["overrides"] if each.startswith("trainer.")]
    assert sorted(of_training) == sorted(each for each in SETTINGS if each.startswith("trainer."))
    for arm in ARMS:
        config = resolve(compose_config([f"experiment={arm}", *SETTINGS]))
        assert (config["optim"]["lr"], config["trainer"]["max_steps"]) == (0.0005, 600)


def test_only_what_an_earlier_demo_wrote_is_removed(tmp_path):
    for name, file in (("zero_shot", "config.yaml"), ("export", "open_clip_config.json"), ("mine", "notes.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("")
    remove_earlier(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_of_the_same_name_that_no_demo_wrote_is_kept(tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.tex").write_text("")
    with pytest.raises(UserError, match="was not written by mmcs demo"):
        remove_earlier(tmp_path)
    assert (tmp_path / "export" / "thesis.tex").exists()
