"""The needs of tests are documented, and a machine without them skips those tests by name."""

from pathlib import Path

import pytest
from needs import NEEDS, missing

ROOT = Path(__file__).parents[1]


def test_the_readme_lists_every_need():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert [need for need in NEEDS if need not in readme] == []


def test_a_missing_program_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert missing("Chromium") == "needs Chromium (apt-get install chromium)"


def test_an_unknown_need_is_an_error():
    with pytest.raises(KeyError):
        missing("Chromiun")
