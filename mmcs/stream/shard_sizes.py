"""How many samples each shard holds: as the files beside the shards say, else counted.

Called by ``mixture.py`` for the datamodules, and by commands that walk over shards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from mmcs.common.file_kind import LOOKED_AT, file_kind
from mmcs.errors import DataError
from mmcs.progress import track
from mmcs.stream.remote import Access, Fetcher, is_remote
from mmcs.stream.sources import Shard, read_all
from mmcs.stream.tar import index_shard


def sizes(shards: Sequence[Shard], access: Access | None = None) -> list[int]:
    """How many samples each shard holds: as ``known_sizes``, and those that nobody tells by counting.

    Counting reads every header once and shows its progress on standard error. A ``sizes.json`` that promises too
    many never stops the stream: what is not there is dropped and counted as "missing".

    Raises:
        DataError: as ``known_sizes``, or a shard that cannot be fetched to be counted.
    """
    known = known_sizes(shards, access)
    counted = iter(
        _count([shard.path for shard, size in zip(shards, known, strict=True) if size is None], access or Access())
    )
    return [next(counted) if size is None else size for size in known]


def known_sizes(shards: Sequence[Shard], access: Access | None = None) -> list[int | None]:
    """Samples per shard, from the ``sizes.json`` beside it ({file name: count}), else from img2dataset's
    ``SHARD_stats.json``; None where there is neither.

    Raises:
        DataError: a ``sizes.json`` that is not an object of counts.
    """
    access = access or Access()
    piped = [shard.path.startswith("pipe:") for shard in shards]
    folders = [shard.folder for shard in shards]
    listed = {
        folder: _read_sizes(f"{folder}/sizes.json", access)
        for folder, is_pipe in dict(zip(folders, piped, strict=True)).items()
        if not is_pipe
    }
    known = [listed.get(folder, {}).get(f"{shard.name}.tar") for folder, shard in zip(folders, shards, strict=True)]
    unknown = [number for number, size in enumerate(known) if size is None and not piped[number]]
    stats = read_all([f"{folders[number]}/{shards[number].name}_stats.json" for number in unknown], access)
    for number, content in zip(unknown, stats, strict=True):
        known[number] = _successes(content)
    return known


def _read_sizes(path: str, access: Access) -> dict[str, int]:
    (data,) = read_all([path], access)
    if data is None:
        return {}
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        kind = file_kind(data[:LOOKED_AT])
        what = "" if kind is None or kind.what == "JSON text" else f" but {kind}"
        raise DataError(f"{path} is not JSON{what}; without it the shards are counted.") from None
    if not isinstance(content, dict) or not all(type(size) is int and size >= 0 for size in content.values()):
        raise DataError(f"{path} is not an object of {{file name: number of samples}}; remove it or write it anew.")
    return content


def _successes(stats: bytes | None) -> int | None:
    """The number of samples by img2dataset's statistics of a shard."""
    try:
        content: Any = json.loads(stats or b"null")
    except (ValueError, RecursionError):
        return None  # not img2dataset's: the shard is counted
    count = content.get("successes") if isinstance(content, dict) else None
    return count if type(count) is int and count >= 0 else None


def _count(paths: Sequence[str], access: Access) -> list[int]:
    fetcher, counts = Fetcher(access), []
    try:
        for path in track(paths, "Counting samples (no sizes.json)"):
            if not is_remote(path):
                counts.append(len(index_shard(path)))
                continue
            descriptor = fetcher.open(path)
            try:
                counts.append(len(index_shard(descriptor)))
            finally:
                os.close(descriptor)
    except OSError as error:
        raise DataError(f"the samples could not be counted: {error}; write a sizes.json beside the shards.") from error
    finally:
        fetcher.close()
    return counts
