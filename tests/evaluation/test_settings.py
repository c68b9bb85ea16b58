"""What an evaluation ranks beside captions and images: mixed languages, pairs of captions, switched and translated queries."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from mmcs.codeswitch.build import build_strategy
from mmcs.errors import DataError, UserError
from mmcs.evaluation.caption_pairs import CaptionPairs
from mmcs.evaluation.centred import Centred
from mmcs.evaluation.embedding import CaptionEncoder, embed_suite
from mmcs.evaluation.mixed import MixedLanguages, draw_languages
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.suites import captions_by_language, open_suites
from mmcs.evaluation.switched_queries import SwitchedQueries
from mmcs.evaluation.translate_test import TranslateTest, command, dictionary
from mmcs.lexicons.invert import invert_lexicon
from mmcs.model.build import build_towers
from mmcs.prepare.records import Tally

CPU = torch.device("cpu")
LANGUAGES = ("en", "de", "fi", "hi")


def suite(n=80, captions=None, seed=0, missing="hi"):
    """``n`` pictures with a caption in each language, those of ``missing`` for every fourth alone; ids sort otherwise."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 8, generator=draw)
    texts = {}
    for language in LANGUAGES:
        places = range(0, n, 4) if language == missing else range(n)
        own = images[list(places)] + 0.8 * torch.randn(len(places), 8, generator=draw)
        words = [f"{language} {i}" if captions is None else captions[i % len(captions)] for i in places]
        texts[language] = Texts([f"img{i}#0" for i in places], [f"g{i}" for i in places], own, words)
    return Embedded("toy", "test", [f"img{i}" for i in range(n)], [f"g{i}" for i in range(n)], images, texts)


def no_encoder(texts):
    raise AssertionError("nothing is to be embedded anew")


def naive_recall(queries, groups, gallery, gallery_groups, k):
    """Share of queries with a positive before whose place fewer than ``k`` others score as high, by the whole matrix."""
    scores = normalize(queries, dim=1) @ normalize(gallery, dim=1).T
    found = []
    for row, group in zip(scores, groups, strict=True):
        right = torch.tensor([other == group for other in gallery_groups])
        if right.any():
            found.append(float((row[~right] >= row[right].max()).sum() < k))
    return np.mean(found)


def value(rows, metric, **named):
    (row,) = [row for row in rows if row["metric"] == metric and all(row[key] == own for key, own in named.items())]
    return row["value"]


def test_each_pair_of_languages_has_the_recall_of_a_naive_count():
    whole = suite()
    rankings = list(CaptionPairs().rankings(whole, "all_captions", no_encoder, CPU))
    rows = CaptionPairs().rows([ranking.light() for ranking in rankings], seen=())
    assert len(rankings) == 12 and not any(one.about.query_language == one.about.gallery_language for one in rankings)
    singles = []
    for query in LANGUAGES:
        for gallery in LANGUAGES:
            if query != gallery:
                a, b = whole.texts[query], whole.texts[gallery]
                named = {
                    "query_language": query,
                    "gallery_language": gallery,
                    "task": "text_to_text",
                    "setting": "CLIR",
                }
                singles.append(naive_recall(a.embeddings, a.groups, b.embeddings, b.groups, 5))
                assert value(rows, "recall@5", **named) == pytest.approx(singles[-1])
    assert value(rows, "recall@5", query_language="all_pairs") == pytest.approx(np.mean(singles))


def test_a_suite_in_one_language_has_no_pairs_and_no_mixture(tmp_path):
    whole = suite()
    alone = whole.with_texts({"en": whole.texts["en"]})
    for setting in (CaptionPairs(), MixedLanguages(tmp_path)):
        rankings = list(setting.rankings(alone, "all_captions", no_encoder, CPU))
        assert rankings == [] and setting.rows(rankings, seen=()) == []
    assert not any(tmp_path.iterdir())


