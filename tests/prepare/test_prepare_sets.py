"""The known sets: a folder of the stamps' shape made here, a .deb built here, emoji out of the real packages."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image

from mmcs.errors import DataError, UserError
from mmcs.prepare.debs import extract_deb
from mmcs.prepare.emoji import prepare_emoji, readable
from mmcs.prepare.layout import Layout
from mmcs.prepare.records import concept_of, split_of
from mmcs.prepare.stamps import parse_captions, prepare_stamps

ALL_IN_TRAIN = Layout(val=0.0, test=0.0, size=64)
INSIDE = PurePosixPath("usr/share/tuxpaint/stamps")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40pt" height="20pt"><rect width="9" height="9"/></svg>'


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 20), (255, 0, 0, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def stamp_files() -> dict[str, bytes]:
    return {
        "animals/zebra.png": png(),
        "animals/zebra.txt": "A zebra.\nde.utf8=Ein Zebra.\nen_GB.utf8=A zebra.\nhi.utf8=एक ज़ेबरा|\nxx\n".encode(),
        "animals/zebra2.svg": SVG,
        "animals/zebra2.txt": "A zebra.\nsr@latin.utf8=Zebra.\npt_BR.utf8=Uma zebra.\nzh_TW.utf8=斑馬。\nfi.utf8=\n".encode(),
        "animals/zebra.dat": b"nomirror",
        "animals/zebra.ogg": b"\0",
        "town/pole.svg": b"<svg",
        "town/pole.txt": b"A pole.",
        "town/gone.txt": b"Gone.",
        "symbols/alphabets/asl/asl_a.png": png(),
        "symbols/alphabets/asl/asl_a.txt": b"The letter A.",
        "symbols/math/7.png": png(),
        "symbols/math/7.txt": b"Seven.",
        "symbols/math/operators/plus.png": png(),
        "symbols/math/operators/plus.txt": b"Plus.",
    } | {f"more/{number}{end}": data for number in range(9) for end, data in ((".png", png()), (".txt", b"More."))}


def build_deb(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """An ``ar`` archive as dpkg-deb writes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": buffer.getvalue()}
    archive = b"!<arch>\n"
    for name, data in members.items():
        archive += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    path.write_bytes(archive)
    return path


def samples(shard: Path) -> dict[str, dict]:
    with tarfile.open(shard) as tar:
        metas = [json.loads(tar.extractfile(member).read()) for member in tar if member.name.endswith(".json")]  # type: ignore[union-attr]
    return {meta["url"]: meta for meta in metas}


def test_stamps_from_a_folder_and_from_a_deb_are_the_same(tmp_path):
    for name, data in stamp_files().items():
        path = tmp_path / "stamps" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    deb = build_deb(tmp_path / "stamps.deb", {f"./{INSIDE / name}": data for name, data in stamp_files().items()})
    folder_made = prepare_stamps(tmp_path / "a", tmp_path / "stamps", layout=ALL_IN_TRAIN)
    prepare_stamps(tmp_path / "b", deb, layout=ALL_IN_TRAIN)
    assert (tmp_path / "a/train/00000.tar").read_bytes() == (tmp_path / "b/train/00000.tar").read_bytes()
    found = samples(tmp_path / "a/train/00000.tar")
    assert len(found) == 12
    assert found["animals/zebra.png"]["captions"] == {"de": ["Ein Zebra."], "hi": ["एक ज़ेबरा।"]}
    assert found["animals/zebra2.svg"]["captions"] == {
        "pt-BR": ["Uma zebra."],
        "sr-Latn": ["Zebra."],
        "zh-Hant": ["斑馬。"],
    }
    assert found["animals/zebra.png"]["group"] == found["animals/zebra2.svg"]["group"] == "zebra"
    assert "symbols/math/operators/plus.png" in found
    counts = {cause: each["count"] for cause, each in folder_made.manifest["left_out"].items()}
    assert counts == {"letter or digit": 2, "caption without a picture": 1}
    assert {cause: each["examples"] for cause, each in folder_made.manifest["dropped"].items()} == {
        "damaged SVG": ["town/pole.svg"]
    }
    assert prepare_stamps(tmp_path / "a", layout=ALL_IN_TRAIN).reused, "no source asked for: any answers"
    with pytest.raises(UserError, match="made with from"):
        prepare_stamps(tmp_path / "a", deb, layout=ALL_IN_TRAIN)


