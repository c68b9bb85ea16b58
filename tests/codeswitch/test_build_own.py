"""A strategy that a configuration names by its class: what it is given, and a sentence where it is none."""

from __future__ import annotations

import pytest

from mmcs.codeswitch.build import build_strategy
from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.strategy import Caption
from mmcs.config import compose_config, resolve
from mmcs.errors import UserError

MODULE = """
from mmcs.codeswitch.words import Dictionary

class Loud(Dictionary):
    def __init__(self, lookup, *, end="!", **options):
        super().__init__(lookup, **options)
        self.end = end
    def __call__(self, caption, draw):
        switched = super().__call__(caption, draw)
        switched.out[-1] += self.end
        return switched

class Strict:
    def __init__(self, lookup, p):
        pass

class Alone:
    pass

class Mute:
    def __init__(self, lookup):
        pass

class Wrong:
    def __init__(self, lookup):
        raise TypeError("a mistake of the class's own")

number = 3
"""


@pytest.fixture
def settings(tmp_path, monkeypatch, world):
    """Of ``codeswitch=own``, in a place where Python finds ``loud.py``."""
    (tmp_path / "loud.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    overrides = [
        "experiment=ml_cs",
        "codeswitch=own",
        "codeswitch.languages=[de]",
        "data=shards",
        "data.train_shards=x",
    ]

    def settings(name, *more):
        wanted = [*overrides, f"codeswitch.strategy={name}", f"codeswitch.lexicons=[{world}/words.lex]", *more]
        whole = resolve(compose_config(wanted))["codeswitch"]
        return {key: value for key, value in whole.items() if key not in ("views", "keep_english", "variants")}

    return settings


def test_it_gets_the_lookup_and_its_options_and_controls_wrap_it(settings):
    caption = Caption("A red dog", {})
    assert build_strategy(settings("loud.Loud"))(caption, Draw(0)).text == "A rot dog!"
    quiet = build_strategy(settings("loud.Loud", "codeswitch.options={p: 0.0, end: '?'}"))
    assert quiet(caption, Draw(0)).text == "A red dog?" and quiet.languages == ("de",)
    dropped = build_strategy(settings("loud.Loud", "codeswitch.control=word_drop"))
    assert dropped(caption, Draw(0)).text == "A dog"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("quiet.Loud", r"codeswitch.strategy=quiet.Loud: quiet cannot be imported \(No module named 'quiet'\)"),
        ("loud.Soft", "loud has no class Soft"),
        ("loud.number", "loud has no class number"),
        ("'..Loud'", "write MODULE.CLASS"),
        ("loud", "codeswitch.strategy is one of bilingual, multilingual"),
        ("loud.Strict", "cannot be made of lookup: missing a required argument: 'p'"),
        ("loud.Alone", "cannot be made of lookup: too many positional arguments"),
        ("loud.Mute", "is no strategy: it has no languages, reads, constant"),
    ],
)
def test_what_is_no_strategy_is_told_in_a_sentence(settings, name, sentence):
    with pytest.raises(UserError, match=sentence):
        build_strategy(settings(name))


def test_options_that_are_not_taken_are_told_and_a_mistake_in_the_class_keeps_its_own_words(settings):
    with pytest.raises(
        UserError, match="cannot be made of lookup, p, speed: got an unexpected keyword argument 'speed'"
    ):
        build_strategy(settings("loud.Strict", "codeswitch.options={p: 0.5, speed: 3}"))
    with pytest.raises(UserError, match="options are keys and values"):
        build_strategy(settings("loud.Loud", "codeswitch.options=3"))
    with pytest.raises(TypeError, match="a mistake of the class's own"):
        build_strategy(settings("loud.Wrong"))
