"""``validation/``: what is written is read back, small, the same bytes every time, and refused where it is damaged."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest

from mmcs.errors import DataError, UserError
from mmcs.evaluation.validation import (
    ValidationRanks,
    forget_validations_after,
    read_validation,
    write_validation,
)


def some(seed: int = 0, n: int = 7) -> ValidationRanks:
    random = np.random.default_rng(seed)
    ids = np.sort(random.integers(-(2**63), 2**63 - 1, n))
    return ValidationRanks(ids, random.integers(-(2**63), 2**63 - 1, n), random.integers(1, 1000, n).astype(np.int32))


KEYS = [("xm", "en", "image_retrieval"), ("xm", "zh-Hans", "text_retrieval"), ("a/../b", "en", "text_retrieval")]


def test_what_is_written_is_read_back_step_by_step(tmp_path):
    written = {step: {key: some(step + i) for i, key in enumerate(KEYS)} for step in (20, 4, 100_000_000)}
    for step, ranks in written.items():
        write_validation(tmp_path, step, ranks, seen=["fi", "de"], random=["image"])
    read = read_validation(tmp_path)
    assert list(read) == [4, 20, 100_000_000] and len(read) == 3 and read.seen == ["de", "fi"]
    assert read.random_weights == ["image"]
    for step, ranks in read.items():
        assert list(ranks) == KEYS
        for key, queries in ranks.items():
            for name in ("ids", "groups", "ranks"):
                found, expected = getattr(queries, name), getattr(written[step][key], name)
                assert found.dtype == expected.dtype and np.array_equal(found, expected)
    with pytest.raises(KeyError):
        read[5]


def test_a_run_without_validations_and_no_run(tmp_path):
    assert dict(read_validation(tmp_path)) == {} and read_validation(tmp_path).seen == []
    with pytest.raises(UserError, match="is not a run's folder"):
        read_validation(tmp_path / "nothing")


def test_the_same_step_is_replaced_by_the_same_bytes(tmp_path):
    path = write_validation(tmp_path, 3, {KEYS[0]: some(1)})
    other = path.read_bytes()
    assert write_validation(tmp_path, 3, {KEYS[0]: some(2)}) == path and path.read_bytes() != other
    write_validation(tmp_path, 3, {KEYS[0]: some(1)})
    assert path.read_bytes() == other
    assert [file.name for file in path.parent.iterdir()] == ["step_00000003.npz"]  # nothing unfinished beside it


def test_a_failed_write_leaves_the_earlier_file(tmp_path, monkeypatch):
    path = write_validation(tmp_path, 3, {KEYS[0]: some(1)})
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmcs.evaluation.validation.np.savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        write_validation(tmp_path, 3, {KEYS[0]: some(2)})
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def test_what_lies_behind_a_step_is_forgotten(tmp_path):
    for step in (2, 4, 6):
        write_validation(tmp_path, step, {KEYS[0]: some(step)})
    (tmp_path / "validation" / "step_notes.npz").write_bytes(b"a user's own")
    forget_validations_after(tmp_path, 4)
    assert list(read_validation(tmp_path)) == [2, 4]
    assert (tmp_path / "validation" / "step_notes.npz").exists()


def test_queries_that_languages_share_stand_there_once(tmp_path):
    """36 languages of 3,600 images, 261,000 texts: 3.5 MB a validation."""
    random = np.random.default_rng(0)
    images = some(1, 3600)
    ranks = {}
    for language in range(36):
        texts = some(2 + language, 7260)
        groups = random.choice(images.groups, 7260)
        found = np.minimum(1 + random.pareto(0.4, 7260), 3600).astype(np.int32)
        ranks["xm", f"l{language}", "image_retrieval"] = ValidationRanks(texts.ids, groups, found)
        ranks["xm", f"l{language}", "text_retrieval"] = ValidationRanks(images.ids, images.groups, images.ranks)
    path = write_validation(tmp_path, 1, ranks)
    assert path.stat().st_size < 3_600_000
    with zipfile.ZipFile(path) as packed:
        assert sum(name.startswith("ids.") for name in packed.namelist()) == 37


def header(path) -> dict:
    with np.load(path) as arrays:
        return json.loads(arrays["header"].tobytes())


def rewritten(path, change, **arrays):
    """The file anew, its header changed and some of its arrays replaced."""
    with np.load(path) as kept:
        content = {name: kept[name] for name in kept.files}
    told = json.loads(content.pop("header").tobytes())
    change(told)
    content |= arrays
    with path.open("wb") as file:
        np.savez_compressed(file, header=np.frombuffer(json.dumps(told).encode(), np.uint8), **content)


def nothing(told):
    pass


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "empty": lambda path: path.write_bytes(b""),
    "another file": lambda path: path.write_text("step,recall\n"),
    "no header": lambda path: np.savez_compressed(path.open("wb"), ids=np.arange(3)),
    "another step's": lambda path: shutil.copy(write_validation(path.parent.parent, 4, {KEYS[0]: some(1)}), path),
    "parts that are not there": lambda path: rewritten(path, lambda told: told["parts"][0].update(queries=8)),
    "a header that is a list": lambda path: rewritten(path, lambda told: told.update(parts=7)),
    "ids as floats": lambda path: rewritten(path, nothing, **{"ids.0": np.arange(7.0)}),
    "pickled ids": lambda path: rewritten(path, nothing, **{"ids.0": np.array([{}] * 7, object)}),
    "too few ranks": lambda path: rewritten(path, nothing, **{"ranks.0": np.ones(6, np.int32)}),
    "a rank of 0": lambda path: rewritten(path, nothing, **{"ranks.0": np.zeros(7, np.int32)}),
    "a group that is not there": lambda path: rewritten(path, nothing, **{"groups.0": np.full(7, 7, np.int32)}),
    "a group before the first": lambda path: rewritten(path, nothing, **{"groups.0": np.full(7, -1, np.int32)}),
    "ids out of order": lambda path: rewritten(path, nothing, **{"ids.0": np.arange(7)[::-1].astype(np.int64)}),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named_and_the_others_stay_readable(tmp_path, damage):
    good, bad = (write_validation(tmp_path, step, {KEYS[0]: some(1)}) for step in (2, 3))
    damage(bad)
    validations = read_validation(tmp_path)
    with pytest.raises(DataError, match=r"step_00000003\.npz is damaged") as caught:
        validations[3]
    assert str(caught.value).count("\n") == 0
    assert validations[2].keys() == {KEYS[0]} and good.exists()


def test_a_newer_file_and_one_that_unpacks_to_gigabytes_are_refused(tmp_path, monkeypatch):
    path = write_validation(tmp_path, 3, {KEYS[0]: some(1)})
    rewritten(path, lambda told: told.update(schema=2))
    with pytest.raises(DataError, match="schema 2, this mmcs reads up to 1: update mmcs"):
        read_validation(tmp_path)[3]
    write_validation(tmp_path, 3, {KEYS[0]: some(1)})
    monkeypatch.setattr("mmcs.evaluation.validation._LARGEST", 500)
    with pytest.raises(DataError, match=r"unpacks to .* bytes: that is no validation"):
        read_validation(tmp_path)[3]


def test_no_single_byte_that_is_wrong_goes_unnoticed(tmp_path):
    """It is damage, or it stands where it means nothing."""
    path = write_validation(tmp_path, 3, {KEYS[0]: some(1)}, seen=["de"])
    whole = path.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            validations = read_validation(tmp_path)
            (queries,) = validations[3].values()
            assert all(
                np.array_equal(*pair) for pair in zip(vars(queries).values(), vars(some(1)).values(), strict=True)
            )
        except DataError:
            noticed += 1
    assert noticed > len(whole) / 3 / 2