def test_languages_are_drawn_per_item_uniformly_apart_for_queries_and_gallery_and_from_the_item_alone():
    whole = suite(n=2000)
    drawn = draw_languages(whole, seed=3)
    assert len(drawn) == 2000
    assert all(one.query[0] != one.gallery[0] for one in drawn.values())
    full = [one for group, one in drawn.items() if int(group[1:]) % 4 == 0]
    for side in ("query", "gallery"):
        shares = Counter(getattr(one, side)[0] for one in full)
        assert all(0.19 < shares[language] / len(full) < 0.31 for language in LANGUAGES)
    few = whole.with_texts({language: texts.only(range(5)) for language, texts in whole.texts.items()})
    for group, one in draw_languages(few, seed=3).items():
        if few.texts["hi"].groups.count(group) == whole.texts["hi"].groups.count(group):
            assert drawn[group] == one
    assert draw_languages(whole, seed=4) != drawn


def test_mixed_rankings_have_the_recall_of_a_naive_count_and_a_saved_draw_repeats_them(tmp_path):
    whole = suite()
    first = MixedLanguages(tmp_path / "a", seed=1)
    rankings = [one.light() for one in first.rankings(whole, "first_caption", no_encoder, CPU)]
    rows = first.rows(rankings, seen=())
    drawn = draw_languages(whole, seed=1)

    def side(which):
        chosen = [getattr(one, which) for one in drawn.values()]
        place = {(language, name): i for language, own in whole.texts.items() for i, name in enumerate(own.ids)}
        return torch.stack([whole.texts[one[0]].embeddings[place[one]] for one in chosen]), list(drawn)

    (queries, groups), (gallery, gallery_groups) = side("query"), side("gallery")
    expected = {
        ("mixed", "image"): naive_recall(queries, groups, whole.images, whole.image_groups, 1),
        ("image", "mixed"): naive_recall(whole.images, whole.image_groups, gallery, gallery_groups, 1),
        ("mixed", "mixed"): naive_recall(queries, groups, gallery, gallery_groups, 1),
    }
    assert {(one.about.query_language, one.about.gallery_language) for one in rankings} == set(expected)
    for (query, answers), own in expected.items():
        named = {"query_language": query, "gallery_language": answers, "setting": "MLIR"}
        assert value(rows, "recall@1", **named) == pytest.approx(own)

    again = MixedLanguages(tmp_path / "b", seed=99, draw=tmp_path / "a" / "toy.test.first_caption.mixed.tsv")
    repeated = list(again.rankings(whole, "first_caption", no_encoder, CPU))
    for one, other in zip(rankings, repeated, strict=True):
        assert np.array_equal(one.ranks, other.ranks) and one.query_ids == other.query_ids
    assert (tmp_path / "a" / "toy.test.first_caption.mixed.tsv").read_bytes() == (
        tmp_path / "b" / "toy.test.first_caption.mixed.tsv"
    ).read_bytes()


def test_a_mixed_gallery_tells_each_languages_share_of_the_first_ten(tmp_path):
    whole = suite()
    pull = torch.zeros(8)
    pull[0] = 6.0
    loud = {  # German captions and all images share a direction: German crowds the first places
        language: Texts(own.ids, own.groups, own.embeddings + (pull if language == "de" else 0), own.captions)
        for language, own in whole.texts.items()
    }
    biased = Embedded("toy", "test", whole.image_ids, whole.image_groups, whole.images + pull, loud)
    setting = MixedLanguages(tmp_path)
    rows = setting.rows([one.light() for one in setting.rankings(biased, "all_captions", no_encoder, CPU)], seen=())
    shares = {
        row["language"]: row
        for row in rows
        if row["metric"] == "language_share@10" and row["query_language"] == "image"
    }
    assert set(shares) == set(LANGUAGES)
    assert sum(row["value"] for row in shares.values()) == pytest.approx(1)
    assert sum(row["share_in_gallery"] for row in shares.values()) == pytest.approx(1)
    german = shares["de"]
    assert german["ci95"][0] > german["share_in_gallery"] and german["value"] > 0.8


