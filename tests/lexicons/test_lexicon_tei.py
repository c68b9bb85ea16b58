"""FreeDict's TEI XML: the same senses as the dictd files give, from any language; hostile and damaged XML is refused."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from lexicon_files import dictionary

from mmcs.cli import main
from mmcs.codeswitch.lexicon import Lexicon
from mmcs.errors import DataError, UserError
from mmcs.lexicons.freedict import build_freedict
from mmcs.lexicons.senses import translations
from mmcs.lexicons.tei import TeiDictionary
from mmcs.prepare.records import Tally

HEADER = (
    "<teiHeader><fileDesc><titleStmt><title>English-Test\n Dictionary</title></titleStmt><editionStmt><edition>1.2</edition>"
    "</editionStmt><publicationStmt><availability><p>Available under the terms of the <ref target='https://x.invalid/gpl'>GNU "
    "General Public License ver. 3 (or at your option) any later version</ref>.</p></availability></publicationStmt></fileDesc>"
    "</teiHeader>"
)
DOG = (
    "<entry><form><orth>dog</orth><pron>dɒɡ</pron></form><gramGrp><pos>n</pos></gramGrp>"
    "<sense><cit type='trans' xml:lang='de'><quote>Hund</quote><quote>Köter (ugs.)</quote></cit><def>an animal</def></sense>"
    "</entry>"
)


def tei(folder: Path, body: str, *, header: str = HEADER, prolog: str = "", name: str = "eng-deu.tei") -> Path:
    path = folder / name
    xml = f"<?xml version='1.0' encoding='UTF-8'?>{prolog}<TEI xmlns='http://www.tei-c.org/ns/1.0'>{header}"
    path.write_text(f"{xml}<text><body>{body}</body></text></TEI>", "utf-8")
    return path


def read(path: Path, left_out: Tally | None = None, source: str = "en") -> list[tuple[str, str, int, tuple[str, ...]]]:
    tally = Tally() if left_out is None else left_out
    return [(s.phrase, s.pos, s.number, s.texts) for s in TeiDictionary(path).senses("de", tally, source)]


ENTRIES = {
    "several quotes, remarks in brackets": (DOG, [("dog", "n", 0, ("Hund", "Köter"))]),
    "several spellings; inflected forms are none": (
        "<entry><form><orth>colo(u)r</orth><orth>COLOR-1 (rare)</orth><form type='infl'><orth>colours</orth></form></form>"
        "<sense><cit type='trans'><quote>Farbe</quote></cit></sense></entry>",
        [(word, "", 0, ("Farbe",)) for word in ("colour", "color", "color-1")],
    ),
    "a part of speech per sense, nested senses": (
        "<entry><form><orth>run</orth></form><sense n='1'><gramGrp><pos>noun</pos></gramGrp><sense><cit type='trans'><quote>Lauf"
        "</quote></cit></sense></sense><sense><gramGrp><pos value='verb'/></gramGrp><cit type='trans'><quote>laufen</quote></cit>"
        "<sense><cit type='trans'><quote>rennen, eilen</quote></cit></sense></sense></entry>",
        [("run", "n", 0, ("Lauf",)), ("run", "v", 1, ("laufen",)), ("run", "v", 2, ("rennen", "eilen"))],
    ),
    "homographs in one entry; the infinitive's particle": (
        "<entry><form><orth>to saw</orth></form><hom><gramGrp><pos>v</pos></gramGrp><sense><cit type='translation'><quote>sägen"
        "</quote></cit></sense></hom></entry>",
        [("saw", "v", 0, ("sägen",))],
    ),
    "old elements, outside any sense": (
        "<entry><form><orth>old</orth></form><trans><tr>alt</tr></trans><trans><tr>betagt</tr></trans></entry>",
        [("old", "", 0, ("alt", "betagt"))],
    ),
    "examples and related entries are no translations": (
        "<entry><form><orth>run</orth></form><sense><cit type='example'><quote>a run</quote><cit type='trans'><quote>ein Ding"
        "</quote></cit></cit><cit type='trans'><quote>Lauf<note>Sport</note></quote></cit></sense><re><form><orth>run off</orth>"
        "</form><sense><cit type='trans'><quote>weglaufen</quote></cit></sense></re></entry>",
        [("run", "", 0, ("Lauf",))],
    ),
    "a gender on the side of the translation": (
        "<entry><form><orth>sun</orth></form><sense><cit type='trans'><quote>Sonne</quote><gramGrp><gen>fem</gen></gramGrp></cit>"
        "</sense></entry>",
        [("sun", "n", 0, ("Sonne",))],
    ),
    "entries inside a superEntry and a div": (f"<div><superEntry>{DOG}</superEntry></div>", [("dog", "n", 0, ("Hund", "Köter"))]),
}  # fmt: skip


@pytest.mark.parametrize("style", ENTRIES)
def test_each_style_gives_its_words_and_nothing_else(tmp_path: Path, style: str) -> None:
    body, expected = ENTRIES[style]
    assert read(tei(tmp_path, body)) == expected


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    body = (
        "<entry><form><orth>a b c d e</orth></form><sense><cit type='trans'><quote>x</quote></cit></sense></entry>"
        "<entry><form><orth>go</orth></form><sense><cit type='trans' xml:lang='fr'><quote>aller</quote></cit></sense></entry>"
        "<entry><form><orth>gone</orth></form><sense><def>left</def></sense></entry>"
        "<entry><form><orth> </orth></form>nameless</entry>"
    )
    left_out, dictionary = Tally(), TeiDictionary(tei(tmp_path, body + DOG * 2))
    assert len(list(dictionary.senses("de", left_out, "en"))) == 2
    assert left_out.counts == {
        "headword of more than 4 words": 1,
        "translation into another language": 1,
        "no translation of at most 4 words": 2,
    }
    assert dictionary.damaged.as_dict() == {"entry without a headword": {"count": 1, "examples": ["entry 4: nameless"]}}
    with pytest.raises(DataError, match="2 of 3 entries have no headword"):
        read(tei(tmp_path, "<entry/>" * 2 + DOG))


def test_tei_and_dictd_build_the_same_entries(tmp_path: Path) -> None:
    body = DOG.replace("</quote></cit>", "</quote></cit><xr/>") + (
        "<entry><form><orth>red</orth></form><gramGrp><pos>adj</pos></gramGrp><sense><cit type='trans'><quote>rot</quote></cit>"
        "</sense><sense><cit type='trans'><quote>rothaarig</quote></cit></sense></entry>"
    )
    listed = [
        ("dog", "dog /dɒɡ/ <n>\nHund, Köter (ugs.)\n see: {dogs}\n"),
        ("red", "red <adj>\n1. rot\n2. rothaarig\n"),
    ]
    from_tei = Lexicon.open(build_freedict(tmp_path / "tei.lex", [], [tei(tmp_path, body)]))
    from_dictd = Lexicon.open(build_freedict(tmp_path / "dictd.lex", [], [dictionary(tmp_path / "dictd", listed)]))
    assert list(from_tei.rows()) == list(from_dictd.rows())
    assert {c.pos for _, _, found in from_tei.rows() for c in found} == {"n", "adj"}
    (source,) = from_tei.header["sources"]
    assert (source["name"], source["licence"]) == ("English-Test Dictionary ver. 1.2", "GPL-3.0-or-later")


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", ["file", "folder", "archive", "named"])
def test_the_command_reads_every_form_of_source(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = tei(tmp_path, DOG + "<entry><form><orth>x</orth></form></entry>")
    (tmp_path / "mine").mkdir()
    members = {"eng-deu/README": b"text", "../../evil.tei": b"no", "eng-deu/eng-deu.tei": plain.read_bytes()}
    source = {
        "file": str(plain),
        "folder": str(tmp_path),
        "archive": str(archive(tmp_path / "freedict-eng-deu-1.2.src.tar.xz", members)),
        "named": f"de={plain.rename(tmp_path / 'mine' / 'mine.xml')}" if form == "named" else "",
    }[form]
    out = tmp_path / "out" / "x.lex"
    assert main(["lexicon", "build", "freedict", "--source", source, "--out", str(out)]) == 0
    assert [phrase for phrase, _, _ in Lexicon.open(out).rows()] == ["dog"]
    shown = capsys.readouterr()
    assert "1 phrases of en; entries per language: de 1" in shown.out
    assert "left out 1 x no translation of at most 4 words (e.g. x)" in shown.err
    assert not list(tmp_path.parent.rglob("evil.tei"))


def test_dictionaries_from_other_languages(tmp_path: Path) -> None:
    german = [
        ("hund", "Hund /hʊnt/ <masc, n, sg>\ndog <n>, chide sb. <v>\n"),
        ("laufen", "laufen <v>\nto run <v>, walk <v>\n"),
        ("haus", "Haus… <adj>\ndomestic\n"),
        ("etw essen", "etw. essen <v>\neat sth.\n"),
    ]
    prefix = dictionary(tmp_path / "files", german, "freedict-deu-eng")
    lexicon = Lexicon.open(build_freedict(tmp_path / "x.lex", [], [prefix]))
    assert (lexicon.source_language, lexicon.languages) == ("de", ("en",))
    assert {phrase: sorted(c.text for c in found) for phrase, found in lexicon.items("en")} == {
        "hund": ["chide", "dog"],
        "laufen": ["run", "walk"],
        "essen": ["eat"],
    }
    assert "half of a word or phrase (…)" in lexicon.header["sources"][0]["left_out"]
    dictionary(tmp_path / "files", [("dog", "dog\nHund\n")], "freedict-eng-deu")
    both = build_freedict(tmp_path / "y.lex", [], [tmp_path / "files"], "en")
    assert Lexicon.open(both).source_language == "en"
    with pytest.raises(UserError, match="one source language"):
        build_freedict(tmp_path / "z.lex", [], [tmp_path / "files"])
    with pytest.raises(UserError, match="translates from de, not from fr"):
        build_freedict(tmp_path / "z.lex", [], [prefix], "fr")


def test_english_translations_lose_the_grammar_of_dictionaries() -> None:
    assert translations("to run, to and fro, to", "en") == ("run", "to and fro", "to")
    assert translations("tell sb. sth., put sth. off", "en") == ("tell", "put off")


BOMB = "<!DOCTYPE TEI [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]>"
OUTSIDE = "<!DOCTYPE TEI [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"


@pytest.mark.parametrize("prolog", [BOMB, OUTSIDE])
def test_entities_are_refused(tmp_path: Path, prolog: str) -> None:
    with pytest.raises(DataError, match="declares an entity of its own"):
        TeiDictionary(tei(tmp_path, DOG, prolog=prolog))


@pytest.mark.parametrize(
    "prolog", ["<!DOCTYPE TEI SYSTEM 'freedict-P5.dtd'>", "<!DOCTYPE TEI [<!ENTITY % TEI.dictionaries 'INCLUDE'>]>"]
)
def test_the_doctypes_of_freedicts_own_files_are_read(tmp_path: Path, prolog: str) -> None:
    assert len(read(tei(tmp_path, DOG, prolog=prolog))) == 1


def test_damaged_and_foreign_xml_is_named_with_its_place(tmp_path: Path) -> None:
    whole = tei(tmp_path, f"\n{DOG}\n{DOG}\n").read_text()
    path = tmp_path / "eng-fra.tei"
    for content, said in (
        (whole[:-80], "line 4, column "),
        (whole.replace("</entry>\n</body>", "</entri>\n</body>"), "line 4, column .*mismatched tag"),
        ("dog Hund\n", "no XML .line 1, column 1"),
        ("", "no element found"),
        ("<html><body/></html>", "no TEI dictionary .its root is <html>"),
        ("<TEI><text/></TEI>", "holds no <entry>"),
        ("<TEI>" + "<div>" * 200, "nests its elements deeper"),
        ("<!--" + "x" * 2**21, "no element in its first"),
        ("<TEI>&undefined;</TEI>", "undefined entity"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=said):
            read(path)
    packed = archive(tmp_path / "a.tar.xz", {"x-y/eng-fra.tei": whole.encode()}).read_bytes()
    for content in (b"no archive", packed[: len(packed) // 2]):
        (tmp_path / "eng-fra.tar.xz").write_bytes(content)
        with pytest.raises(DataError, match="damaged or no tar archive"):
            build_freedict(tmp_path / "x.lex", [], [tmp_path / "eng-fra.tar.xz"])


def test_memory_stays_flat_however_long_the_file(tmp_path: Path) -> None:
    def peak(entries: int) -> int:
        path = tei(tmp_path, (DOG + "<milestone/>\n") * entries)
        tracemalloc.start()
        assert sum(1 for _ in TeiDictionary(path).senses("de", Tally(), "en")) == entries
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(10)
    assert peak(1500) < peak(150) + 200_000
