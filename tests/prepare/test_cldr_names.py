"""Names of emoji out of CLDR: small files in the shape of its XML and JSON, hostile ones, and the real package once."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from suite_folders import samples, write
from test_prepare_sets import build_deb

from mmcs.cli import main
from mmcs.errors import DataError, UserError
from mmcs.prepare.cldr import ancestry, cldr_names
from mmcs.prepare.emoji import prepare_emoji
from mmcs.prepare.inspect import inspect_shards
from mmcs.prepare.layout import Layout

HEAD = """<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE ldml SYSTEM "../../common/dtd/ldml.dtd">
<!-- Copyright Unicode, Inc. SPDX-License-Identifier: Unicode-DFS-2016 -->
"""
ZEBRA, SHRUG, ENGINE, PIRATES = "🦓", "🤷", "🚒", "🏴\u200d☠\ufe0f"
LAYOUT = Layout(val=0.2, test=0.4, size=32)


def xml(names: dict[str, str], extra: str = "") -> str:
    lines = "".join(
        f'<annotation cp="{e}">a | b</annotation><annotation cp="{e}" type="tts">{n}</annotation>'
        for e, n in names.items()
    )
    return f"{HEAD}<ldml><identity/><annotations>{lines}{extra}</annotations></ldml>"


XML = {
    "annotations/sw.xml": xml(
        {ZEBRA: "punda &amp; milia", ENGINE: "gari"},
        '<annotation cp="🤷" type="tts" draft="unconfirmed">?</annotation>',
    ),
    "annotations/sw_KE.xml": xml({ENGINE: "gari la Kenya", ZEBRA: "↑↑↑"}),
    "annotationsDerived/sw.xml": xml({PIRATES.replace("\ufe0f", ""): "bendera: maharamia", ENGINE: "other"}),
    "annotations/sr.xml": xml({ZEBRA: "зебра", ENGINE: "камион"}),
    "annotations/sr_Cyrl.xml": xml({}),
    "annotations/sr_Latn.xml": xml({ZEBRA: "zebra"}),
    "annotations/zh.xml": xml({ZEBRA: "斑马"}),
    "annotations/es.xml": xml({ZEBRA: "cebra", ENGINE: "coche de bomberos"}),
    "annotations/es_419.xml": xml({ENGINE: "camión"}),
    "annotations/es_MX.xml": xml({SHRUG: "hombros"}),
    "annotations/no.xml": xml({ZEBRA: "sebra"}),
    "annotations/ckb.xml": xml({}),
    "annotations/root.xml": xml({ZEBRA: "E11-1"}),
    "main/sw.xml": "<ldml>not annotations",
}


@pytest.fixture
def cldr(tmp_path) -> Path:
    for name, content in XML.items():
        write(tmp_path / "common" / name, content)
    return tmp_path / "common"


def test_xml_gives_checked_names_derived_ones_too(cldr):
    names = cldr_names(["sw"], [cldr])
    assert names.by_language == {
        "sw": {ZEBRA: "punda & milia", ENGINE: "gari", PIRATES.replace("\ufe0f", ""): "bendera: maharamia"}
    }
    assert (names.source, names.licence) == ("Unicode CLDR (common)", "Unicode-DFS-2016")


def test_a_region_takes_what_it_lacks_from_above_but_never_from_another_script(cldr):
    names = cldr_names(["sw-KE", "es-MX", "sr-Latn", "sr-Cyrl", "zh-Hans", "nb"], [cldr]).by_language
    assert (names["sw-KE"][ENGINE], names["sw-KE"][ZEBRA]) == ("gari la Kenya", "punda & milia")
    assert names["es-MX"] == {ZEBRA: "cebra", ENGINE: "camión", SHRUG: "hombros"}
    assert names["sr-Latn"] == {ZEBRA: "zebra"}
    assert names["sr-Cyrl"] == {ZEBRA: "зебра", ENGINE: "камион"}
    assert (names["zh-Hans"], names["nb"]) == ({ZEBRA: "斑马"}, {ZEBRA: "sebra"})


def test_ancestry_of_what_is_not_there_is_empty():
    locales = dict.fromkeys(["pt", "pt-PT", "zh-Hant", "zh-Hans", "en", "en-001", "en-GB"])
    assert ancestry("pt-BR", locales) == [] == ancestry("uz-Cyrl", {"uz": None})
    assert ancestry("pt-PT", locales) == ["pt-PT", "pt"]
    assert ancestry("zh-Hant", locales) == ["zh-Hant"]
    assert ancestry("en-GB", locales) == ["en-GB", "en-001", "en"]


def test_a_language_that_is_not_there_is_answered_with_near_ones(cldr):
    with pytest.raises(
        UserError, match=r"\(common\) has no names of emoji in 'sr-Arab'; near ones: sr, sr-Cyrl, sr-Latn"
    ):
        cldr_names(["sr-Arab"], [cldr])
    with pytest.raises(UserError, match="no names of emoji in 'ckb'"):
        cldr_names(["ckb"], [cldr])
    with pytest.raises(UserError, match=r"'tlh'; near ones: .*zh-Hans"):
        cldr_names(["tlh"], [cldr])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('<!DOCTYPE ldml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><ldml>&b;</ldml>', "declares entities of its own"),
        ('<!DOCTYPE ldml [<!ENTITY x SYSTEM "file:///etc/hostname">]><ldml>&x;</ldml>', "declares entities of its own"),
        ("<ldml><annotations>", r"damaged or no XML \(line 1: no element found"),
        ("\x00", r"damaged or no XML"),
    ],
)
def test_hostile_and_damaged_xml_is_refused(cldr, content, sentence):
    write(cldr / "annotations/sw.xml", content)
    with pytest.raises(DataError, match=sentence):
        cldr_names(["sw"], [cldr])


def npm(folder: Path, name: str, key: str, names: dict[str, dict[str, str]]) -> Path:
    """A package of npm's: its JSON below ``package``."""
    files = {"package/package.json": {"name": name, "version": "48.2.0", "license": "Unicode-3.0"}}
    for locale, own in names.items():
        entries = {emoji: {"default": ["x"], "tts": [text]} for emoji, text in own.items()}
        files[f"package/{key}/{locale}/annotations.json"] = {key: {"identity": {}, "annotations": entries}}
    path = folder / f"{name}-48.2.0.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for file, content in files.items():
            data = json.dumps(content).encode()
            info = tarfile.TarInfo(file)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_npm_packages_are_read_packed_or_not(tmp_path):
    packages = [
        npm(tmp_path, "cldr-annotations-full", "annotations", {"sw": {ZEBRA: "punda"}, "und": {ZEBRA: "E11"}}),
        npm(tmp_path, "cldr-annotations-derived-full", "annotationsDerived", {"sw": {"🏴\u200d☠": "bendera"}}),
    ]
    names = cldr_names(["sw"], packages)
    assert names.by_language == {"sw": {ZEBRA: "punda", "🏴\u200d☠": "bendera"}}
    assert names.source == "Unicode CLDR (cldr-annotations-full 48.2.0, cldr-annotations-derived-full 48.2.0)"
    assert names.licence == "Unicode-3.0"
    for package in packages:
        shutil.unpack_archive(package, tmp_path / package.stem, "gztar")
    assert cldr_names(["sw"], [tmp_path / package.stem for package in packages]).by_language == names.by_language
    write(tmp_path / packages[0].stem / "package/annotations/sw/annotations.json", "{")
    with pytest.raises(DataError, match=r"sw/annotations\.json is not JSON"):
        cldr_names(["sw"], [tmp_path / packages[0].stem])


