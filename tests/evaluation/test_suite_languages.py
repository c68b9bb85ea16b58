"""One language, several tags: what a suite has, what a user asks for and what was seen meet in one spelling."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from small_world import add, picture

from mmcs.cli import main
from mmcs.errors import UserError
from mmcs.evaluation import suites
from mmcs.evaluation.suites import caption_loader, open_suites, seen_of_suites
from mmcs.retrieval.languages import language_sets


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    suites._warn.cache_clear()


@pytest.fixture
def suite(tmp_path: Path) -> Any:
    """suite(KEY={…}, …): a folder of one sample per record, whose captions are "in LANGUAGE"."""

    def make(*keys: str, name: str = "suite", texts: str = "txt", samples: int = 4) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        with tarfile.open(folder / "00000.tar", "w") as tar:
            for number in range(samples):
                add(tar, f"{number}.jpg", picture((9 * number, 99, 9), "circle", 20))
                record: dict[str, Any] = {"captions": {key: [f"{number} in {key}"] for key in keys}}
                if texts == "txt":
                    add(tar, f"{number}.txt", f"number {number}".encode())
                else:
                    record[texts] = f"number {number}"
                add(tar, f"{number}.json", json.dumps(record).encode())
        return folder

    return make


def languages(folder: Path, asked: list[str] | None = None) -> list[str]:
    (opened,) = open_suites({"s": str(folder)}, "test", asked)
    return opened.languages


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (["DE", "iw", "zh", "zh_CN", "zh-Hans", "en-US", "pt_BR"], ["en", "de", "he", "pt", "zh-Hans"]),
        (["de-AT"], ["en", "de"]),
        (["pt", "pt-BR"], ["en", "pt", "pt-BR"]),
        (["blip2", "original"], ["en"]),
    ],
)
@pytest.mark.parametrize("counted", ["manifest", "read"])
def test_a_suite_has_each_language_once(suite, keys, found, counted):
    folder = suite(*keys)
    if counted == "manifest":
        (folder / "manifest.json").write_text(json.dumps({"captions": dict.fromkeys(["en", *keys], 4)}))
    assert languages(folder) == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["zh-Hans", "pt-BR"], ["zh-Hans", "pt"]),
        (["PT_br", "zh"], ["pt", "zh-Hans"]),
        (["pt", "EN-gb"], ["en", "pt"]),
        (["zh-CN", "zh-Hans"], ["zh-Hans"]),
    ],
)
def test_a_language_is_found_whatever_its_tag(suite, capsys, asked, found):
    assert languages(suite("pt_BR", "zh_CN"), asked) == found
    assert capsys.readouterr().err == ""


def test_what_no_suite_has_is_said_and_nothing_left_is_an_error(suite, capsys):
    one, other = str(suite("de")), str(suite("fi", name="other"))
    opened = open_suites({"one": one, "other": other}, "test", ["en", "de", "fi", "yo", "zh-TW"])
    assert [own.languages for own in opened] == [["en", "de"], ["en", "fi"]]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "mmcs: warning: no test suite has captions in yo, zh-Hant; not evaluated."
    with pytest.raises(UserError, match=r"suite one has captions in de, en, none of the languages asked for \(fi\)"):
        open_suites({"one": one, "other": other}, "test", ["fi"])


def test_captions_arrive_under_the_languages_of_the_suite(suite):
    (opened,) = open_suites({"s": str(suite("de-AT", "zh_CN", "zh"))}, "test")
    loader = caption_loader(opened.shards, opened.sizes, opened.access, opened.languages)
    (batch,) = loader
    assert batch["captions"][1] == {"en": ["number 1"], "de": ["1 in de-AT"], "zh-Hans": ["1 in zh_CN", "1 in zh"]}


def test_a_suite_may_have_its_own_caption_field(suite):
    folder = str(suite("de", texts="alt"))
    (opened,) = open_suites({"s": [{"shards": folder, "caption": "alt"}]}, "val")
    assert opened.languages == ["en", "de"] and opened.as_dict()["reading"] == {"caption": "alt"}
    with pytest.raises(UserError, match="suite s: unknown key 'captions'"):
        open_suites({"s": [{"shards": folder, "captions": "alt"}]}, "val")


def test_variants_of_a_seen_language_are_seen_and_english_is_no_other_language(suite):
    opened = open_suites({"s": str(suite("DE", "pt", "pt-BR", "en-GB", "zh-TW"))}, "test")
    assert seen_of_suites(["de_DE", "pt", "zh"], opened) == ["de", "pt", "zh-Hans", "pt-BR"]
    sets = language_sets(opened[0].languages, seen_of_suites(["de_DE", "pt", "zh"], opened))
    assert sets["seen"] == ["de", "pt", "pt-BR"] and sets["unseen"] == ["zh-Hant"] and "en" not in sets["non_english"]


def test_evaluate_takes_any_tag_and_field(suite, world, tmp_path, capsys):
    folder = suite("pt_BR", "DE", "iw", texts="alt")
    command = ["evaluate", str(world / "model.json"), "--suite", f"s={folder}", "--caption", "alt", "--no-cache"]
    command += ["--languages", "en-US,pt-PT,de-AT,he,yo", "--seen", "DE", "--out", str(tmp_path / "out")]
    assert main([*command, "--translate-command", "PT=cat", "--centred", f"{folder}"]) == 3, "too few to centre"
    assert main([*command, "--translate-command", "PT=cat", "--translate-command", "fi=cat"]) == 0
    said = capsys.readouterr().err
    assert "no test suite has captions in yo; not evaluated" in said and "nothing is translated from there" in said
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["languages"] == ["en", "pt", "de", "he"] and results["seen_languages"] == ["de"]
    assert {row["query_language"] for row in results["rows"] if row["query_transform"]} >= {"pt"}
    unseen = next(row["languages"] for row in results["rows"] if row.get("language") == "unseen")
    assert unseen == ["pt", "he"]
