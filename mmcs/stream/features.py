"""The feature cache: what a locked trunk yields for an image or a caption, computed once and kept on disk.

``FeatureStore`` keeps rows by the digest of their input; ``fill`` computes those that are missing. What a row stands
for is in the store's key (``Towers.image_fingerprint`` and ``text_fingerprint``); datamodules join the two.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np

from mmcs.errors import DataError
from mmcs.files import atomic_folder

log = logging.getLogger(__name__)

DIGEST_SIZE = 16


def digest(content: bytes | str) -> bytes:
    """16 bytes that stand for an encoded image's bytes or a caption."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).digest()


class FeatureStore:
    """Feature rows on disk, found by digest. Rows are float32, as computed: a cached run repeats an uncached one.

    A store is a folder of parts, each a folder with sorted ``digests.npy`` and ``rows.npy`` (memory-mapped) and
    checksums. Parts appear whole, under unique names, so any number of processes may add at once and an interrupted
    write is never seen. A damaged part is left out with a warning: its rows count as missing.

    Args:
        folder: where stores live, such as ``cache_folder() / "features"``.
        key: names what the rows are a function of, besides the digest; a word of letters, digits, ``-``, ``_``.
    """

    def __init__(self, folder: str | os.PathLike[str], key: str) -> None:
        if not key.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{key!r} cannot name a feature store")
        self.folder, self.key = Path(folder), key
        self.path = self.folder / key
        self._known: set[str] = set()  # every part seen, damaged ones included
        self._parts: list[Path] = []
        self._digests = np.empty(0, f"S{DIGEST_SIZE}")  # sorted, of all parts
        self._places = np.empty((0, 2), np.int64)  # part and row of each digest

    def __reduce__(self) -> tuple[Any, ...]:
        return FeatureStore, (self.folder, self.key)  # workers read the index anew instead of receiving a copy

    def __len__(self) -> int:
        self._refresh()
        return len(self._digests)

    def __contains__(self, one: bytes) -> bool:
        """Whether a digest was there at the last look into the folder."""
        at = self._digests.searchsorted(one)  # asked of every sample: a fifth of what ``_find`` takes for one
        return self._digests[at : at + 1].tobytes() == one

    def missing(self, digests: Iterable[bytes]) -> list[bytes]:
        """Those of ``digests`` that are not there, each once, in the order in which they first come."""
        self._refresh()
        unique = list(dict.fromkeys(digests))
        found = self._find(unique) >= 0
        return [one for one, is_found in zip(unique, found.tolist(), strict=True) if not is_found]

    def lookup(self, digests: Sequence[bytes]) -> np.ndarray:
        """float32 (n, F) rows of ``digests``, in their order.

        Raises:
            KeyError: some are not there; ``missing`` tells which.
        """
        found = self._find(digests)
        if (found < 0).any():
            self._refresh()  # another process may have added them
            found = self._find(digests)
        if (found < 0).any():
            raise KeyError(f"{int((found < 0).sum())} of {len(digests)} features are not in {self.path}")
        places = self._places[found]
        rows: np.ndarray | None = None
        for part in np.unique(places[:, 0]):
            here = places[:, 0] == part
            source = _open_rows(self._parts[part])
            if rows is None:
                rows = np.empty((len(digests), source.shape[1]), np.float32)
            rows[here] = source[places[here, 1]]
        return rows if rows is not None else np.empty((0, 0), np.float32)

    def add(self, digests: Sequence[bytes], features: np.ndarray) -> None:
        """Writes ``features`` (n, F) of n ``digests`` as a new part.

        Raises:
            DataError: features that are no matrix of n finite rows; nothing is kept then.
        """
        if features.ndim != 2 or len(features) != len(digests):
            raise DataError(f"features of shape {features.shape} cannot be cached for {len(digests)} inputs.")
        if not np.isfinite(features).all():
            raise DataError("the locked tower yields values that are not finite; they were not cached.")
        if not digests:
            return
        names, first = np.unique(_array(digests), return_index=True)
        rows = np.ascontiguousarray(features[first], np.float32)
        with atomic_folder(self.path / f"part-{uuid.uuid4().hex}") as partial:
            for name, array in (("digests.npy", names), ("rows.npy", rows)):
                with (partial / name).open("wb") as handle:
                    np.save(handle, array, allow_pickle=False)
                    handle.flush()
                    os.fsync(handle.fileno())
            (partial / "crc32").write_text(f"{_checksum(names)} {_checksum(rows)}")

    def _find(self, digests: Sequence[bytes]) -> np.ndarray:
        """int64 (n,) places in the index, -1 where a digest is not there."""
        wanted = _array(digests)
        if not len(self._digests) or not len(wanted):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(self._digests, wanted), len(self._digests) - 1)
        return np.where(self._digests[at] == wanted, at, -1)

    def _refresh(self) -> None:
        """Takes in parts that have come since the last look."""
        names = sorted(path.name for path in self.path.glob("part-*"))
        new = [(self.path / name) for name in names if name not in self._known]
        self._known.update(names)
        digests, places = [self._digests], [self._places]
        for part in new:
            try:
                read = _read_part(part, _open_rows(self._parts[0]).shape[1] if self._parts else None)
            except (OSError, ValueError) as error:
                log.warning("%s is damaged (%s): it is removed and its features are computed again.", part, error)
                shutil.rmtree(part, ignore_errors=True)
                continue
            digests.append(read)
            places.append(np.stack((np.full(len(read), len(self._parts)), np.arange(len(read))), axis=1))
            self._parts.append(part)
        if new:
            self._digests, first = np.unique(np.concatenate(digests), return_index=True)
            self._places = np.concatenate(places)[first]