def test_a_draw_of_other_data_is_refused(tmp_path):
    whole = suite()
    list(MixedLanguages(tmp_path).rankings(whole, "all_captions", no_encoder, CPU))
    draw = tmp_path / "toy.test.all_captions.mixed.tsv"
    with pytest.raises(DataError, match="the draw is of other data"):
        list(MixedLanguages(tmp_path, draw=draw).rankings(suite(n=8), "all_captions", no_encoder, CPU))
    draw.write_text(draw.read_text()[:-4])
    with pytest.raises(DataError, match="not a whole draw"):
        list(MixedLanguages(tmp_path, draw=draw).rankings(whole, "all_captions", no_encoder, CPU))
    with pytest.raises(UserError, match="there is no draw"):
        MixedLanguages(tmp_path, draw=tmp_path / "no.tsv")


@pytest.fixture(scope="module")
def encode(world):
    return CaptionEncoder(build_towers(str(world / "model.json")).eval(), cache=False)


def real_suite(encode):
    """Captions of the small world, embedded by its model; images are what their English captions say, and noise."""
    words = [f"a {colour} {shape}" for colour in ("red", "green", "blue", "black") for shape in ("circle", "line")]
    whole = suite(n=40, captions=words)
    own = whole.texts["en"]
    embeddings = encode(own.captions)
    noise = torch.randn(40, embeddings.shape[1], generator=torch.Generator().manual_seed(1))
    images = embeddings + 0.02 * noise
    return Embedded(
        "toy", "test", whole.image_ids, whole.image_groups, images,
        {"en": Texts(own.ids, own.groups, embeddings, own.captions)},
    )  # fmt: skip


def test_the_encoder_gives_the_towers_embeddings_whatever_the_order_and_doubles(encode):
    texts = ["a red circle", "a line", "a red circle", "", "a very long caption of many words " * 9]
    towers = encode.towers
    for text, row in zip(texts, encode(texts), strict=True):
        with torch.inference_mode():
            torch.testing.assert_close(row, towers.embed_texts(towers.tokenise.encode([text]))[0], atol=1e-6, rtol=0)
    assert encode([]).shape == (0, towers.embed_dim)


def test_switched_queries_lose_nothing_at_p_0_and_tell_what_they_lose_above(world, encode):
    whole = real_suite(encode)
    lexicons = {"strategy": "multilingual", "lexicons": [str(world / "words.lex")]}
    setting = SwitchedQueries(lambda p: build_strategy({**lexicons, "p": p}), [0.5, 1.0])
    rankings = [one.light() for one in setting.rankings(whole, "all_captions", encode, CPU)]
    rows = setting.rows(rankings, seen=())
    assert [one.about.query_transform for one in rankings] == ["switched:0", "switched:0.5", "switched:1"]
    assert rankings[0].query_texts == whole.texts["en"].captions
    assert not any("red" in text.split() for text in rankings[2].query_texts)
    recall = {p: value(rows, "recall@10", query_transform=f"switched:{p}") for p in ("0", "0.5", "1")}
    for p in recall:
        lost = value(rows, "loss_of_recall@10", query_transform=f"switched:{p}")
        assert lost == pytest.approx(recall["0"] - recall[p])
    cosines = [value(rows, "cosine_to_original", query_transform=f"switched:{p}") for p in ("0", "0.5", "1")]
    assert cosines[0] == pytest.approx(1, abs=1e-6) and cosines[0] > cosines[1] > cosines[2]
    original = whole.texts["en"].embeddings
    expected = torch.cosine_similarity(encode(rankings[2].query_texts), original).mean()
    assert cosines[2] == pytest.approx(float(expected), abs=1e-6)


