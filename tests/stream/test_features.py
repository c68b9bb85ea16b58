"""The feature cache: a dictionary on disk that several processes fill, and that an interruption never spoils."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from mmcs.errors import DataError
from mmcs.stream.features import FeatureStore, digest, fill


def row(text: str) -> np.ndarray:
    """What a tower would give: 5 values that depend on the text alone."""
    return np.random.default_rng(int.from_bytes(digest(text)[:4], "little")).normal(size=5).astype(np.float32)


def encode(texts: list[str]) -> np.ndarray:
    return np.stack([row(text) for text in texts])


def items(n: int, start: int = 0) -> list[tuple[bytes, str]]:
    return [(digest(f"caption {i}"), f"caption {i}") for i in range(start, start + n)]


def test_lookup_equals_a_dictionary_over_many_parts(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "text-1")
    expected: dict[bytes, np.ndarray] = {}
    for start in range(0, 300, 30):  # parts overlap
        chunk = items(45, start)
        store.add([one for one, _ in chunk], encode([text for _, text in chunk]))
        expected |= {one: row(text) for one, text in chunk}
    wanted = list(expected)[::-3] + list(expected)[:7] + list(expected)[:7]
    for reader in (store, FeatureStore(tmp_path, "text-1"), pickle.loads(pickle.dumps(store))):
        np.testing.assert_array_equal(reader.lookup(wanted), np.stack([expected[one] for one in wanted]))
    unknown = digest("never seen")
    assert store.missing([unknown, wanted[0], unknown, digest(b"bytes")]) == [unknown, digest(b"bytes")]
    assert len(store) == len(expected)
    with pytest.raises(KeyError, match="1 of 2"):
        store.lookup([wanted[0], unknown])


def test_digests_with_zero_bytes_are_told_apart(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "k")
    names = [bytes(16), b"a" + bytes(15), bytes(15) + b"a", b"a" * 16]
    store.add(names, np.arange(8, dtype=np.float32).reshape(4, 2))
    np.testing.assert_array_equal(store.lookup(names)[:, 0], [0, 2, 4, 6])
    assert all(name in store for name in names)


def test_a_digest_is_in_a_store_where_lookup_finds_it(tmp_path: Path) -> None:
    """Beyond either end of the index, between its rows, and beside those that end in zero bytes, which numpy cuts off."""
    store = FeatureStore(tmp_path, "k")
    assert bytes(16) not in store
    names = [bytes([first]) + bytes(14) + bytes([last]) for first in (1, 3, 5) for last in (0, 2)]
    store.add(names, np.ones((len(names), 2), np.float32))
    assert names[0] not in store, "it looks into the folder only when told to"
    len(store)
    asked = [bytes([first]) + bytes(14) + bytes([last]) for first in range(7) for last in range(4)]
    assert [one for one in asked if one in store] == names


def test_fill_encodes_what_is_missing_once_and_only_once(tmp_path: Path) -> None:
    seen: list[str] = []

    def watched(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return encode(texts)

    store = FeatureStore(tmp_path, "k")
    assert fill(store, items(50), watched, batch_size=7, part_size=20) == 50
    generator = (item for item in items(80) + items(80))
    assert fill(store, generator, watched, batch_size=7, part_size=20) == 30
    assert fill(store, items(80), watched) == 0
    assert sorted(seen) == sorted(text for _, text in items(80))
    assert fill(FeatureStore(tmp_path, "pools"), iter(items(80) * 2), encode, pool_size=4, part_size=30) == 80
    np.testing.assert_array_equal(store.lookup([one for one, _ in items(80)]), encode([text for _, text in items(80)]))


def _half(folder: Path, rank: int) -> None:
    fill(FeatureStore(folder, "k"), items(400)[rank::2], encode, batch_size=8, part_size=16)


def _everything(folder: Path, _: int) -> None:
    fill(FeatureStore(folder, "k"), items(400), encode, batch_size=8, part_size=16)


@pytest.mark.parametrize("work", [_half, _everything], ids=["shared out", "both do all"])
def test_two_processes_fill_one_store_at_once(tmp_path: Path, work) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(tmp_path, rank)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    wanted = items(400)
    found = FeatureStore(tmp_path, "k").lookup([one for one, _ in wanted])
    np.testing.assert_array_equal(found, encode([text for _, text in wanted]))


def _slow(folder: Path) -> None:
    def slowly(texts: list[str]) -> np.ndarray:
        time.sleep(0.005)
        return encode(texts)

    fill(FeatureStore(folder, "k"), items(4000), slowly, batch_size=4, pool_size=8, part_size=8)


def test_a_killed_fill_goes_on_where_it_was(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_slow, args=(tmp_path,))
    process.start()
    while not any(tmp_path.glob("k/part-*")):
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    store = FeatureStore(tmp_path, "k")
    kept = len(store)
    assert 0 < kept < 4000
    assert fill(store, items(4000), encode) == 4000 - kept
    np.testing.assert_array_equal(
        store.lookup([one for one, _ in items(4000)])[::7], encode([t for _, t in items(4000)])[::7]
    )


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda part: (part / "rows.npy").write_bytes((part / "rows.npy").read_bytes()[:-20]),
        lambda part: _flip(part / "rows.npy"),
        lambda part: _flip(part / "digests.npy"),
        lambda part: (part / "rows.npy").unlink(),
        lambda part: (part / "crc32").write_text(""),
        lambda part: np.save(part / "rows.npy", np.array([{}], dtype=object), allow_pickle=True),
    ],
    ids=["cut off", "bit in rows", "bit in digests", "file gone", "no checksum", "pickle"],
)
def test_a_damaged_part_is_left_out_with_a_warning(tmp_path: Path, spoil, caplog: pytest.LogCaptureFixture) -> None:
    writer = FeatureStore(tmp_path, "k")
    fill(writer, items(20), encode)
    spoil(next(tmp_path.glob("k/part-*")))
    store = FeatureStore(tmp_path, "k")
    with caplog.at_level(logging.WARNING):
        assert len(store.missing([one for one, _ in items(20)])) == 20
    assert "damaged" in caplog.text
    assert fill(store, items(20), encode) == 20
    np.testing.assert_array_equal(store.lookup([one for one, _ in items(20)]), encode([text for _, text in items(20)]))


def test_what_cannot_be_features_is_refused(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "k")
    with pytest.raises(DataError, match="not finite"):
        store.add([digest("a")], np.array([[np.nan]]))
    with pytest.raises(DataError, match="shape"):
        store.add([digest("a")], np.zeros((1, 2, 3, 3)))
    assert not store.path.exists()
