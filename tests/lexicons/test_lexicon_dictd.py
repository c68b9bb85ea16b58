"""FreeDict's files: every style of entry that its dictionaries hold gives its words and nothing else; damage is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from lexicon_files import dictionary

from mmcs.errors import DataError
from mmcs.lexicons.dictd import Dictionary, Entry
from mmcs.lexicons.ranking import rank
from mmcs.lexicons.senses import Sense, senses, translations
from mmcs.prepare.records import Tally


def read(language: str, key: str, text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(sense.phrase, sense.pos, sense.texts) for sense in senses(Entry(key, text), language, Tally())]


# One entry of each style, as the dictionaries have them (shortened): language, index key, text, what it says.
STYLES = {
    "Ding: gender, domain, examples, synonyms, references": (
        "de",
        "bee",
        'bee /bˈiː/\nBiene <fem>, Imme <fem> [zool.]\n      "busy as a bee"  - fleißig wie eine Biene\n'
        "   Synonyms: {honeybee}, {bug}\n\n see: {bees}, {resin bee}\n\n         Note: veraltend\n",
        [("bee", "n", ("Biene", "Imme"))],
    ),
    "Ding: placeholders, grammar, region": (
        "de",
        "adopt sth",
        "adopt sth. /ɐdˈɒpt/ <v>\n [Br.]  [fig.] etw. (in bestimmter Weise) annehmen <v, trans>, jdn./etw. aufnehmen [+ dat]\n",
        [("adopt", "v", ("annehmen", "aufnehmen"))],
    ),
    "Ding: an abbreviation in brackets": (
        "de",
        "cat",
        "clear air turbulence /klˈiəɹ ˈeə tˈɜːbjʊləns/ (CAT /kˈat/)\nStrudelbewegung <fem> [aviat.]\n",
        [("cat", "n", ("Strudelbewegung",))],
    ),
    "Ding: hyphens that the index has lost": (
        "de",
        "camandroller gear",
        "cam-and-roller gear /kˈam/\nRollengetriebe <neut> [auto]\n",
        [("cam-and-roller gear", "n", ("Rollengetriebe",))],
    ),
    "Ding: optional letters": (
        "de",
        "multicoloured",
        "multi-colo(u)red /mˈʌlti kˈəʊləʊ jˈuː ɹˈɛd/\nbunt <adj>, farb(en)froh <adj>\n",
        [("multi-coloured", "adj", ("bunt", "farbfroh")), ("multi-colored", "adj", ("bunt", "farbfroh"))],
    ),
    "Ding: an optional word, whose own entry this is not": (
        "de",
        "forgive sb for sth",
        "forgive sb. (for) sth. /fəɡˈɪv/ <v>\njdm. etw. verzeihen <v, trans>\n",
        [("forgive", "v", ("verzeihen",))],
    ),
    "WikDict: a phrase with commas is no list": (
        "fi",
        "game set match",
        "game, set, match /ɡˈeɪm/ <phraseologicalUnit>\nerä, ottelu\n",
        [("game set match", "phrase", ("erä", "ottelu"))],
    ),
    "Hungarian: inflected forms": (
        "hu",
        "to redo redid redone",
        "to redo, redid, redone /tə ɹˈiːduː/\núj díszítés\n",
        [(form, "v", ("új díszítés",)) for form in ("redo", "redid", "redone")],
    ),
    "Czech: label before the word, grammar in brackets, a note": (
        "cs",
        "submissions",
        "submissions <pl>\n [eko] předložení (n:)\n         Note: tata\n",
        [("submissions", "n", ("předložení",))],
    ),
    "WikDict: a definition under each sense, senses that share a translation": (
        "fi",
        "horse",
        "horse //hɔɹs// /[hoːs]/ <n>\n1. ratsuväki\ncavalry soldiers, on horses\n2. hevonen, ratsu 2.\nknight in chess\n 3.\nanimal\n",
        [("horse", "n", ("ratsuväki",)), ("horse", "n", ("hevonen", "ratsu"))],
    ),
    "Hungarian: numbered, Latin-1's nearest letters, an infinitive": (
        "hu",
        "to plunk",
        "to plunk /tə plˈʌŋk/\n1. lepottyan\n2. könnyûvérû lesz vki (darun)\n",
        [("plunk", "v", ("lepottyan",)), ("plunk", "v", ("könnyűvérű lesz",))],
    ),
    "Hindi: ~ for a space, an unknown translation, quoted sentences": (
        "hi",
        "run",
        'run /ɹˈʌn/ <N>\n1. लम्बा~दौर\n      "Chandni had a good run."\n2. ?\n      "The run of the cards."\n3. दौड़[होना]\n',
        [("run", "n", ("लम्बा दौर",)), ("run", "n", ("दौड़",))],
    ),
    "Arabic: a capital, article and vowels of the citation form, its own comma": (
        "ar",
        "dog",
        "Dog /dˈɒɡ/\nالكلب، القطّة\n",
        [("dog", "", ("كلب", "قطة"))],
    ),
    "Arabic: letters of the word that look like the article stay": (
        "ar",
        "inflammation",
        "Inflammation /ˌɪnfləmˈeɪʃən/\nالتهاب\n",
        [("inflammation", "", ("التهاب",))],
    ),
    "Turkish: labels, Latin names, idioms after the translation": (
        "tr",
        "apple",
        "apple /ˈapəl/\n1. (bot.) elma, (zool.) Apis mellifera. apple of discord (mit) kavga elması.\n2. A.B.D, (argo) adam: uzun bir açıklama\n",
        [("apple", "", ("elma",)), ("apple", "", ("adam",))],
    ),
    "Turkish: two headwords": (
        "tr",
        "coition coitus",
        "coition, coitus /kˈɔɪʃən kˈɔɪtəs/\n1. birleşme.\n",
        [("coition", "", ("birleşme",)), ("coitus", "", ("birleşme",))],
    ),
    "Swedish: half a compound is no word": ("sv", "metalled", "metalled /metld/\nsten‐, stenig\n", [("metalled", "", ("stenig",))]),
    "Swedish: a headword that was cut to its first word": ("sv", "fast", "fast /fɑːsttrein/\nblixttåg\n", []),
    "Polish: parts of speech inside the entry, indented senses": (
        "pl",
        "dog",
        "dog /dɒg/\nI.  <N> 1.  [gatunek]  pies\n 2.  [samiec]  pies\nII.  <V> 1.  chodzić (sb - za kimś)\n - mieć kuku\n",
        [("dog", "n", ("pies",)), ("dog", "n", ("pies",)), ("dog", "v", ("chodzić",))],
    ),
    "French: numbered without labels": ("fr", "map", "map /meip/\n1. carte\n2. plan\n", [("map", "", ("carte",)), ("map", "", ("plan",))]),
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_each_style_gives_its_words_and_nothing_else(style: str) -> None:
    language, key, text, expected = STYLES[style]
    assert read(language, key, text) == expected


def test_explanations_are_left_out_and_counted() -> None:
    left_out = Tally()
    assert senses(Entry("x", "x\n1. herhangi bir büyük ve eski hayvan türü\n"), "tr", left_out) == []
    assert senses(Entry("a b c d e", "a b c d e\nx\n"), "tr", left_out) == []
    assert dict(left_out.counts) == {"no translation of at most 4 words": 1, "headword of more than 4 words": 1}


def test_alternatives_and_multi_word_translations() -> None:
    assert translations("guter Freund <masc>; Kamerad/Kumpel, der/die Bekannte", "de") == (
        "guter Freund", "Kamerad", "Kumpel", "der Bekannte"
    )  # fmt: skip


def test_a_dictionary_gives_entries_licence_and_no_metadata(tmp_path: Path) -> None:
    prefix = dictionary(tmp_path, [("dog", "dog\nHund\n"), ("", "\n"), ("cat", "cat\nKatze\n")])
    read_back = Dictionary(prefix.with_suffix(".index"))
    assert [entry.key for entry in read_back.entries()] == ["dog", "cat"]
    assert (read_back.name, read_back.licence) == ("English-Test Dictionary ver. 1", "GPL-2.0-or-later")
    assert read_back.availability.startswith("Available under the terms")
    assert read_back.damaged.total == 1


def test_damaged_lines_are_counted_by_cause_and_many_stop_the_reading(tmp_path: Path) -> None:
    prefix = dictionary(tmp_path, [(f"w{i}", f"w{i}\nW{i}\n") for i in range(50)])
    index = prefix.with_suffix(".index")
    damaged = "one column\nbad\tA!\tB\nfar\t//////\tZ\n"
    index.write_text(index.read_text() + damaged)
    read_back = Dictionary(index)
    assert len(list(read_back.entries())) == 50
    assert dict(read_back.damaged.counts) == {
        "not headword, offset and length between tabs": 2,
        "points beyond the end of the dictionary": 1,
    }
    assert read_back.damaged.examples["points beyond the end of the dictionary"] == ["line 55: far\t//////\tZ"]
    index.write_text(index.read_text() + damaged * 10)
    with pytest.raises(DataError, match=r"33 of 85 lines cannot be used \(first: not headword"):
        list(Dictionary(index).entries())


def test_an_index_and_a_dictionary_of_which_one_is_cut_off_are_refused(tmp_path: Path) -> None:
    prefix = dictionary(tmp_path, [(f"w{i}", f"w{i}\nW{i}\n") for i in range(50)])
    index, packed = prefix.with_suffix(".index"), prefix.with_suffix(".dict.dz")
    whole, data = index.read_text(), gzip.decompress(packed.read_bytes())
    index.write_text("".join(whole.splitlines(keepends=True)[:45]))
    with pytest.raises(DataError, match=r"its 45 lines cover 9\d% of the dictionary; get both"):
        list(Dictionary(index).entries())
    index.write_text(whole)
    packed.unlink()
    prefix.with_suffix(".dict").write_bytes(data[:-30])
    with pytest.raises(DataError, match="4 of its 52 lines point beyond the end of the dictionary"):
        list(Dictionary(index).entries())


def test_encodings_other_than_utf8_are_named(tmp_path: Path) -> None:
    index = dictionary(tmp_path, [("dog", "dog\nHund\n")]).with_suffix(".index")
    text = index.read_text()
    index.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [entry.key for entry in Dictionary(index).entries()] == ["dog"]
    index.write_text(text, "utf-16")
    with pytest.raises(DataError, match="UTF-16"):
        Dictionary(index)
    index.write_bytes(text.encode() + "größe\tA\tB\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 \(line 4, byte 0xf6\)"):
        Dictionary(index)


def test_a_damaged_or_missing_dict_dz_is_refused(tmp_path: Path) -> None:
    prefix = dictionary(tmp_path, [("dog", "dog\nHund\n" * 1000)])
    packed, index = prefix.with_suffix(".dict.dz"), prefix.with_suffix(".index")
    whole = packed.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no gzip at all", whole[:40] + b"\xff" * 8 + whole[48:]):
        packed.write_bytes(broken)
        with pytest.raises(DataError, match="damaged"):
            Dictionary(index)
    packed.unlink()
    with pytest.raises(DataError, match="there is no"):
        Dictionary(index)
    prefix.with_suffix(".dict").write_bytes(gzip.decompress(whole))
    assert [entry.key for entry in Dictionary(index).entries()] == ["dog"]


def sense(phrase: str, *texts: str, pos: str = "", number: int = 0, acronym: bool = False, sounds: int = 0) -> Sense:
    return Sense(phrase, acronym, pos, sounds, number, texts, 0)


def test_the_usual_word_ranks_before_rare_and_foreign_ones() -> None:
    listed = [
        sense("dog", "Bandhaken", "Bandzieher", pos="n"),
        sense("dog", "Hund", pos="n"),
        sense("dog", "verfolgen", "jemandem nachlaufen", pos="v"),
        sense("foot", "Fuß", pos="n"),
        sense("foot", "Hund", pos="n", number=30),
        sense("it", "es"),
        sense("it", "Informatik", acronym=True),
    ]
    ranked = rank(listed, source_language="en", language="de")
    assert ranked["dog"][0][0] == "Hund"
    assert ranked["foot"][0][0] == "Fuß"  # "Hund" is commoner, and belongs to "dog"
    assert [candidate.text for candidate in ranked["it"]] == ["es"]
    assert {"verfolgen", "Bandhaken"} <= {candidate.text for candidate in ranked["dog"]}
    for found in ranked.values():
        assert sum(candidate.weight for candidate in found) == pytest.approx(1, abs=1e-4)
        assert [candidate.weight for candidate in found] == sorted(
            (candidate.weight for candidate in found), reverse=True
        )


def test_a_language_without_word_frequencies_keeps_the_order_of_the_dictionary() -> None:
    listed = [sense("dog", "mbwa", "jibwa"), sense("dog", "mbwa mdogo", number=1), sense("dog", "kelbi", number=2)]
    ranked = rank(listed, source_language="en", language="sw")
    assert [candidate.text for candidate in ranked["dog"]] == ["mbwa", "jibwa", "kelbi", "mbwa mdogo"]
