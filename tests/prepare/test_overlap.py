"""The leakage audit finds copies and captions, not what merely resembles; its list leaves nothing behind."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageDraw
from small_world import add

from mmcs.cli import build_parser
from mmcs.errors import DataError, UserError
from mmcs.prepare.fingerprint import VIEWS, Fingerprint
from mmcs.prepare.hash_index import MOST, HashIndex, bits_set
from mmcs.prepare.likeness import likeness
from mmcs.prepare.overlap import find_overlap, words
from mmcs.prepare.overlap_list import check_list, write_list
from mmcs.prepare.overlap_page import write_page
from mmcs.prepare.overlap_result import Overlap, Pair, Settings
from mmcs.stream.drops import BadSample
from mmcs.stream.sources import Reading

LONG = "Two old men play chess under a tree."


def photograph(seed: int, width: int = 320, height: int = 240) -> Image.Image:
    """Coarse and fine structure in colour, nothing flat."""
    draw = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(draw.integers(0, 256, (h, w, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC),
            float,
        )
        for h, w in ((3, 4), (9, 12), (30, 40))
    ]
    return Image.fromarray((0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]).astype(np.uint8))


def drawing(seed: int, side: int = 256) -> Image.Image:
    """A few outlined shapes on white."""
    draw = np.random.default_rng(1000 + seed)
    image = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        x, y, w, h = draw.integers(20, 130, 4).tolist()
        colour = tuple(draw.integers(0, 256, 3).tolist())
        shape = (pen.ellipse, pen.rectangle)[int(draw.integers(2))]
        shape((x, y, x + w, y + h), fill=colour, outline="black", width=4)
    return image


def mirrored(seed: int) -> Image.Image:
    """A drawing that is its own mirror image, in both directions: half of its coefficients vanish."""
    image = drawing(seed)
    quarter = image.crop((0, 0, 128, 128))
    for box, turns in (((128, 0), [0]), ((0, 128), [1]), ((128, 128), [0, 1])):
        part = quarter
        for turn in turns:
            part = part.transpose((Image.FLIP_LEFT_RIGHT, Image.FLIP_TOP_BOTTOM)[turn])
        image.paste(part, box)
    return image


PICTURES = [kind(seed) for kind in (photograph, drawing, mirrored) for seed in range(8)]


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.BICUBIC)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    w, h = image.size
    return image.crop((round(left * w), round(top * h), round(w - right * w), round(h - bottom * h)))


COPIES = {
    "quality 40": lambda image: jpeg(image, 40),
    "quality 95": lambda image: jpeg(image, 95),
    "at 0.3": lambda image: jpeg(scaled(image, 0.3)),
    "at 2": lambda image: jpeg(scaled(image, 2)),
    "squeezed": lambda image: jpeg(image.resize((224, 224))),
    "2 % cut off": lambda image: jpeg(cropped(image, 0.003, 0.017, 0.017, 0.003)),
    "5 % cut off": lambda image: jpeg(cropped(image, 0.025, 0.025, 0.025, 0.025)),
    "5 % cut off in a corner": lambda image: jpeg(cropped(image, 0.045, 0.01, 0.005, 0.04)),
    "grey": lambda image: jpeg(image.convert("L")),
    "another format": png,
}


def fingerprint(content: bytes, every_view: bool = False) -> dict:
    return Fingerprint(VIEWS if every_view else VIEWS[:1])({"files": {"jpg": content}})


def alike(train: dict, suite: dict, distance: int = 10) -> float:
    """What the audit does with one pair."""
    apart = bits_set((suite["hashes"] ^ train["hashes"]).view(np.uint64))
    view = int(np.argmin(apart))
    shorter = min(train["shorter"], suite["shorter"])
    return likeness(suite["square"], train["square"], VIEWS[view].seen, shorter) if apart[view] <= distance else 0.0


@pytest.mark.parametrize("distance", range(0, MOST + 1, 3))
def test_the_index_finds_what_a_comparison_with_all_hashes_finds(distance):
    draw = np.random.default_rng(distance)
    hashes = draw.integers(0, 1 << 64, 3000, dtype=np.uint64)
    flipped = [int(number) ^ sum(1 << int(bit) for bit in draw.choice(64, 9, replace=False)) for number in hashes[:300]]
    hashes = np.concatenate([hashes, np.array(flipped, np.uint64), hashes[:50]])
    queries = np.concatenate([hashes[::17], draw.integers(0, 1 << 64, 40, dtype=np.uint64)])
    apart = np.array([[(int(query) ^ int(number)).bit_count() for number in hashes] for query in queries])
    query, item = (apart <= distance).nonzero()
    found = HashIndex(hashes).near(queries, distance)
    assert np.array_equal(np.stack(found), np.stack([query, item, apart[query, item]]))


def test_an_index_of_nothing_and_a_distance_beyond_the_range():
    empty = HashIndex(np.empty(0, np.uint64))
    assert [len(column) for column in empty.near(np.array([5], np.uint64), 10)] == [0, 0, 0]
    with pytest.raises(UserError, match="within 0 to 15"):
        empty.near(np.array([5], np.uint64), MOST + 1)


def test_hashes_are_the_library_s_of_the_part_that_a_view_shows():
    image = photograph(3, 64, 64)  # as large as a square, so that nothing is resized before
    sample = fingerprint(png(image), every_view=True)
    for number, view in enumerate(VIEWS[:11]):
        left, top, right, bottom = view.box
        width, height = right - left, bottom - top
        box = tuple(64 * edge for edge in (left + 0.16 * width, top + 0.07 * height, right, bottom))
        part = image.convert("L").resize((32, 32), Image.LANCZOS, box=box)
        bits = imagehash.phash(part).hash.ravel()
        own = np.unpackbits(sample["hashes"].view(np.uint64)[number : number + 1].astype(">u8").view(np.uint8))
        assert (
            np.count_nonzero(bits != own) <= 2
        )  # the square's part is cut from a wider picture: edges differ a little


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_told_on_either_side(copy):
    for number, image in enumerate(PICTURES):
        original, other = jpeg(image), COPIES[copy](image)
        assert alike(fingerprint(other), fingerprint(original, every_view=True)) > 0.98, (
            copy,
            number,
            "copy in training",
        )
        assert alike(fingerprint(original), fingerprint(other, every_view=True)) > 0.98, (copy, number, "copy in suite")


def test_other_pictures_are_not_taken_for_copies():
    suite = [fingerprint(jpeg(image), every_view=True) for image in PICTURES]
    training = [fingerprint(jpeg(kind(seed))) for kind in (photograph, drawing, mirrored) for seed in range(100, 120)]
    assert not any(alike(train, each, MOST) for train in training for each in suite)
    assert sum(alike(one, each, MOST) > 0 for one in suite for each in suite) == len(suite)  # each itself


def test_what_resembles_is_told_apart_by_its_parts_and_colours():
    face = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(face).ellipse((20, 20, 236, 236), fill=(250, 230, 50), outline="black", width=6)
    smile, frown, blue = face.copy(), face.copy(), Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(smile).arc((80, 110, 176, 190), 20, 160, fill="black", width=8)
    ImageDraw.Draw(frown).arc((80, 150, 176, 230), 200, 340, fill="black", width=8)
    ImageDraw.Draw(blue).ellipse((20, 20, 236, 236), fill=(180, 225, 255), outline="black", width=6)
    original = fingerprint(jpeg(smile), every_view=True)
    assert not alike(fingerprint(jpeg(frown)), original, 64)
    assert not alike(fingerprint(jpeg(blue)), fingerprint(jpeg(face), every_view=True), 64)
    assert alike(fingerprint(jpeg(scaled(smile, 0.4), 60)), original) > 0.98


def test_pictures_are_seen_as_people_see_them_and_damage_is_named():
    image = photograph(1)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.ROTATE_90).save(turned, "JPEG", quality=90, exif=exif)
    assert alike(fingerprint(turned.getvalue()), fingerprint(jpeg(image), every_view=True)) > 0.98
    lucid = drawing(2).convert("RGBA")
    lucid.putdata([(0, 0, 0, 0) if pixel[:3] == (255, 255, 255) else pixel for pixel in lucid.getdata()])
    assert alike(fingerprint(png(lucid)), fingerprint(jpeg(drawing(2)), every_view=True)) > 0.98
    assert fingerprint(jpeg(Image.new("RGB", (60, 60), "white")))["flat"]
    for content, cause in ((b"no picture", "undecodable image"), (jpeg(image)[:900], "undecodable image")):
        with pytest.raises(BadSample) as bad:
            fingerprint(content)
        assert bad.value.cause == cause
    with pytest.raises(BadSample) as bad:
        fingerprint(png(Image.new("L", (6000, 20))))
    assert bad.value.cause == "image too large"


def test_words_are_counted_in_scripts_without_spaces_too():
    assert words("A dog's T-shirt.") == 3
    assert words("一只红色的狗") == 3
    assert words("สุนัข สีแดง") == words("สุนัขสีแดง") > 1
    assert words("…") == 0


def write(path: Path, samples: dict[str, tuple[bytes, str, dict]]) -> str:
    """A shard of key → (image, caption, the rest of the .json); its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for key, (image, caption, meta) in samples.items():
            add(tar, f"{key}.jpg", image)
            add(tar, f"{key}.txt", caption.encode())
            add(tar, f"{key}.json", json.dumps(meta).encode())
    return str(path.parent)


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[str, str, str]:
    """Training shards, and two suites that have something in common with them."""
    root = tmp_path_factory.mktemp("sets")
    german = {"captions": {"de": ["Zwei alte Männer spielen Schach"]}}
    train = {
        "file": (jpeg(photograph(0)), "A street.", {}),
        "copy": (jpeg(cropped(scaled(photograph(1), 0.5), 0.02, 0.01, 0.03, 0), 60), "A market.", {}),
        "drawn": (jpeg(mirrored(1), 70), "A sign.", {}),
        "words": (jpeg(photograph(50)), LONG, {"captions": {"en": ["Chess in a park"], "de": ["Schach"]}}),
        "word": (jpeg(photograph(51)), "Zebra", {"group": "zebra"}),
        "german": (jpeg(photograph(52)), "Chess.", german),
        "all": (jpeg(photograph(53)), "Two OLD men  play chess under a tree!", {}),
        "broken": (b"no picture", "Nothing.", {}),
        **{f"other{n}": (jpeg(drawing(n)), f"Drawing {n}", {}) for n in range(60, 75)},
    }
    first = {
        "a": (jpeg(photograph(0)), "A road.", {}),
        "b": (jpeg(photograph(1)), LONG, german),
        "c": (jpeg(photograph(90)), "ZEBRA!", {"group": "zebra", "captions": {"fi": ["Seepra", "zebra"]}}),
        "d": (jpeg(photograph(91)), "A lion.", {}),
    }
    second = {"a": (jpeg(mirrored(1)), "Something else.", {}), "e": (jpeg(mirrored(2)), "Something new.", {})}
    return (
        write(root / "set" / "train" / "0.tar", train),
        write(root / "one" / "test" / "0.tar", first),
        write(root / "two" / "test" / "0.tar", second),
    )


