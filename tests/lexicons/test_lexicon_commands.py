"""``mmcs lexicon``: what each command prints and writes, and a sentence with the right exit code for each mistake."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from lexicon_files import dictionary, write

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon

GERMAN = [
    ("dog", "dog /dˈɒɡ/\nHund <masc> [zool.]\n"),
    ("hot dog", "hot dog\nHotdog <masc>\n"),
    ("red", "red <adj>\nrot <adj>\n"),
]


def deb(path: Path, files: Path) -> Path:
    """A Debian package, as its format is specified: an ar archive with data.tar.xz."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for file in sorted(files.iterdir()):
            tar.add(file, f"./usr/share/dictd/{file.name}")
    content = b"!<arch>\n"
    for name, body in (("debian-binary", b"2.0\n"), ("data.tar.xz", data.getvalue())):
        content += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        )
    path.write_bytes(content)
    return path


def fails(capsys: pytest.CaptureFixture[str], code: int, *argv: str) -> str:
    """Runs the command, checks exit code and that one sentence went to standard error, and returns it."""
    assert main(list(argv)) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("mmcs: error: ") and "\n" not in error and "Traceback" not in error
    return error


@pytest.fixture
def small(tmp_path: Path) -> Path:
    entries = {
        "de": {"dog": [("Hund", 1.0)], "red": [("rot", 1.0)], "the": [("der", 1.0)]},
        "fi": {"dog": [("koira", 1.0)]},
    }
    return write(tmp_path / "small.lex", entries)


