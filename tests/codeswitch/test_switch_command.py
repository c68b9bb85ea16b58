"""``mmcs switch`` and the strategies by configuration: real .lex files, the command as users type it."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from lexicon_table import WORDS

from mmcs.cli import main
from mmcs.codeswitch.build import STRATEGIES, STUDY, build_strategy, build_switch
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.strategy import Caption
from mmcs.config import compose_config, resolve
from mmcs.errors import UserError
from mmcs.lexicons.format import write_lexicon

SOURCE = {"name": "by hand", "provenance": "this test", "licence": "CC0-1.0"}


def lexicon(path: Path, words=WORDS, source_language="en") -> str:
    entries = {language: {phrase: [(text, 1.0)] for phrase, text in of.items()} for language, of in words.items()}
    return str(write_lexicon(path, entries, source_language=source_language, sources=[SOURCE]))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    """Base forms are written once for this module, not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMCS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def words(tmp_path: Path) -> str:
    return lexicon(tmp_path / "words.lex")


def switch(capsys, *arguments: str) -> list[str]:
    assert main(["switch", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_strategy_on_one_caption(words: str, capsys) -> None:
    def of(*arguments: str) -> list[str]:
        return switch(capsys, "A red hot dog, City!", "--lexicon", words, "--languages", "de", *arguments)

    assert of("--strategy", "bilingual", "--p", "1") == ["A rot Hotdog, Stadt!"]
    assert of("--strategy", "multilingual", "--p", "0", "--n", "2") == ["A red hot dog, City!"] * 2
    assert of("--strategy", "phrases") == ["A rot Hotdog, Stadt!"]
    assert of("--strategy", "phrases", "--max-tokens", "1") == ["A rot hot Hund, Stadt!"]
    assert of("--strategy", "dictionary") == ["A rot Hotdog, Stadt!"]
    assert of("--strategy", "dictionary", "--keep-english", "1") == ["A red hot dog, City!"]
    assert of("--strategy", "dictionary", "--no-content-words-only") == ["Ein rot Hotdog, Stadt!"]
    assert of("--strategy", "dictionary", "--p", "0:0,1:1", "--n", "2") == [
        "A red hot dog, City!",
        "A rot Hotdog, Stadt!",
    ]
    assert of("--strategy", "bilingual", "--p", "1", "--control", "word_drop") == ["A,!"]


def test_the_studys_own_ways_have_names(words: str, capsys) -> None:
    def of(*arguments: str) -> list[str]:
        return switch(capsys, "A red hot dog, Dogs!", "--lexicon", words, "--languages", "de", *arguments)

    assert of("--strategy", "bl_cs", "--p", "1") == of("--strategy", "ml_cs", "--p", "1") == ["Ein rot hot Hund, Dogs!"]
    assert of("--strategy", "wiki_cs") == ["Ein rot Hotdog, Dogs!"]
    assert of("--strategy", "wiki_cs", "--lemmas") == ["Ein rot Hotdog, Hund!"], "what is given counts"
    for name, settings in STUDY.items():
        configured = resolve(compose_config([f"experiment={name}"]))["codeswitch"]
        assert settings == {key: configured[key] for key in settings}


def test_entities_are_decoded_before_the_switch(capsys, tmp_path: Path) -> None:
    own = lexicon(tmp_path / "own.lex", {"de": {"tom": "Kater", "amp": "Verstärker", "football": "Fußball"}})

    def of(text: str) -> list[str]:
        return switch(capsys, text, "--lexicon", own, "--p", "1")

    assert of("Tom &amp; foot\u00adball &amp;quot;Tom&amp;quot;") == ['Kater & Fußball "Kater"']


def test_versions_repeat_for_a_seed_and_differ_between_epochs(words: str, capsys) -> None:
    caption = "a red dog " * 10
    first = switch(capsys, caption, "--lexicon", words, "--n", "5")
    assert first == switch(capsys, caption, "--lexicon", words, "--n", "5")
    assert len(set(first)) == 5
    assert first != switch(capsys, caption, "--lexicon", words, "--n", "5", "--seed", "1")


def test_base_forms_are_looked_up_where_they_are_known(words: str, capsys) -> None:
    def of(strategy: str, *more: str) -> str:
        (line,) = switch(
            capsys, "Dogs", "--lexicon", words, "--languages", "de", "--strategy", strategy, "--p", "1", *more
        )
        return line

    assert [of("bilingual"), of("bl_cs"), of("bl_cs", "--lemmas")] == ["Hund", "Dogs", "Hund"]
    assert [of("dictionary"), of("dictionary", "--no-lemmas")] == ["Hund", "Dogs"]


def test_lines_of_standard_input_and_another_source_language(tmp_path: Path, capsys, monkeypatch) -> None:
    turkish = lexicon(tmp_path / "tr.lex", {"en": {"ışık": "light", "köpek": "dog"}}, "tr")
    lines = "\ufeffIŞIK\r\n\nköpek\n".encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    arguments = ["--lexicon", turkish, "--strategy", "dictionary", "--no-lemmas"]
    assert switch(capsys, *arguments) == ["LIGHT", "", "dog"]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"dog\n\xe4\n")))
    assert main(["switch", *arguments]) == 3
    assert "standard input is not UTF-8 (line 2)" in capsys.readouterr().err