def _array(digests: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), f"S{DIGEST_SIZE}")


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(array.view(np.uint8).data)


def _read_part(part: Path, width: int | None) -> np.ndarray:
    """A part's digests, after checking it whole (about a second per GB). Raises OSError or ValueError if damaged."""
    digests = np.load(part / "digests.npy", allow_pickle=False)
    rows = _open_rows(part)
    if digests.dtype != np.dtype(f"S{DIGEST_SIZE}") or rows.dtype != np.float32 or rows.ndim != 2:
        raise ValueError("unexpected type")
    if len(digests) != len(rows) or (width is not None and rows.shape[1] != width):
        raise ValueError("unexpected shape")
    if (part / "crc32").read_text() != f"{_checksum(digests)} {_checksum(rows)}":
        raise ValueError("its checksum differs")
    return digests


@functools.lru_cache(maxsize=256)  # bounds the number of open files
def _open_rows(part: Path) -> np.ndarray:
    return np.load(part / "rows.npy", mmap_mode="r", allow_pickle=False)


def fill(
    store: FeatureStore,
    items: Iterable[tuple[bytes, Any]],
    encode: Callable[[list[Any]], np.ndarray],
    *,
    batch_size: int = 64,
    pool_size: int = 4096,
    part_size: int = 4096,
    description: str | None = None,
) -> int:
    """Computes what ``store`` lacks and returns how many rows that were.

    A run that is interrupted goes on after the last part written. Processes that fill one store at once share it out
    among themselves beforehand; what two of them compute is kept twice and does no harm.

    Args:
        items: (digest, payload) pairs; may be a generator, and is then never held beyond ``pool_size`` payloads.
        encode: B payloads → (B, F).
        batch_size: payloads per call of ``encode``.
        pool_size: payloads gathered at a time. Texts are sorted by length within, so that little is padding.
        part_size: rows between two writes (at least so many).
        description: stands before the progress bar; None: no bar. There is none for a generator.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    total = None
    if isinstance(items, Sized):
        total = len(store.missing(one for one, _ in items))
        if not total:
            return 0
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    done = 0
    waiting: dict[bytes, np.ndarray] = {}  # computed, not yet written

    def write() -> int:
        store.add(list(waiting), np.stack(list(waiting.values())))
        count = len(waiting)
        waiting.clear()
        return count

    console = Console(stderr=True)
    hidden = total is None or description is None or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(description or "", total=total)
        for pool in _pools(store, items, pool_size, waiting):
            if isinstance(pool[0][1], str):
                pool.sort(key=lambda item: len(item[1]))
            for start in range(0, len(pool), batch_size):
                batch = pool[start : start + batch_size]
                rows = np.asarray(encode([payload for _, payload in batch]))
                waiting.update(zip((one for one, _ in batch), rows, strict=True))
                progress.advance(task, len(batch))
            if len(waiting) >= part_size:
                done += write()
    return done + write() if waiting else done


def _pools(
    store: FeatureStore, items: Iterable[tuple[bytes, Any]], pool_size: int, waiting: dict[bytes, np.ndarray]
) -> Iterator[list[tuple[bytes, Any]]]:
    """Items that are missing and not among those ``waiting``, each once, in lists of at least ``pool_size`` (the last may be
    shorter).
    """
    pool: dict[bytes, Any] = {}
    glimpse: dict[bytes, Any] = {}  # looked up together: one by one would cost more than the reading

    def sift() -> None:
        pool.update((one, glimpse[one]) for one in store.missing(glimpse) if one not in waiting)
        glimpse.clear()

    for one, payload in items:
        glimpse[one] = payload
        if len(glimpse) >= min(256, pool_size):
            sift()
        if len(pool) >= pool_size:
            yield list(pool.items())
            pool.clear()
    sift()
    if pool:
        yield list(pool.items())