@pytest.mark.parametrize("form", ["prefix", "index", "folder", "deb", "named"])
def test_build_reads_every_form_of_source(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    prefix = dictionary(tmp_path / "files", GERMAN)
    source = {
        "prefix": str(prefix),
        "index": f"{prefix}.index",
        "folder": str(prefix.parent),
        "deb": str(deb(tmp_path / "dict-freedict-eng-deu_1_all.deb", prefix.parent)),
        "named": f"de={prefix}",
    }[form]
    out = tmp_path / "out" / "de.lex"
    assert main(["lexicon", "build", "freedict", "--source", source, "--out", str(out)]) == 0
    lexicon = Lexicon.open(out)
    assert lexicon.languages == ("de",)
    assert dict(lexicon.items("de")) == {
        "dog": (("Hund", 1.0, "n"),),
        "hot dog": (("Hotdog", 1.0, "n"),),
        "red": (("rot", 1.0, "adj"),),
    }
    (source_header,) = lexicon.header["sources"]
    assert source_header["licence"] == "GPL-2.0-or-later" and "tmp" not in source_header["provenance"]
    assert "3 phrases of en; entries per language: de 3" in capsys.readouterr().out


def test_build_takes_several_languages_by_either_name(tmp_path: Path) -> None:
    dictionary(tmp_path / "files", GERMAN)
    dictionary(tmp_path / "files", [("dog", "dog\nkoira\n")], "freedict-eng-fin")
    dictionary(tmp_path / "files", [("dog", "dog\nhund\n")], "freedict-eng-swe")
    out = tmp_path / "both.lex"
    assert (
        main(["lexicon", "build", "freedict", "deu", "fi", "--source", str(tmp_path / "files"), "--out", str(out)]) == 0
    )
    assert Lexicon.open(out).languages == ("de", "fi")
    assert Lexicon.open(out).languages_of("dog") == ("de", "fi")


def test_mistakes_of_build(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = dictionary(tmp_path / "files", GERMAN)
    build = ("lexicon", "build", "freedict")
    out = ("--out", str(tmp_path / "x.lex"))
    assert "deu (de)" in fails(capsys, 2, *build, "klingon", *out)
    assert "no language is named" in fails(capsys, 2, *build, *out)
    assert "--source takes" in fails(capsys, 3, *build, "--source", str(tmp_path / "nowhere"), *out)
    assert "not a Debian package" in fails(capsys, 3, *build, "--source", str(_bytes(tmp_path / "a.deb")), *out)
    assert "two sources hold de" in fails(
        capsys, 2, *build, "--source", str(prefix), "--source", f"{prefix}.index", *out
    )
    other = dictionary(tmp_path / "other", GERMAN, "mine")
    assert f"--source de={other}" in fails(capsys, 2, *build, "--source", str(other), *out)
    assert "is a folder" in fails(capsys, 2, *build, "--source", str(prefix), "--out", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    without_apt = fails(capsys, 2, *build, "fi", *out)
    assert "no apt-get" in without_apt and "dict-freedict-eng-fin" in without_apt and "--source" in without_apt
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    failing = fails(capsys, 2, *build, "fi", *out)
    assert "E: Unable to locate package" in failing and "--source" in failing
    assert not (tmp_path / "x.lex").exists()


def _bytes(path: Path) -> Path:
    path.write_bytes(b"no package")
    return path


def test_info_shows_counts_sources_and_a_sample(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lexicon", "info", str(small)]) == 0
    shown = capsys.readouterr().out
    for expected in ("3 phrases", "CC0-1.0", "this test", "dog: koira", Lexicon.open(small).header["checksum"]):
        assert expected in shown
    assert main(["lexicon", "info", str(small), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["entries"] == {"de": 3, "fi": 1} and about["sources"][0]["licence"] == "CC0-1.0"
    assert about["sample"]["fi"] == [{"phrase": "dog", "candidates": ["koira"]}]


def test_info_on_what_is_no_lexicon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no lexicon" in fails(capsys, 2, "lexicon", "info", str(tmp_path / "none.lex"))
    assert "not an mmcs lexicon" in fails(capsys, 3, "lexicon", "info", str(_bytes(tmp_path / "no.lex")))


def test_shuffle_writes_a_control(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shuffled.lex"
    assert main(["lexicon", "shuffle", str(small), "--out", str(out), "--seed", "5"]) == 0
    assert Lexicon.open(out).candidates("dog", "de") in ((("rot", 1.0, ""),), (("der", 1.0, ""),))
    capsys.readouterr()
    assert "the lexicon itself" in fails(capsys, 2, "lexicon", "shuffle", str(small), "--out", str(small))


CAPTIONS = ["The dog, a red dog!", "THE cat's hat.", "3 dogs \N{DOG FACE}", "zebra"]


def naive(known: set[str]) -> tuple[float, float, Counter[str]]:
    """Counted with a plain pattern: enough for these captions."""
    stop = {"the", "a", "3"}
    words = [word for text in CAPTIONS for word in re.findall(r"[a-z0-9]+", text.lower().replace("'s", ""))]
    content = [word for word in words if word not in stop]
    return (
        sum(word in known for word in words) / len(words),
        sum(word in known for word in content) / len(content),
        Counter(word for word in content if word not in known),
    )


def test_coverage_of_a_text_equals_a_naive_count(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "captions.txt").write_text("\n".join(CAPTIONS), "utf-8-sig")
    assert main(["lexicon", "coverage", str(small), "--text", str(tmp_path / "captions.txt"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["texts"], result["tokens"], result["content_tokens"]) == (4, 11, 7)
    for language, known in {"de": {"dog", "red", "the"}, "fi": {"dog"}}.items():
        tokens, content, uncovered = naive(known)
        of = result["languages"][language]
        assert of["tokens"] == pytest.approx(tokens) and of["content_tokens"] == pytest.approx(content)
        assert dict(map(tuple, of["uncovered"])) == uncovered
        with_forms = known | {"dogs"} if "dog" in known else known
        tokens, content, uncovered = naive(with_forms)
        assert of["tokens_with_lemmas"] == pytest.approx(tokens)
        assert of["content_tokens_with_lemmas"] == pytest.approx(content)
        assert dict(map(tuple, of["uncovered_with_lemmas"])) == uncovered
    assert "100 commonest words of en" in result["stop_words"]


def test_coverage_counts_the_words_of_phrases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lexicon = write(
        tmp_path / "terms.lex", {"de": {"running shoe": [("Laufschuh", 1.0)]}, "fi": {"box": [("rasia", 1.0)]}}
    )
    (tmp_path / "captions.txt").write_text("Two running shoes in a box\nA running shoe, 5 km\nrunning\n", "utf-8")
    assert main(["lexicon", "coverage", str(lexicon), "--text", str(tmp_path / "captions.txt"), "--json"]) == 0
    german, finnish = json.loads(capsys.readouterr().out)["languages"].values()
    assert german["content_tokens"] == pytest.approx(2 / 6) and german["content_tokens_with_lemmas"] == pytest.approx(
        4 / 6
    )
    assert german["uncovered"] == [["running", 2], ["box", 1], ["shoes", 1]]
    assert german["uncovered_with_lemmas"] == [["box", 1], ["running", 1]]
    assert finnish["content_tokens"] == finnish["content_tokens_with_lemmas"] == pytest.approx(1 / 6)


def test_coverage_of_shards_reads_all_english_captions_and_counts_what_it_cannot(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"0.txt": b"a dog", "0.json": json.dumps({"captions": {"en": ["red dog"], "de": ["Hund"]}}).encode()}
    files |= {"1.txt": b"\xff\xfe", "2.txt": b"zebra", "2.jpg": b"never read"}
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    assert main(["lexicon", "coverage", str(small), "--shards", str(tmp_path / "00000.tar"), "--json"]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert (result["texts"], result["tokens"], result["content_tokens"]) == (3, 5, 4)
    assert result["languages"]["de"]["content_tokens"] == 0.75
    assert result["dropped"]["bad utf-8"]["count"] == 1 and "dropped: 1 x bad utf-8" in shown.err


def test_mistakes_of_coverage(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coverage = ("lexicon", "coverage", str(small))
    assert "there is no text file" in fails(capsys, 2, *coverage, "--text", str(tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_text("\n...\n")
    assert "no word was found" in fails(capsys, 3, *coverage, "--text", str(tmp_path / "empty.txt"))
    (tmp_path / "latin.txt").write_bytes("größe".encode("latin-1"))
    assert "not UTF-8" in fails(capsys, 3, *coverage, "--text", str(tmp_path / "latin.txt"))
    assert "--top" in fails(capsys, 2, *coverage, "--text", str(tmp_path / "empty.txt"), "--top", "-1")
    with pytest.raises(SystemExit, match="2"):
        main([*coverage])
    assert "--shards" in capsys.readouterr().err