def audit(sets, **settings) -> Overlap:
    train, one, two = sets
    return find_overlap(train, {"one": one, "two": two}, Settings(**{"num_workers": 0} | settings))


def test_the_audit_says_per_suite_what_stands_in_both(sets):
    overlap = audit(sets)
    one, two = overlap.suites
    assert overlap.samples == 22 and overlap.dropped.by_cause == {"undecodable image": 1}
    assert [(pair.kind, pair.suite, pair.train) for pair in one.pairs] == [
        ("same file", "one/test/0/a", "set/train/0/file"),
        ("same picture", "one/test/0/b", "set/train/0/copy"),
    ]
    assert [(pair.kind, pair.suite, pair.train) for pair in two.pairs] == [
        ("same picture", "two/test/0/a", "set/train/0/drawn")
    ]
    assert one.leaked == 2 and two.leaked == 1
    assert one.found == {"same file": 1, "same picture": 1, "same caption": 1, "same group": 1, "same name": 0}
    assert one.samples == {"same file": 1, "same picture": 1, "same caption": 3, "same group": 1, "same name": 0}
    assert [(each.text, each.languages, each.words, each.samples) for each in one.captions] == [
        ("two old men play chess under a tree", ("en",), 8, 2),
        ("zwei alte männer spielen schach", ("de",), 5, 1),
        ("zebra", ("en", "fi"), 1, 1),
    ]
    assert one.by_language(overlap.settings) == [("en", (4, 2, 1)), ("de", (1, 1, 1)), ("fi", (2, 1, 0))]
    assert list(overlap.listed) == ["set/train/0/copy", "set/train/0/drawn", "set/train/0/file"]
    assert overlap.captions == [
        "Two OLD men play chess under a tree!",
        LONG,
        "Zwei alte Männer spielen Schach",
    ]