def test_centring_subtracts_each_languages_mean_over_other_captions(world, encode):
    (suite,) = open_suites({"toy": str(world / "test")}, "test")
    whole, _ = embed_suite(encode.towers, suite, cache=False)
    setting = Centred(str(world / "train"))
    rankings = list(setting.rankings(whole, "all_captions", encode, CPU))
    assert {one.about.query_transform for one in rankings} == {"centred"}
    rows = setting.rows(rankings, seen=["de"])
    for language, own in whole.texts.items():
        mean = encode(captions_by_language(str(world / "train"))[language]).mean(0)
        expected = naive_recall(own.embeddings - mean, own.groups, whole.images, whole.image_groups, 1)
        named = {"language": language, "task": "image_retrieval"}
        assert value(rows, "recall@1", **named) == pytest.approx(expected)
    with pytest.raises(DataError, match="fewer than 1000 captions"):
        list(Centred(str(world / "train"), fewest=1000).rankings(whole, "all_captions", encode, CPU))


def invert(world, language, target):
    invert_lexicon(world / "words.lex", language, target, Tally())
    return target


def test_a_dictionary_puts_queries_into_english_and_the_figures_say_so(world, encode, tmp_path):
    language, translate = dictionary(invert(world, "de", tmp_path / "de-en.lex"))
    assert language == "de" and translate(["rot Kreis", "Quadrat unbekannt"]) == ["red Circle", "Square unbekannt"]
    english = real_suite(encode)
    own = english.texts["en"]
    german = {"red": "rot", "green": "grün", "blue": "blau", "black": "schwarz", "circle": "Kreis", "line": "Linie"}
    captions = [" ".join(german.get(word, word) for word in text.split()) for text in own.captions]
    whole = english.with_texts({"en": own, "de": Texts(own.ids, own.groups, encode(captions), captions)})
    setting = TranslateTest("dictionary", {"de": translate, "fr": translate})
    (ranking,) = setting.rankings(whole, "all_captions", encode, CPU)
    assert ranking.about.query_transform == "translate_test:dictionary" and ranking.about.setting == "CLIR"
    assert ranking.query_texts[0].lower() == own.captions[0]
    rows = setting.rows([ranking], seen=["de"])
    direct = naive_recall(encode(ranking.query_texts), own.groups, english.images, english.image_groups, 10)
    assert value(rows, "recall@10", language="de") == pytest.approx(direct)
    assert value(rows, "recall@10", language="seen") == value(rows, "recall@10", language="de")
    with pytest.raises(UserError, match="needs a lexicon into English"):
        dictionary(world / "words.lex")


def test_a_program_translates_line_by_line_or_is_refused_in_a_sentence(tmp_path):
    program = tmp_path / "upper.py"
    program.write_text("import sys\nfor line in sys.stdin: print(line.strip().upper())\n")
    translate = command(f"{sys.executable} {program}")
    assert translate(["ein Hund\nund noch", "größe", ""]) == ["EIN HUND UND NOCH", "GRÖSSE", ""]
    program.write_text("print('one')\n")
    with pytest.raises(UserError, match="made 1 lines of 2"):
        translate(["a", "b"])
    program.write_text("import sys\nsys.exit('no such pair')\n")
    with pytest.raises(UserError, match="ended with exit code 1: no such pair"):
        translate(["a"])
    with pytest.raises(UserError, match="is no program on this machine"):
        command("no-such-translator -u")
    with pytest.raises(UserError, match="cannot be read as a command"):
        command("apertium 'eng")
    with pytest.raises(UserError, match="this one is empty"):
        command(" ")


@pytest.mark.needs("Apertium")
def test_apertium_translates_where_it_is_installed():
    texts = ["el perro come", "la casa roja", "un gato negro"]
    found = command("apertium -u spa-eng")(texts)
    assert len(found) == 3 and "dog" in found[0] and "house" in found[1] and "cat" in found[2]


def test_no_path_of_a_file_leads_outside(tmp_path):
    ranking = next(iter(CaptionPairs().rankings(suite(), "../x", no_encoder, CPU)))
    assert Path(ranking.about.file).name == ranking.about.file and ".." not in ranking.about.file
