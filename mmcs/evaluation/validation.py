"""``validation/``: the exact rank of every query of every validation of a run, in one small file each.

Nothing is ranked here. ``mmcs.callbacks.recall`` writes the files while training; what compares runs before their end
reads them.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file

FOLDER = "validation"
SCHEMA = 1
_NAME = re.compile(r"step_(\d{8,})\.npz")
_HEADER = "header"
_LARGEST = 1 << 30  # bytes of one file, unpacked: forty times what XM3600 takes

Key = tuple[str, str, str]  # suite, language, task


@dataclass(frozen=True)
class ValidationRanks:
    """The queries of one language and direction, in the order of their ids.

    Attributes:
        ids: (N,) int64, rising: ``stable_id`` of a text's name (``identity#k``) or of an image's identity.
        groups: (N,) int64, ``stable_id`` of the group: the unit of paired statistics.
        ranks: (N,) int32, exact, 1 is best.
    """

    ids: NDArray[np.int64]
    groups: NDArray[np.int64]
    ranks: NDArray[np.int32]


class Validations(Mapping[int, dict[Key, ValidationRanks]]):
    """A run's validations by step, in rising order; a step's file is read, and checked, when it is asked for."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._files = dict(sorted(files.items()))

    def __getitem__(self, step: int) -> dict[Key, ValidationRanks]:
        with _opened(self._files[step], step) as (header, arrays):
            return {
                (part["suite"], part["language"], part["task"]): _ranks(arrays, number, part["queries"])
                for number, part in enumerate(header["parts"])
            }

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    @property
    def seen(self) -> list[str]:
        """The languages with a lexicon in training, by the last validation; none before the first."""
        return list(header["seen_languages"]) if (header := self._last_header()) else []

    @property
    def random_weights(self) -> list[str]:
        """The towers that training began with random weights in, by the last validation; none before the first."""
        return list(self._last_header().get("random_weights", ()))

    def _last_header(self) -> dict[str, Any]:
        if not self._files:
            return {}
        step, path = list(self._files.items())[-1]
        with _opened(path, step) as (header, _):
            return header


def read_validation(run_folder: Path) -> Validations:
    """The validations of a run that is under way or over: ``{step: {(suite, language, task): ValidationRanks}}``.

    Raises:
        UserError: there is no such folder. DataError, when a step is asked for: its file is damaged or of a newer mmcs.
    """
    if not run_folder.is_dir():
        raise UserError(f"{run_folder} is not a run's folder.")
    return Validations(_files(run_folder))


def write_validation(
    run_folder: Path,
    step: int,
    ranks: Mapping[Key, ValidationRanks],
    seen: Collection[str] = (),
    random: Sequence[str] = (),
) -> Path:
    """Writes ``run_folder/validation/step_{step:08d}.npz``, in the place of one of the same step; returns its path.

    The same ranks give the same bytes. What several languages share stands there once: the ids of their queries, and the
    groups, of which a query keeps a number. Before compression a query takes 16 bytes, and 4 where its ids are shared.

    Args:
        seen: languages with a lexicon in training.
        random: towers that training began with random weights in.
    """
    table = np.unique(np.concatenate([own.groups for own in ranks.values()] or [np.empty(0, np.int64)]))
    arrays: dict[str, Any] = {"groups": table}
    places: dict[bytes, int] = {}
    parts: list[dict[str, Any]] = []
    for (suite, language, task), own in ranks.items():
        queries = places.setdefault(own.ids.tobytes() + own.groups.tobytes(), len(places))
        arrays[f"ids.{queries}"] = own.ids
        arrays[f"groups.{queries}"] = np.searchsorted(table, own.groups).astype(np.int32)
        arrays[f"ranks.{len(parts)}"] = own.ranks
        parts.append({"suite": suite, "language": language, "task": task, "queries": queries})
    header = {"schema": SCHEMA, "step": step, "seen_languages": sorted(seen), "parts": parts}
    header |= {"random_weights": list(random)} if random else {}
    arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    target = run_folder / FOLDER / f"step_{step:08d}.npz"
    with atomic_file(target) as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return target


def forget_validations_after(run_folder: Path, step: int) -> None:
    """Removes the validations behind ``step``, where a run that begins or goes on there finds an earlier attempt's."""
    for number, path in _files(run_folder).items():
        if number > step:
            path.unlink()


def _files(run_folder: Path) -> dict[int, Path]:
    named = ((_NAME.fullmatch(path.name), path) for path in (run_folder / FOLDER).glob("step_*.npz"))
    return {int(match[1]): path for match, path in named if match}


@contextmanager
def _opened(path: Path, step: int) -> Iterator[tuple[dict[str, Any], Mapping[str, NDArray[Any]]]]:
    """The header, checked, and the arrays by name, each read when it is asked for."""
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > _LARGEST:
            raise DataError(f"{path} unpacks to {size:,} bytes: that is no validation of mmcs; remove the file.")
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(arrays[_HEADER].tobytes())
            if header["schema"] > SCHEMA:
                raise DataError(f"{path} has schema {header['schema']}, this mmcs reads up to {SCHEMA}: update mmcs.")
            if header["step"] != step:
                raise ValueError(f"it is of step {header['step']}")
            yield header, arrays
    except DataError:
        raise
    except Exception as error:  # zipfile, NumPy and zlib raise nearly anything on damaged files
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        raise DataError(f"{path} is damaged ({what}); remove it, the run's other validations stay readable.") from error


def _ranks(arrays: Mapping[str, NDArray[Any]], number: int, queries: int) -> ValidationRanks:
    ids, groups, ranks = (arrays[f"ids.{queries}"], arrays[f"groups.{queries}"], arrays[f"ranks.{number}"])
    table = arrays["groups"]
    kinds = [array.dtype for array in (ids, groups, ranks, table)]
    if kinds != [np.dtype(kind) for kind in (np.int64, np.int32, np.int32, np.int64)]:
        raise ValueError(f"arrays of {', '.join(map(str, kinds))}")
    if not ids.ndim == table.ndim == 1 or not ids.shape == groups.shape == ranks.shape:
        raise ValueError("ids, groups and ranks are not in step")
    if (ids[1:] <= ids[:-1]).any() or (ranks < 1).any() or (groups < 0).any():
        raise ValueError("ids do not rise, or a rank is below 1")
    return ValidationRanks(ids, table[groups], ranks)
