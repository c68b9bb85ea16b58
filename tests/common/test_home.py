"""``~`` means the home folder in every path that is typed: options, overrides, files of configuration."""

from pathlib import Path

import pytest

from mmcs.common.home import with_home
from mmcs.config import compose_config, quoted, resolve


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOME", str(tmp_path))
    return str(tmp_path)


@pytest.mark.parametrize(
    ("typed", "expanded"),
    [
        ("~", "H"),
        ("~/a", "H/a"),
        ("mine=~/a", "mine=H/a"),
        ("~/a::~/b.tar", "H/a::H/b.tar"),
        ("[~/a,~/b]", "[H/a,H/b]"),
        ("{shards: ~/a, caption: text}", "{shards: H/a, caption: text}"),
        ("es=~/bin/translate -x ~/y", "es=H/bin/translate -x H/y"),
        ("file://x/~/y", "file://x/~/y"),
        ("https://host/~user/x.tar", "https://host/~user/x.tar"),
        ("a~/b", "a~/b"),
        ("~nobody-of-this-name/a", "~nobody-of-this-name/a"),
        ("about ~5 dogs", "about ~5 dogs"),
        ("stamps/train~2/00000/7", "stamps/train~2/00000/7"),
    ],
)
def test_home_is_expanded_at_the_start_of_a_path(typed, expanded, home):
    assert with_home(typed) == expanded.replace("H", home)


def test_values_of_all_kinds_are_taken(home):
    given = {"a": [Path("~/x"), None, 3, True], "b": {"c": "~/y"}}
    assert with_home(given) == {"a": [Path(home, "x"), None, 3, True], "b": {"c": f"{home}/y"}}


def test_overrides_and_files_of_configuration(home):
    overrides = ["data=shards", "data.train_shards=[~/a,{shards: ~/b}]", "data_dir=~/data", "resume=~/run"]
    config = resolve(compose_config([*overrides, "eval.val={mine: ~/val}", "eval=suites"]))
    assert config["data"]["train_shards"] == [f"{home}/a", {"shards": f"{home}/b"}]
    assert config["resume"] == f"{home}/run" and config["data_dir"] == f"{home}/data"
    assert config["eval"]["val"] == {"mine": f"{home}/val"}
    assert quoted("hydra.run.dir=~/runs/1") == f"hydra.run.dir={home}/runs/1"
    assert quoted("~hydra/launcher") == "~hydra/launcher"
