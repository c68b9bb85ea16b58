"""``mmcs lexicon build embeddings``: two languages that are one cloud of points, turned; what comes out is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon
from mmcs.errors import DataError, UserError
from mmcs.lexicons.embeddings import Options, build_embeddings, vocabulary
from mmcs.lexicons.precision import precision
from mmcs.prepare.records import Tally

N, D, ALIKE = 400, 16, 60


def name(i: int) -> str:
    return "".join("abcdefghij"[int(digit)] for digit in f"{i:03d}")


def write(path: Path, words: list[str], matrix: np.ndarray) -> Path:
    rows = [f"{word} " + " ".join(f"{x:.6f}" for x in row) for word, row in zip(words, matrix, strict=True)]
    path.write_text("\n".join([f"{len(rows)} {matrix.shape[1]}", *rows]) + "\n", "utf-8")
    return path


@pytest.fixture
def clouds(tmp_path: Path) -> tuple[Path, Path]:
    """English words e..., German ones D... in another order; the first ``ALIKE`` are spelt alike."""
    random = np.random.default_rng(0)
    source = random.normal(size=(N, D)) * random.uniform(0.5, 2, size=(N, 1))
    rotation, _ = np.linalg.qr(random.normal(size=(D, D)))
    target = (source + 0.05 * random.normal(size=(N, D))) @ rotation
    order = random.permutation(N)
    english = [name(i) if i < ALIKE else "e" + name(i) for i in range(N)]
    german = [name(i) if i < ALIKE else "D" + name(i) for i in order]
    return write(tmp_path / "en.vec", english, source), write(tmp_path / "de.vec", german, target[order])


def dictionary(path: Path, numbers: range) -> Path:
    path.write_text("".join(f"e{name(i)} d{name(i)}\n" for i in numbers) + "unknown unbekannt\n")
    return path


@pytest.mark.parametrize("seeds", ["alike", "dictionary"])
def test_from_two_languages_to_a_lexicon(
    tmp_path: Path, clouds: tuple[Path, Path], seeds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    test, out = dictionary(tmp_path / "test.txt", range(200, 300)), tmp_path / "v.lex"
    argv = ["lexicon", "build", "embeddings", "--source", str(clouds[0]), "--target", f"de={clouds[1]}"]
    argv += ["--test", f"de={test}", "--licence", "CC0-1.0", "--out", str(out), "--device", "cpu"]
    if seeds == "dictionary":
        argv += ["--seed-dictionary", f"de={dictionary(tmp_path / 'seeds.txt', range(60, 120))}"]
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "precision@1 100.0%, precision@5 100.0% on 100 test words (99.0% of" in printed
    lexicon = Lexicon.open(out)
    assert (lexicon.source_language, lexicon.languages, len(lexicon)) == ("en", ("de",), N)
    for i in range(ALIKE, N):
        best, *others = lexicon.candidates("e" + name(i), "de")
        assert best.text == "D" + name(i)  # as German writes it
        assert len(others) == 2 and 1 >= best.weight >= others[0].weight >= others[1].weight > 0
    (source,) = lexicon.header["sources"]
    assert source["licence"] == "CC0-1.0" and "en.vec" in source["provenance"]
    assert source["seed pairs"] == 60 and len(source["refined with"]) == 5
    assert (source["precision@1"], source["precision@5"], source["test words"]) == (1.0, 1.0, 100)
    assert source["test coverage"] == pytest.approx(100 / 101)


def test_regions_of_targets_and_dictionaries_stand_for_their_language(
    tmp_path: Path, clouds: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, seeds = tmp_path / "v.lex", dictionary(tmp_path / "seeds.txt", range(60, 120))
    seeds.write_text("English German\n" + seeds.read_text())
    argv = ["lexicon", "build", "embeddings", "--source", f"en-US={clouds[0]}", "--target", f"de-AT={clouds[1]}"]
    argv += ["--seed-dictionary", f"DE={seeds}", "--out", str(out), "--device", "cpu", "--refine", "1"]
    assert main(argv) == 0
    shown = capsys.readouterr().err
    assert "note: de-AT is taken as de" in shown
    assert "note: line 1 (English, German) is a header, not an entry" in shown
    assert Lexicon.open(out).languages == ("de",) and Lexicon.open(out).source_language == "en"
    assert Lexicon.open(out).header["sources"][0]["seed pairs"] == 60


def test_nn_dot_of_aligned_vectors_is_the_studys_lexicon(tmp_path: Path) -> None:
    """1-best by dot product of the vectors as they are: against numpy, and lengths matter."""
    random = np.random.default_rng(1)
    source, target = (random.normal(size=(n, 5)) * random.uniform(0.2, 3, size=(n, 1)) for n in (30, 40))
    paths = [
        write(tmp_path / f"{tag}.vec", [f"{tag}{name(i)}" for i in range(len(matrix))], matrix)
        for tag, matrix in (("en", source), ("fi", target))
    ]
    options = Options(aligned=True, csls=False, cosine=False, top=1, device="cpu")
    lexicon = Lexicon.open(
        build_embeddings(tmp_path / "v.lex", ("en", paths[0]), {"fi": paths[1]}, licence="CC0-1.0", options=options)
    )
    dots = source @ target.T
    bound = np.linalg.norm(source, axis=1) * np.linalg.norm(target, axis=1).max()
    for i in range(30):
        (candidate,) = lexicon.candidates(f"en{name(i)}", "fi")
        assert candidate.text == f"fi{name(dots[i].argmax())}"
        assert candidate.weight == pytest.approx(dots[i].max() / bound[i], rel=1e-4)


def test_mutual_threshold_and_top(tmp_path: Path) -> None:
    source = np.array([[1.0, 0.0], [0.9, 0.5], [0.0, 1.0]])
    target = np.array([[1.0, 0.0], [0.1, 1.0]])
    paths = [write(tmp_path / "en.vec", ["a", "b", "c"], source), write(tmp_path / "de.vec", ["x", "y"], target)]

    def build(**options: object) -> dict[str, list[str]]:
        given = Options(aligned=True, csls=False, device="cpu", **options)  # type: ignore[arg-type]
        out = build_embeddings(tmp_path / "o.lex", ("en", paths[0]), {"de": paths[1]}, licence="CC0", options=given)
        return {phrase: [c.text for c in candidates] for phrase, candidates in Lexicon.open(out).items("de")}

    assert build(top=3) == {"a": ["x", "y"], "b": ["x", "y"], "c": ["y", "x"]}
    assert build(top=1) == {"a": ["x"], "b": ["x"], "c": ["y"]}
    assert build(top=2, mutual=True) == {"a": ["x"], "c": ["y"]}  # x's own best is a, not b
    assert build(top=2, threshold=0.9) == {"a": ["x"], "c": ["y"]}  # b and x: cosine 0.87
    assert build(top=2, threshold=0.5) == {"a": ["x"], "b": ["x", "y"], "c": ["y"]}
    with pytest.raises(DataError, match="no word of"):
        build(threshold=1.5)
    header = Lexicon.open(tmp_path / "o.lex").header["sources"][0]
    assert header["threshold"] == 0.5 and header["retrieval"] == "nearest neighbour"


def test_vocabulary_keeps_the_most_frequent_spelling() -> None:
    left_out = Tally()
    words = ["</s>", ",", "Hund", "1999", "hund", "New_York", "a\x07b", "3D", "Cafe\u0301", "café", "şey"]
    known = vocabulary(words, "de", left_out)
    assert known.texts == ["Hund", "New York", "3D", "Café", "şey"]
    assert known.keys == ["hund", "new york", "3d", "café", "şey"]
    assert known.rows.tolist() == [2, 5, 7, 8, 10]
    assert left_out.counts == {
        "another spelling of a more frequent word": 2,
        "no letter": 2,
        "markup or control characters": 2,
    }
    assert vocabulary(["IŞIK", "ışık"], "tr", Tally()).keys == ["ışık"]


def test_precision_counts_a_word_once_and_any_of_its_senses() -> None:
    pairs = [("dog", "hund"), ("dog", "rüde"), ("cat", "katze"), ("bird", "vogel"), ("none", "x")]
    found = torch.tensor([[1, 0, 2, 3, 4, 5], [5, 1, 2, 3, 4, 0], [3, 1, 2, 4, 0, 5]])
    target = ["hund", "rüde", "a", "b", "katze", "c"]
    # dog: rüde is first; cat: fifth; bird: never; none: no vector, so it does not count.
    assert precision(iter(pairs), ["dog", "cat", "bird"], target, found) == {
        "precision@1": 1 / 3,
        "precision@5": 2 / 3,
        "test words": 3,
        "test coverage": 3 / 4,
    }
    assert precision([("no", "nein")], ["dog"], target, found[:1])["precision@1"] is None


def test_what_is_left_out_is_told_by_language(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    english = write(tmp_path / "en.vec", [*map(name, range(30)), ",", "AAA"], random.normal(size=(32, 3)))
    german = write(tmp_path / "de.vec", [*map(name, range(30)), "7"], random.normal(size=(31, 3)))
    with german.open("a") as file:
        file.write("cut 1 2\n")
    options = Options(aligned=True, top=1, mutual=True, device="cpu")
    out = build_embeddings(tmp_path / "o.lex", ("en", english), {"de": german}, licence="CC0", options=options)
    left_out = Lexicon.open(out).header["sources"][0]["left_out"]
    counts = {cause: about["count"] for cause, about in left_out.items()}
    assert counts.pop("en: no candidate kept") == 30 - len(Lexicon.open(out))
    assert counts == {
        "en: no letter": 1,
        "en: another spelling of a more frequent word": 1,
        "de: no letter": 1,
        "de: too few numbers": 1,
    }


def test_several_languages_in_one_lexicon(tmp_path: Path, clouds: tuple[Path, Path]) -> None:
    options = Options(refine=1, top=1, device="cpu")
    targets = {"de": clouds[1], "nl": clouds[1]}
    out = build_embeddings(tmp_path / "v.lex", ("en", clouds[0]), targets, licence="CC0-1.0", options=options)
    assert Lexicon.open(out).languages == ("de", "nl")
    assert [source["language"] for source in Lexicon.open(out).header["sources"]] == ["de", "nl"]


MISTAKES = {
    "another width": (["--target", "de={wide}"], 2, "numbers"),
    "no such file": (["--target", "de=none.vec"], 2, "no file of word vectors none.vec"),
    "no language": (["--target", "{de}"], 2, "--target takes a language and a file"),
    "no language tag": (["--target", "123={de}"], 2, "not a language tag"),
    "a test of no target": (["--target", "de={de}", "--test", "fi=x"], 2, "--test names 'fi'"),
    "CSLS of dot products": (["--target", "de={de}", "--similarity", "dot"], 2, "CSLS"),
    "no candidates": (["--target", "de={de}", "--top", "0"], 2, "--top"),
    "no words": (["--target", "de={de}", "--max-words", "0"], 2, "--max-words"),
    "twice": (["--target", "de={de}", "de={de}"], 2, "'de' twice"),
    "too few words alike": (["--target", "de={other}"], 2, "words spelt alike give 0 pairs"),
    "damaged": (["--target", "de={damaged}"], 3, "cannot be used"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_sentence(
    tmp_path: Path, clouds: tuple[Path, Path], mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "wide.vec", ["a"], np.ones((1, D + 1)))
    write(tmp_path / "other.vec", ["x", "y"], np.eye(2, D))
    (tmp_path / "damaged.vec").write_text(f"3 {D}\na 1 2\nb 1 2\nc 1 2\n")
    options, code, sentence = MISTAKES[mistake]
    files = {path.stem: str(path) for path in tmp_path.glob("*.vec")}
    argv = [
        "lexicon",
        "build",
        "embeddings",
        "--source",
        files["en"],
        "--licence",
        "x",
        "--out",
        str(tmp_path / "o.lex"),
    ]
    assert main([*argv, *(option.format(**files) for option in options)]) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("mmcs: error: ") and "\n" not in error and sentence in error
    assert not (tmp_path / "o.lex").exists()


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Options().checked(["de"]) == "cpu"
    with pytest.raises(UserError, match="no GPU"):
        Options(device="cuda").checked(["de"])
