"""Names of shards as users type them → the list of shards, and how many samples each holds.

Nothing is read here but lists and the files that tell sizes, unless there are none: then the shards are counted.
Called by ``mixture.py`` for the datamodules, and by commands that walk over shards.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.progress import track
from mmcs.stream.remote import Access, Fetcher, is_remote, listing, read_many
from mmcs.stream.tar import index_shard

_LIST = (".txt", ".list")
_TAR_NAME = re.compile(r"([^\s/'\"]+)[.]tar\b")


@dataclass(frozen=True)
class Shard:
    """One tar of samples.

    Attributes:
        source: the set that it belongs to: the last two names of its folder (``stamps/train``), wherever the folder
            lies on this machine or in the cloud. Of several folders with the same two names, the second that is listed
            becomes ``stamps/train~2`` and so on.
        name: file name without ``.tar``.
        path: absolute path, URL, or ``pipe:COMMAND``.
        caption: where its captions stand, other than in the ``.txt``: a key of the ``.json``, or, with a dot before it,
            a file's extension (``.alt``).
        estimated: its size was not known when the order was made; see ``mixture.open_data``.
    """

    source: str
    name: str
    path: str
    caption: str | None = None
    estimated: bool = False

    @property
    def label(self) -> str:
        """``source/name``: a sample's identity without its key."""
        return f"{self.source}/{self.name}"

    @property
    def folder(self) -> str:
        """Path or URL of the folder that it lies in."""
        return _folder(self.path)

    @property
    def remote(self) -> bool:
        return is_remote(self.path)


def expand(
    shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], access: Access | None = None
) -> list[Shard]:
    """The shards that one or several strings name, in that order (sorted within a folder or glob).

    Each string is a tar, a folder (all its ``*.tar``), braces ``{00000..00099}``, a glob, a list of these in a text file
    (``FILE.txt`` or ``FILE.list``, one a line, ``#`` for remarks, relative to the file), or several joined by ``::``. Paths are local or any
    URL that fsspec reads (``https://``, ``s3://``, ``gs://``); ``pipe:COMMAND`` runs a shell command where ``access``
    allows it. URLs with a ``.tar`` are taken at their word.

    Raises:
        UserError: nothing matches, a shard is missing or listed twice, or a ``pipe:`` that is not allowed.
    """
    access = access or Access()
    given = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
    pieces = [piece for text in map(str, given) for piece in _pieces(text)]
    if not pieces:
        raise UserError(
            "No shards are named; give a folder, a .tar, braces such as train/{00000..00099}.tar or a glob."
        )
    paths = [path for piece in pieces for path in _paths(piece, access)]
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise UserError(f"The shard {path} is listed twice; a sample has one place in an epoch.")
        seen.add(path)
    names = _source_names(paths)
    return [Shard(names[_folder(path)], _name(path), path) for path in paths]


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


def _pieces(text: str) -> list[str]:
    return [piece.strip() for piece in ([text] if _is_pipe(text) else text.split("::")) if piece.strip()]


def _is_pipe(text: str) -> bool:
    return text.strip().startswith("pipe:")


def _paths(text: str, access: Access) -> list[str]:
    """The shards behind one piece of what was typed."""
    text = text.removeprefix("file://")
    if text.endswith(_LIST):
        return _listed(text, access)
    if not is_remote(text):
        return [str(path) for path in _local(text)]
    if _is_pipe(text) and not access.allow_pipe:
        raise UserError(
            f"{text!r} would run a shell command; give the shards as files or URLs, or allow it by data.allow_pipe=true."
        )
    found = []
    for name in _unbraced(text):
        here = [name] if _is_pipe(name) or _is_tar(name) else listing(name, access)
        if not here:
            raise UserError(f"{name} holds no *.tar; name a folder of them, a .tar, braces or a glob.")
        found += here
    return found


def _is_tar(url: str) -> bool:
    """Whether a URL names one tar, not a pattern; what follows a ``?`` in a web address is a query, not a pattern."""
    path = url.partition("?")[0] if url.startswith("http") else url
    return path.endswith(".tar") and not set("*?[") & set(path)


def _listed(text: str, access: Access) -> list[str]:
    """The shards of a list in a file."""
    (content,) = read_all([str(Path(text).expanduser())] if not is_remote(text) else [text], access)
    if content is None:
        raise UserError(f"The list of shards {text} does not exist.")
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise DataError(f"{text} is not a list of shards: it is not UTF-8 text.") from None
    found: list[str] = []
    for number, line in enumerate(lines, 1):
        for piece in _pieces(line) if not line.startswith("#") else []:
            if piece.endswith(_LIST):
                raise UserError(f"{text}, line {number}: a list of shards cannot name another list ({piece}).")
            relative = not (is_remote(piece) or piece.startswith(("/", "~", "file://")))
            folder = text.rpartition("/")[0]
            found += _paths(f"{folder}/{piece}" if relative and folder else piece, access)
    if not found:
        raise UserError(f"The list of shards {text} names none; write one a line.")
    return found


def read_all(paths: Sequence[str], access: Access) -> list[bytes | None]:
    """The contents of small files, here or elsewhere; None for one that does not exist."""
    away = [path for path in paths if is_remote(path)]
    fetched = dict(zip(away, read_many(away, access), strict=True)) if away else {}
    return [
        fetched[path] if path in fetched else Path(path).read_bytes() if Path(path).is_file() else None
        for path in paths
    ]


def _unbraced(text: str) -> list[str]:
    from braceexpand import braceexpand

    try:
        return list(braceexpand(text))
    except ValueError:
        raise UserError(f"The braces in {text} do not close; write for example {{00000..00099}}.") from None


def _local(text: str) -> list[Path]:
    """The files behind one piece of what was typed, absolute and without ``..`` (links are kept as they are named)."""
    plain = _existing(text)
    if plain is not None:
        return plain
    names = _unbraced(text)
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


def _folder(path: str) -> str:
    """The folder of a path or URL, without a query; that of a command is the one that it names first, if any."""
    if _is_pipe(path):
        return "pipe:"
    return (path.partition("?")[0] if is_remote(path) else path).rpartition("/")[0]


def _name(path: str) -> str:
    if not _is_pipe(path):
        return (path.partition("?")[0] if is_remote(path) else path).rpartition("/")[2].removesuffix(".tar")
    named = _TAR_NAME.findall(path)
    return f"{named[-1] if named else 'command'}-{blake2b(path.encode(), digest_size=4).hexdigest()}"


def _source_names(paths: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for folder in dict.fromkeys(map(_folder, paths)):
        parts = [part for part in folder.removeprefix("pipe:").split("://")[-1].split("/") if part]
        base = "/".join(parts[-2:]) or ("pipe" if folder == "pipe:" else "shards")
        name, count = base, 1
        while name in names.values():
            count += 1
            name = f"{base}~{count}"
        names[folder] = name
    return names


def _read_sizes(path: str, access: Access) -> dict[str, int]:
    (data,) = read_all([path], access)
    if data is None:
        return {}
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError(f"{path} is not JSON; remove it, and the shards are counted instead.") from None
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