def test_a_terminal_gets_colours_and_a_pipe_plain_text(words: str) -> None:
    """A real terminal (pty): the switched word stands between colour codes, and the languages are named."""
    command = [
        str(Path(sys.executable).parent / "mmcs"),
        "switch",
        "a dog",
        "--lexicon",
        words,
        "--languages",
        "fi",
        "--p",
        "1",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a koira\n"
    reader, writer = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    subprocess.run(command, stdout=writer, env=environment, check=True)
    os.close(writer)
    shown = os.read(reader, 4096).decode()
    os.close(reader)
    assert "\x1b[1;36mkoira\x1b[0m" in shown and "  fi" in shown and "a " in shown


def test_the_page_shows_every_caption_and_counts(tmp_path: Path, words: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a <b>red</b> dog\nzebra\n")))
    page = tmp_path / "page.html"
    switch(capsys, "--lexicon", words, "--strategy", "dictionary", "--languages", "de", "--n", "3", "--html", str(page))
    html = page.read_text("utf-8")
    assert html.count('lang="de"') == 6, "two words in three versions"
    assert "&lt;" in html and "<b>red" not in html, "captions are text, never markup"
    assert "2 captions, 6 versions" in " ".join(html.split()) and "3 of them unchanged" in " ".join(html.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--strategy", "best"], "one of bilingual, multilingual, phrases, dictionary, translate; got 'best'"),
        (["--strategy", "translate"], "reads the translations in shards"),
        (["--max-tokens", "0"], "codeswitch.max_tokens must be a number of words, at least 1, or null; got 0"),
        (["--p", "much"], "--p is a probability, or a curriculum"),
        (["--p", "2"], "between 0 and 1"),
        (["--p", "1:0,0:1"], "whole numbers that rise"),
        (["--language-weights", "de=x"], "--language-weights are languages and numbers"),
        (["--languages", "xx"], "xx, which no lexicon holds"),
        (["--candidates", "best"], "one of first, weighted, uniform"),
        (["--keep", "nowhere.txt"], "there is no file nowhere.txt"),
        (["--n", "0"], "--n is the number of versions"),
        (["--control", "none"], "one of shuffled_lexicon, word_drop"),
    ],
)
def test_mistakes_are_one_sentence(words: str, capsys, arguments, sentence) -> None:
    assert main(["switch", "a dog", "--lexicon", words, *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_lexicons_of_two_source_languages_do_not_mix(tmp_path: Path, words: str) -> None:
    german = lexicon(tmp_path / "de.lex", {"en": {"hund": "dog"}}, "de")
    with pytest.raises(UserError, match="use lexicons of one source language"):
        build_strategy({"strategy": "multilingual", "lexicons": [words, german]})
    with pytest.raises(UserError, match=r"codeswitch.source_language is en, but the lexicons translate from de"):
        build_strategy({"strategy": "multilingual", "lexicons": [german], "source_language": "en"})


def test_the_first_lexicon_that_knows_a_word_wins(tmp_path: Path, words: str) -> None:
    own = lexicon(tmp_path / "own.lex", {"de": {"dog": "Wauwau", "red hot dog": "Scharfer"}})
    settings = {"strategy": "phrases", "languages": ["de"]}
    first = build_strategy({**settings, "lexicons": [own, words]})
    assert first(Caption("a dog, red hot dog", {}), Draw(0)).text == "a Wauwau, Scharfer"
    second = build_strategy({**settings, "lexicons": [words, own]})
    assert second(Caption("a dog, red hot dog", {}), Draw(0)).text == "a Hund, Scharfer"


def test_a_missing_translation_falls_back_as_configured(words: str) -> None:
    settings = {"strategy": "translate", "languages": ["de", "sw"], "lexicons": [words]}
    caption = Caption("a dog", {"sw": ["mbwa"]})

    def texts(**more) -> set[str]:
        strategy = build_strategy(settings | more)
        return {strategy(caption, Draw(i)).text for i in range(50)}

    assert texts() == {"mbwa"}
    assert texts(fallback="source") == {"mbwa", "a dog"}
    assert texts(fallback="dictionary") == {"mbwa", "a Hund"}
    assert texts(fallback={"strategy": "dictionary", "p": 0.0}) == {"mbwa", "a dog"}
    for mistake, sentence in (("google", "one of available, source"), ("multilingual", "none of codeswitch.languages")):
        with pytest.raises(UserError, match=sentence):
            build_strategy(settings | {"languages": ["sw"], "fallback": mistake})
    with pytest.raises(UserError, match="codeswitch=translate uses none"):
        build_strategy(settings | {"control": "shuffled_lexicon"})


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_configured_strategy_is_built_with_all_its_keys(name: str, words: str) -> None:
    """The keys of conf/codeswitch/NAME.yaml are those that the strategy takes: none is ignored, none refused."""
    overrides = [f"codeswitch={name}", f"codeswitch.lexicons=[{words}]", "codeswitch.languages=[de]"]
    settings = resolve(compose_config(overrides))["codeswitch"]
    assert settings["views"] == ["english", "switched"], "the experiment's two views wrap any of them"
    switch, languages = build_switch(settings, seed=0)
    assert switch is not None and languages == ("de",)
    with pytest.raises(UserError, match=f"codeswitch.speed is not an option of codeswitch={name}"):
        build_switch(settings | {"speed": 3}, seed=0)