def test_groups_names_and_short_captions_are_listed_on_request_alone(sets):
    overlap = audit(sets, groups=True, min_words=1)
    assert overlap.listed["set/train/0/word"] == ("same group", "one/test/0/c")
    assert "Zebra" in overlap.captions
    itself = find_overlap(sets[0], {"itself": sets[0]}, Settings(num_workers=0)).suites[0]
    assert itself.leaked == itself.images == itself.found["same name"] == 22


def test_any_number_of_workers_finds_the_same_in_the_same_order(sets):
    def told(workers):
        return {**audit(sets, num_workers=workers).as_dict(), "settings": None}

    assert json.dumps(told(0)) == json.dumps(told(2))


def test_the_list_leaves_nothing_behind(sets, tmp_path, world):
    """Audit, list, stream with the list through the datamodule, audit again."""
    from datamodules.image_text import ImageTextDataModule
    from mmcs.codeswitch.stage import ChooseCaption
    from mmcs.model.build import build_towers

    overlap = audit(sets)
    path = tmp_path / "exclude.txt"
    write_list(path, overlap)
    assert "# same picture: one/test/0/b\nset/train/0/copy\n" in path.read_text("utf-8")
    towers = build_towers(name=f"{world}/model.json", lock_image=False, lock_text=False)
    data = ImageTextDataModule(
        towers,
        (ChooseCaption(seed=0, variants=0, source_language="en"),),
        [],
        seed=0,
        train_shards=sets[0],
        batch_size=32,
        num_workers=0,
        exclude=[str(path)],
    )
    (batch,) = data.train_dataloader()
    assert sorted(drop.cause for drop in batch["dropped"]) == ["excluded"] * 4 + ["undecodable image"]
    assert set(batch["key"]).isdisjoint({"file", "copy", "drawn", "all"}) and len(batch["key"]) == 18
    again = audit(sets, exclude=(str(path),))
    assert not again.listed and not again.captions and not any(suite.leaked for suite in again.suites)
    assert again.suites[0].found["same caption"] == 0
    assert [each.text for each in again.suites[0].captions] == ["zebra"]