@pytest.mark.parametrize(
    ("line", "language", "caption"),
    [
        ("he.utf8=\\tאחות", "he", "אחות"),
        ("ar.utf8=.قلب", "ar", "قلب"),
        ("ar.utf8=!مجنون", "ar", "مجنون"),
        ("hi.utf8=एक अंडा| यम!", "hi", "एक अंडा। यम!"),
        ("en_AU.utf8=A grey  wolf.", "en", "A grey wolf."),
    ],
)
def test_slips_of_the_files_are_mended(line, language, caption):
    assert parse_captions(f"A thing.\n{line}\n") == ("A thing.", {language: [caption]}, [])


def test_a_locale_of_no_registered_language_is_counted():
    assert parse_captions("A thing.\nqq_QQ.utf8=x\nde.utf8=Ding\n") == ("A thing.", {"de": ["Ding"]}, ["qq_QQ"])


def test_a_source_that_is_none_gets_one_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="does not exist; get the Tux Paint stamps"):
        prepare_stamps(tmp_path / "out", tmp_path / "gone.deb")
    (tmp_path / "junk.deb").write_bytes(b"junk")
    with pytest.raises(DataError, match="not a Debian package"):
        prepare_stamps(tmp_path / "out", tmp_path / "junk.deb")
    with pytest.raises(DataError, match="holds no stamps"):
        prepare_stamps(tmp_path / "out", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no apt-get on this machine.*--source"):
        prepare_stamps(tmp_path / "out")
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    with pytest.raises(UserError, match=r"failed .E: Unable to locate package.*--source"):
        prepare_stamps(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_deb_writes_only_below_its_folder(tmp_path):
    inside = str(INSIDE)
    deb = build_deb(
        tmp_path / "evil.deb",
        {
            f"{inside}/../../../../../evil.txt": b"x",
            "/tmp/evil.txt": b"x",
            f"{inside}/good.txt": b"good",
            f"{inside}/link/through.txt": b"x",
            "etc/other.txt": b"x",
        },
        {f"{inside}/out.txt": "/etc/hostname", f"{inside}/up": "../.."},
    )
    extract_deb(deb, tmp_path / "out", INSIDE, suffixes=(".txt",))
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.txt")) == [
        "good.txt",
        "link/through.txt",
    ]


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_deb_is_refused(tmp_path, damage):
    deb = build_deb(tmp_path / "a.deb", {f"{INSIDE}/{n}.txt": random.Random(n).randbytes(5000) for n in range(20)})
    data = bytearray(deb.read_bytes())
    half = len(data) // 2
    deb.write_bytes(data[:half] if damage == "cut" else data[:half] + bytes(100) + data[half + 100 :])
    with pytest.raises(DataError, match="damaged or not a Debian package"):
        extract_deb(deb, tmp_path / "out", INSIDE, suffixes=(".txt",))


def test_emoji_keeps_one_of_each_thing(tmp_path):
    """Real packages, a few emoji: the neutral one stays, variants and country flags go, counted by cause."""
    wanted = ["🦓", "🚒", "🧑‍🚒", "👨‍🚒", "👩‍🚒", "🧑🏽‍🚒", "🇫🇷", "🏴‍☠️", "👨‍👩‍👦", "👪", "🚶‍➡️", "💃", "👩", "🏃‍♀️", "🏃"]
    prepared = prepare_emoji(tmp_path / "out", layout=ALL_IN_TRAIN, only=wanted)
    found = samples(tmp_path / "out/train/00000.tar")
    assert sorted(sample["caption"] for sample in found.values()) == [
        "family",
        "fire engine",
        "firefighter",
        "person running",
        "pirate flag",
        "woman",
        "woman dancing",
        "zebra",
    ]
    assert {cause: each["count"] for cause, each in prepared.manifest["left_out"].items()} == {
        "man or woman beside a neutral one": 3,
        "skin tone": 1,
        "flag of a country": 1,
        "members of a family or couple spelt out": 1,
        "turned to the right": 1,
    }
    zebra = found["1F993"]["captions"]
    assert (zebra["de"], zebra["zh-Hans"], zebra["ru"]) == (["zebra"], ["斑马"], ["зебра"])
    assert len(zebra) == 13
    group = found["1F993"]["group"]
    assert group == concept_of("A zebra.") and split_of(group, 0.1, 0.25) == split_of("zebra", 0.1, 0.25)


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        (":grinning_face:", "grinning face"),
        (":bouton_«_gratuit_»:", "bouton gratuit"),
        (":буква_«м»_в_кружке:", "буква м в кружке"),
        (":الزر_/مجانا/_باليابانية:", "الزر مجانا باليابانية"),
        (":bouton_lecture/pause:", "bouton lecture/pause"),
        (":cuisinier_(tous_genres):", "cuisinier"),
        (":Mrs._Claus:", "Mrs. Claus"),
        (":keycap_#:", "keycap #"),
    ],
)
def test_names_become_readable(name, caption):
    assert readable(name) == caption
