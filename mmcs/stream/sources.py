"""Names of shards as users type them → the list of shards, and how many samples each holds.

Nothing is read here but ``sizes.json``, unless it is missing: then the shards are counted. Called by the datamodules
and by commands that walk over shards.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcs.errors import DataError, UserError
from mmcs.progress import track
from mmcs.stream.tar import index_shard

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True)
class Shard:
    """One tar of samples.

    Attributes:
        source: the set that it belongs to: the last two names of its folder (``stamps/train``), wherever the folder
            lies on this machine. Of several folders with the same two names, the second that is listed becomes
            ``stamps/train~2`` and so on.
        name: file name without ``.tar``.
        path: absolute path.
    """

    source: str
    name: str
    path: str

    @property
    def label(self) -> str:
        """``source/name``: a sample's identity without its key."""
        return f"{self.source}/{self.name}"


def expand(shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Shard]:
    """The shards that one or several strings name, in that order (sorted within a folder or glob).

    Each string is a tar, a folder (all its ``*.tar``), braces ``{00000..00099}``, a glob, or several of these joined
    by ``::``.

    Raises:
        UserError: nothing matches, a shard is missing or listed twice, or the string is not a local path.
    """
    given = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
    pieces = [piece for text in map(str, given) for piece in ([text] if _is_pipe(text) else text.split("::"))]
    if not any(piece.strip() for piece in pieces):
        raise UserError(
            "No shards are named; give a folder, a .tar, braces such as train/{00000..00099}.tar or a glob."
        )
    paths = [path for piece in pieces if piece.strip() for path in _local(piece.strip())]
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise UserError(f"The shard {path} is listed twice; a sample has one place in an epoch.")
        seen.add(path)
    names = _source_names(paths)
    return [Shard(names[path.parent], path.name.removesuffix(".tar"), str(path)) for path in paths]


def sizes(shards: Sequence[Shard]) -> list[int]:
    """How many samples each shard holds, from the ``sizes.json`` beside it ({file name: count}), else by counting.

    Counting reads every header once and shows its progress on standard error. A ``sizes.json`` that promises too
    many never stops the stream: what is not there is dropped and counted as "missing".

    Raises:
        DataError: a ``sizes.json`` that is not an object of counts.
    """
    listed: dict[Path, dict[str, int]] = {}
    for folder in dict.fromkeys(Path(shard.path).parent for shard in shards):
        listed[folder] = _read_sizes(folder / "sizes.json")
    known = [listed[Path(shard.path).parent].get(Path(shard.path).name) for shard in shards]
    if None in known:
        counted = iter(_count([shard.path for shard, size in zip(shards, known, strict=True) if size is None]))
        return [next(counted) if size is None else size for size in known]
    return [size for size in known if size is not None]


def _is_pipe(text: str) -> bool:
    return text.strip().startswith("pipe:")


def _local(text: str) -> list[Path]:
    """The files behind one piece of what was typed, absolute and without ``..`` (links are kept as they are named)."""
    if _is_pipe(text):
        raise UserError(f"{text!r} would run a shell command; give the shards as files.")
    if scheme := _SCHEME.match(text):
        raise UserError(
            f"{text} cannot be read: shards are read from local paths, not over {scheme[1]}; copy them first."
        )
    plain = _existing(text)
    if plain is not None:
        return plain
    from braceexpand import braceexpand

    try:
        names = list(braceexpand(text))
    except ValueError:
        raise UserError(f"The braces in {text} do not close; write for example {{00000..00099}}.") from None
    found = [_existing(name) or _matching(name) for name in names]
    missing = [name for name, paths in zip(names, found, strict=True) if not paths]
    if missing:
        more = f" (nor do {len(missing) - 1} more of the {len(names)} that {text} names)" if len(missing) > 1 else ""
        raise UserError(
            f"The shard {missing[0]} does not exist{more}; name a folder of *.tar, a .tar, braces or a glob."
        )
    return [path for paths in found for path in paths]


def _existing(text: str) -> list[Path] | None:
    """The file, or the tars of the folder, with exactly this name; None when there is neither."""
    path = Path(os.path.normpath(Path(text).expanduser().absolute()))
    if path.is_file():
        return [path]
    if not path.is_dir():
        return None
    tars = sorted(file for file in path.glob("*.tar") if not file.name.startswith(".") and file.is_file())
    if not tars:
        inner = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and any(folder.glob("*.tar")))
        hint = f"; did you mean one of its folders {', '.join(inner)}?" if inner else "."
        raise UserError(f"The folder {text} holds no *.tar{hint}")
    return tars


def _matching(pattern: str) -> list[Path]:
    names = sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207 (takes absolute patterns)
    return [path for name in names for path in _existing(name) or []]


def _source_names(paths: Sequence[Path]) -> dict[Path, str]:
    names: dict[Path, str] = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        base = "/".join(part for part in folder.parts[-2:] if part != folder.anchor) or "shards"
        name, count = base, 1
        while name in names.values():
            count += 1
            name = f"{base}~{count}"
        names[folder] = name
    return names


def _read_sizes(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise DataError(f"{path} is not JSON; remove it, and the shards are counted instead.") from None
    if not isinstance(content, dict) or not all(type(size) is int and size >= 0 for size in content.values()):
        raise DataError(f"{path} is not an object of {{file name: number of samples}}; remove it or write it anew.")
    return content


def _count(paths: Sequence[str]) -> list[int]:
    return [len(index_shard(path)) for path in track(paths, "Counting samples (no sizes.json)")]
