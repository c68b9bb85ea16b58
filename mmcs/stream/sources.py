"""Names of shards as users type them → the list of shards.

Nothing is read here but lists; how many samples each shard holds is in ``shard_sizes.py``.
Called by ``mixture.py`` for the datamodules, and by commands that walk over shards.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.stream.remote import Access, is_remote, listing, read_many

_LIST = (".txt", ".list")
#: What folders hold that are given in place of one with shards, and what to do with it.
_NO_SHARDS = {
    ".tar.gz": "shards are read uncompressed, unpack each with gunzip",
    ".tgz": "shards are read uncompressed, unpack each with gunzip and name it *.tar",
    ".tar.bz2": "shards are read uncompressed, unpack each with bunzip2",
    ".tar.xz": "shards are read uncompressed, unpack each with unxz",
    ".tar.zst": "shards are read uncompressed, unpack each with unzstd",
    ".parquet": "img2dataset makes *.tar shards of Parquet files with URLs and captions",
    ".arrow": "write its samples as *.tar shards first",
    ".jsonl": "img2dataset makes *.tar shards of URLs and captions, 'mmcs data prepare table' of files and captions",
    ".csv": "img2dataset makes *.tar shards of URLs and captions, 'mmcs data prepare table' of files and captions",
    ".tsv": "img2dataset makes *.tar shards of URLs and captions, 'mmcs data prepare table' of files and captions",
    ".jpg": "'mmcs data prepare table' makes shards of pictures and captions",
    ".png": "'mmcs data prepare table' makes shards of pictures and captions",
    ".zip": "unpack it first",
}
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
        caption_lines: each line of the ``.txt``, or of what gives the captions in its place, is a caption of its own.
        images: extensions of its pictures, the preferred first; None: ``tar.IMAGE_EXTENSIONS``.
        estimated: its size was not known when the order was made; see ``mixture.open_data``.
    """

    source: str
    name: str
    path: str
    caption: str | None = None
    caption_lines: bool = False
    images: tuple[str, ...] | None = None
    estimated: bool = False

    @property
    def label(self) -> str:
        """``source/name``: a sample's identity without its key."""
        return f"{self.source}/{self.name}"

    @property
    def reading(self) -> dict[str, Any]:
        """What is not as usual in how its samples are read, by the names of ``Reading``."""
        usual = Shard("", "", "")
        names = ("caption", "caption_lines", "images")
        return {name: value for name in names if (value := getattr(self, name)) != getattr(usual, name)}

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


@dataclass(frozen=True)
class Reading:
    """How a source's samples are read.

    Attributes:
        caption, caption_lines: as ``Shard`` has them.
        images: extensions of the pictures, the preferred first; None: the usual ones.
        text_language: of the ``.txt``, or of what ``caption`` names.

    Raises:
        UserError: a value that makes no sense.
    """

    caption: str | None = None
    caption_lines: bool = False
    images: Sequence[str] | None = None
    text_language: str = "en"

    def __post_init__(self) -> None:
        if self.caption is not None and (not isinstance(self.caption, str) or not self.caption.strip(". ")):
            raise UserError(
                f"caption names a key of the .json (text, captions.blip2) or a file (.cap); got {self.caption!r}."
            )
        if not isinstance(self.caption_lines, bool):
            raise UserError(f"caption_lines is true or false; got {self.caption_lines!r}.")
        if self.caption is not None and self.caption.startswith("."):
            object.__setattr__(self, "caption", self.caption.lower())  # as extensions are kept
        object.__setattr__(self, "images", _extensions(self.images))

    def expand(
        self, shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], access: Access | None = None
    ) -> list[Shard]:
        """The shards that ``expand`` finds, to be read this way."""
        images = None if self.images is None else tuple(self.images)
        return [
            replace(shard, caption=self.caption, caption_lines=self.caption_lines, images=images)
            for shard in expand(shards, access)
        ]


def _extensions(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Extensions of pictures as ``Shard`` has them, of what a user gives (``.IMG``, ``input.jpg``)."""
    if given is None:
        return None
    named = [given] if isinstance(given, str) else list(given)
    found = tuple(name.strip().lower().lstrip(".") if isinstance(name, str) else "" for name in named)
    if not found or not all(re.fullmatch(r"[^/\s]+", name) for name in found):
        raise UserError(f"data.image_extensions is a list such as [jpg, input.jpg, img]; got {given!r}.")
    return found


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
        hint = f"; did you mean one of its folders {', '.join(inner)}?" if inner else _instead(path)
        raise UserError(f"The folder {text} holds no *.tar{hint}")
    return tars


def _instead(folder: Path) -> str:
    """What a folder without shards holds, and what to do with it."""
    endings = Counter("".join(file.suffixes[-2:]).lower() for file in folder.iterdir() if file.is_file())
    for ending, todo in _NO_SHARDS.items():
        number = sum(count for name, count in endings.items() if name.endswith(ending))
        if number:
            return f", but {number:,} *{ending}: {todo}."
    return "."


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