def test_a_deb_is_read_and_other_things_are_not(cldr, tmp_path):
    inside = "./usr/share/unicode/cldr/common"
    deb = build_deb(
        tmp_path / "unicode-cldr-core_48.deb", {f"{inside}/{name}": text.encode() for name, text in XML.items()}
    )
    names = cldr_names(["sw"], [deb])
    assert names.by_language == cldr_names(["sw"], [cldr]).by_language
    assert names.source == "Unicode CLDR (unicode-cldr-core_48)"
    for path, sentence in (
        (tmp_path / "no", "--cldr .*no does not exist; get CLDR"),
        (write(tmp_path / "core.zip", b"PK"), r"core\.zip is no folder, \.deb or \.tgz"),
        (write(tmp_path / "x.tgz", b"no"), "damaged or no npm package"),
        (write(tmp_path / "x.deb", b"no"), "not a Debian package"),
        (write(tmp_path / "empty/x.txt", "").parent, "holds no annotations of CLDR"),
    ):
        with pytest.raises((UserError, DataError), match=sentence):
            cldr_names(["sw"], [path])


def test_emoji_in_other_languages_keep_english_groups_and_splits(cldr, tmp_path):
    """With the real pictures: what changes is which languages stand beside English, and nothing else."""
    wanted = [ZEBRA, SHRUG, ENGINE, PIRATES, "🦊", "🐢", "🍎", "🎻"]
    prepare_emoji(tmp_path / "own", layout=LAYOUT, only=wanted)
    made = prepare_emoji(tmp_path / "cldr", layout=LAYOUT, only=wanted, languages=["sw", "zh", "en"], cldr=[cldr])
    for split in ("train", "val", "test"):
        own, other = samples(tmp_path / "own" / split), samples(tmp_path / "cldr" / split)
        for one, two in zip(own, other, strict=True):
            assert {**one, "captions": None} == {**two, "captions": None}
    found = {
        each["txt"]: each["captions"]
        for split in made.manifest["splits"]
        for each in samples(tmp_path / "cldr" / split)
    }
    assert found["zebra"] == {"sw": ["punda & milia"], "zh-Hans": ["斑马"]}
    assert found["pirate flag"] == {"sw": ["bendera: maharamia"]} and found["fox"] == {}
    assert made.manifest["captions"] == {"en": 8, "sw": 3, "zh-Hans": 1}
    assert made.manifest["licence"].endswith("Unicode-DFS-2016 (names in other languages)")
    assert made.manifest["evaluation"]["protocols"] == ["all_captions"]
    assert "lexicon made of CLDR's names has seen them" in made.manifest["evaluation"]["notes"][0]
    again = prepare_emoji(tmp_path / "twice", layout=LAYOUT, only=wanted, languages=["zh-Hans", "sw"], cldr=[cldr])
    for path in sorted(made.folder.rglob("*.tar")):
        assert path.read_bytes() == (again.folder / path.relative_to(made.folder)).read_bytes()
    assert prepare_emoji(tmp_path / "cldr", layout=LAYOUT, only=wanted, languages=["sw", "zh"]).reused
    with pytest.raises(UserError, match="made with languages"):
        prepare_emoji(tmp_path / "cldr", layout=LAYOUT, only=wanted, languages=["sw"])
    with pytest.raises(UserError, match="holds a set made with --languages"):
        prepare_emoji(tmp_path / "cldr", layout=LAYOUT, only=wanted)