def test_training_captions_may_stand_elsewhere_and_in_another_language(sets, tmp_path):
    texts = {"alt_text": "zwei ALTE Männer spielen Schach.", "captions": {"en": ["Chess in a park on a sunny day"]}}
    train = write(tmp_path / "alt" / "train" / "0.tar", {"a": (jpeg(drawing(80)), "Nothing.", texts)})
    settings = Settings(num_workers=0, reading=Reading(caption="alt_text", text_language="de"))
    overlap = find_overlap(train, {"one": sets[1]}, settings)
    assert overlap.captions == ["zwei ALTE Männer spielen Schach."] and not overlap.listed
    path = tmp_path / "exclude.txt"
    write_list(path, overlap)
    with pytest.raises(DataError, match="1 more excluded"):  # it had no other caption
        find_overlap(train, {"one": sets[1]}, replace(settings, exclude=(str(path),)))


def run(*arguments: str) -> None:
    args = build_parser().parse_args(["data", "overlap", *arguments, "--num-workers", "0"])
    args.run(args)


def test_the_command_prints_tables_or_json_and_writes_list_and_page(sets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train, one, two = sets
    run(train, f"first={one}", two, "--html", "page.html")
    told = capsys.readouterr().out
    assert f"first: 2 of 4 images (50.0%) stand in {train}; none of 4 samples dropped" in told
    assert "same picture\t1\t25.0%\t1\tlisted" in told and "en\t4\t2\t1" in told
    assert "exclude.txt: 3 samples and 3 captions to leave out" in told
    assert "1 of 23 samples dropped (4.3%): 1 undecodable image" in told
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count('src="data:image/webp;base64,') == 6 and "http" not in page
    run(train, one, "--json", "--out", "other.txt")
    told = json.loads(capsys.readouterr().out)
    assert told["suites"]["one_test"]["found"]["same picture"] == {"images": 1, "training_samples": 1}
    assert told["listed"]["set/train/0/file"] == {"kind": "same file", "suite_image": "one/test/0/a"}
    run(two, one)  # nothing in common is no error, and its list may be used as any other
    assert "0 of 4 images" in capsys.readouterr().out
    assert not [line for line in Path("exclude.txt").read_text().splitlines() if not line.startswith("#")]


def test_mistakes_are_one_sentence(sets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, one, _ = sets
    Path("mine.txt").write_text("# by hand\ns/0/b\n")
    for arguments, sentence in (
        ([train, one, one], "two suites are called 'one_test'"),
        ([train, "nowhere"], "nowhere"),
        ([train, one, "--distance", "30"], "--distance is a number of bits, 0 to 15"),
        ([train, one, "--min-words", "0"], "--min-words is at least 1"),
        ([train, one, "--out", "mine.txt"], "was not written by mmcs data overlap"),
        ([train, one, "--out", "."], "is a folder"),
        ([train, one, "--exclude", "mine.txt", "--out", "./mine.txt"], "which --exclude reads"),
    ):
        with pytest.raises(UserError, match=sentence):
            run(*arguments)
    broken = write(tmp_path / "all" / "broken" / "0.tar", {"a": (b"no", "Nothing.", {})})
    for train, suite in ((sets[0], broken), (broken, sets[1])):
        with pytest.raises(
            DataError, match=r"1 undecodable image, such as all/broken/0/a: .*; nothing is left to compare"
        ):
            find_overlap(train, {"suite": suite}, Settings(num_workers=0))
    write_list(tmp_path / "own.txt", audit(sets))
    check_list(tmp_path / "own.txt")
    remark = replace(audit(sets), listed={"#set/train/0/a": ("same file", "one/test/0/a")})
    with pytest.raises(DataError, match="'#set/train/0/a' cannot stand in a list"):
        write_list(tmp_path / "none.txt", remark)
    assert not (tmp_path / "none.txt").exists()


def test_a_page_names_pictures_that_cannot_be_had(sets, tmp_path):
    overlap = audit(sets)
    overlap.suites[0].pairs.append(Pair("same file", "set/train/0/gone", "one/test/0/a", 0, 1.0))
    write_page(tmp_path / "page.html", overlap)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<img") == 7 and "set/train/0/gone" in page
