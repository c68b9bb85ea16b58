"""Phrases that dictionaries list and captions hold by chance."""

from __future__ import annotations

from lexicon_files import dictionary

from mmcs.codeswitch.lexicon import Candidate, Lexicon
from mmcs.lexicons.freedict import build_freedict
from mmcs.lexicons.idioms import CAUSE, idioms


def test_idioms_have_at_most_one_content_word_and_are_no_nouns():
    phrases = {
        "a head": "", "made of": "v", "of course": "adv", "play on": "v",
        "head": "n", "the": "", "hot dog": "", "new year": "", "watering can": "n", "the enemy": "",
    }  # fmt: skip
    german = {phrase: [Candidate("x", 1.0, pos)] for phrase, pos in phrases.items()}
    english = {"the enemy": [Candidate("y", 1.0, "n")], "a head": [Candidate("y", 1.0, "adv")]}
    assert idioms({"de": german, "fi": english}, "en") == {"a head", "made of", "of course", "play on"}
    assert not idioms({"de": german}, "sw"), "no function words are known"


def test_they_are_left_out_of_a_dictionary_and_counted(tmp_path):
    entries = [
        ("a head", "a head /x/\npro Kopf <adv>\n"),
        ("head", "head /x/\nKopf <masc>\n"),
        ("head of state", "head of state /x/\nStaatsoberhaupt <neut>\n"),
    ]
    source = dictionary(tmp_path, entries)
    lexicon = Lexicon.open(build_freedict(tmp_path / "de.lex", ["de"], [source]))
    assert [phrase for phrase, _ in lexicon.items("de")] == ["head", "head of state"]
    assert lexicon.header["sources"][0]["left_out"][CAUSE] == {"count": 1, "examples": ["a head - pro Kopf"]}