def test_the_command_says_what_is_wrong_with_languages(cldr, tmp_path, capsys):
    command = ["data", "prepare", "emoji", "--out", str(tmp_path / "out")]
    for arguments, sentence in (
        (["--languages", "sw,tlh", "--cldr", str(cldr)], "has no names of emoji in 'tlh'"),
        (["--languages", "kiswahili"], "'kiswahili' is not a language tag"),
        (["--languages", "en"], "names no language beside English"),
        (["--cldr", str(cldr)], "say which with --languages"),
    ):
        assert main([*command, *arguments]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.needs("apt-get")
def test_swahili_and_bengali_out_of_debians_package(tmp_path):
    """Fetched with apt-get: nearly all emoji have names in languages that no package of this project brings."""
    made = prepare_emoji(tmp_path / "out", languages=["sw", "bn", "pt-PT"])
    for language in ("sw", "bn", "pt-PT"):
        assert made.manifest["captions"][language] > 0.95 * made.manifest["captions"]["en"]
    found = {
        each["txt"]: each["captions"] for split in made.manifest["splits"] for each in samples(tmp_path / "out" / split)
    }
    assert found["zebra"]["sw"] == ["punda milia"]
    assert found["zebra"]["bn"] == ["জেব্রা"]
    report = inspect_shards(str(tmp_path / "out"))
    assert report.usable == report.samples == made.manifest["samples"]
