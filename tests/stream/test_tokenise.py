"""Token ids against open_clip's own tokenisers, which they must equal."""

from __future__ import annotations

import pickle

import open_clip
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn
from tiny_models import write_bert

from mmcs.stream.tokenise import Tokenise, clean, tokenise

TEXTS = ["a cat", "", "  two\tdogs\n", "Haus &amp; Hund", "кошка\u200cдом", "“red” it’s", "the house " * 30, "नमस्ते"]


@pytest.fixture(scope="module")
def hf_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> HFTokenizer:
    folder = tmp_path_factory.mktemp("hf") / "bert"
    write_bert(folder)
    return HFTokenizer(str(folder), context_length=12)


@pytest.mark.parametrize("trim", [False, True])
def test_hugging_face_ids_equal_open_clips(hf_tokenizer, trim: bool) -> None:
    expected = hf_tokenizer(TEXTS)
    stage = Tokenise(hf_tokenizer, trim=trim)
    for texts, rows in ((TEXTS, expected), (TEXTS[:2], expected[:2])):
        tokens = stage.encode(texts)
        width = int((rows != stage.pad_id).sum(1).max()) if trim else hf_tokenizer.context_length
        assert tokens.dtype == torch.int64 and torch.equal(tokens, rows[:, :width])
    assert torch.equal(hf_tokenizer(TEXTS), expected), "the tokeniser's own call still pads"


def test_own_ids_equal_open_clips() -> None:
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    assert torch.equal(tokenise(tokenizer, TEXTS, trim=True), tokenizer(TEXTS)), "never trimmed: the tower sees padding"


@pytest.fixture(scope="module")
def own_tokenizer():
    return open_clip.get_tokenizer("ViT-B-32")


SEASONED = Tokenise(open_clip.get_tokenizer("ViT-B-32"))
WORDS = [
    "dog",
    "Dog's",
    "we'LL",
    "<end_of_text>",
    "&amp;amp;",
    "don’t",
    "кошка",
    "İstanbul",
    "日本",
    "x" * 90,
    "3rd,",
    "é",
    "Ã©",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=30), max_size=4), st.data())
def test_own_ids_equal_open_clips_whatever_was_read_before(own_tokenizer, captions, data) -> None:
    """Words and blanks of all kinds, in a stage that has seen many captions."""
    blanks = st.sampled_from([" ", "  ", "\t", "\u00a0", "\u2003", "\x1c", "\n", "\u200b"])
    texts = [data.draw(blanks).join(words) for words in captions]
    assert torch.equal(
        SEASONED.encode(texts), own_tokenizer(texts) if texts else torch.empty((0, 77), dtype=torch.long)
    )


def test_what_is_kept_of_words_is_bounded(own_tokenizer, monkeypatch) -> None:
    stage = Tokenise(own_tokenizer)
    monkeypatch.setattr(type(stage._words), "_MOST", 50)
    texts = [f"word{number} {'long' * number}" for number in range(300)]
    assert torch.equal(stage.encode(texts), own_tokenizer(texts))
    assert len(stage._words._ids) <= 50 and len(stage._words._own.cache) <= 60
    assert max(map(len, stage._words._ids)) <= 64
    assert torch.equal(pickle.loads(pickle.dumps(stage)).encode(TEXTS), own_tokenizer(TEXTS))


@pytest.mark.parametrize("options", [{"clean": "canonicalize"}, {"reduction_mask": "simple"}, {"context_length": 9}])
def test_tokenisers_of_other_habits_are_left_to_themselves(options) -> None:
    tokenizer = SimpleTokenizer(**options)
    texts = ["A dog, a cat &amp; <b>two</b> houses!", "a " * 6]
    assert torch.equal(tokenise(tokenizer, texts), tokenizer(texts))


LONG = [*TEXTS, "the house " * 60]


@pytest.mark.parametrize("options", [{}, {"clean": "canonicalize"}, {"reduction_mask": "simple"}])
def test_own_lengths_are_those_of_a_context_that_is_long_enough(options) -> None:
    tokenizer = SimpleTokenizer(**options)
    whole = (tokenizer(LONG, 300) != 0).sum(1).tolist()
    assert Tokenise(tokenizer).lengths(LONG) == whole
    assert max(whole[:-1]) < 77 < whole[-1]


@pytest.mark.parametrize("options", [{}, {"clean": "canonicalize"}])
def test_hugging_face_lengths_are_those_of_a_context_that_is_long_enough(tmp_path, options) -> None:
    write_bert(tmp_path / "bert")
    tokenizer, stage = (HFTokenizer(str(tmp_path / "bert"), context_length=length, **options) for length in (600, 12))
    expected = (tokenizer(LONG) != 1).sum(1).tolist()
    assert Tokenise(stage).lengths(LONG) == expected and max(expected) > 12
    assert torch.equal(Tokenise(stage).encode(LONG), stage(LONG)), "counting leaves no mark"


def test_lengths_count_the_tokens_that_open_clip_adds_itself(tmp_path) -> None:
    """In its mode "clips", a text is truncated when its own ids do not fit beside begin, end and class."""
    write_bert(tmp_path / "bert")
    tokenizer = HFTokenizer(str(tmp_path / "bert"), context_length=12, tokenizer_mode="clips", cls_token="<unk>")
    for words in range(1, 14):
        text = "the " * words
        whole = tokenizer([text], 40)
        fits = torch.equal(whole[whole != 1], (short := tokenizer([text]))[short != 1])
        assert fits == (Tokenise(tokenizer).lengths([text])[0] <= 12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_cleaning_equals_open_clips(text: str) -> None:
    assert clean(text) == get_clean_fn("whitespace")(text)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=127)))
def test_cleaning_of_ascii_equals_open_clips(text: str) -> None:
    assert clean(text) == get_clean_fn("whitespace")(text)


def test_stage_tokenises_every_view_and_survives_a_spawned_worker(hf_tokenizer) -> None:
    stage = pickle.loads(pickle.dumps(Tokenise(hf_tokenizer, trim=True)))
    batch = stage({"texts": [["a cat", "the house and the dog"], ["Katze", "Haus"]], "group": [1, 2]})
    assert [view.shape[0] for view in batch["tokens"]] == [2, 2] and batch["group"] == [1, 2]
    assert stage.pad_id == 1 and stage.fingerprint() == Tokenise(hf_tokenizer).fingerprint()
    assert stage.encode([]).shape[0] == 0
