"""Where FreeDict's files come from: Debian packages that apt-get fetches, or what ``--source`` names.

``freedict.py`` asks for languages and gets dictd indices; what is fetched or unpacked lies in a folder that it gives.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mmcs.errors import DataError, UserError
from mmcs.prepare.debs import download_deb, extract_deb

INSIDE = PurePosixPath("usr/share/dictd")
# FreeDict's names (ISO 639-3) of the languages that it translates English into, and their BCP 47 tags.
CODES = {
    "afr": "af", "ara": "ar", "bul": "bg", "ces": "cs", "cym": "cy", "dan": "da", "deu": "de", "ell": "el", "fin": "fi",
    "fra": "fr", "gle": "ga", "hin": "hi", "hrv": "hr", "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "lat": "la",
    "lit": "lt", "nld": "nl", "nor": "no", "pol": "pl", "por": "pt", "rom": "rom", "rus": "ru", "spa": "es", "srp": "sr",
    "swe": "sv", "swh": "sw", "tur": "tr",
}  # fmt: skip
_NAMED = re.compile(r"([a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{2,8})*)=(.+)")
_PAIR = re.compile(r"eng-([a-z]{3})(?![a-z])")
HELP = "get FreeDict's dictionary (Debian package dict-freedict-eng-{0}, or freedict.org) and name it with --source"


class Found(NamedTuple):
    """A dictionary: the language it translates into (BCP 47), its ``.index``, and what it came out of."""

    language: str
    path: Path
    provenance: str


def tag_of(name: str) -> str:
    """The BCP 47 tag of a language named by FreeDict's code or by its tag.

    Raises:
        UserError: an unknown name; the sentence lists the known ones.
    """
    if name in CODES.values():
        return name
    if name not in CODES:
        known = ", ".join(f"{code} ({tag})" for code, tag in CODES.items())
        raise UserError(f"FreeDict has no English dictionary called {name!r}; it has {known}.")
    return CODES[name]


def find(languages: Sequence[str], sources: Sequence[str], folder: Path) -> list[Found]:
    """A dictionary for every language of ``languages`` (or, without any, for all that ``sources`` hold).

    Languages that no source holds are fetched with apt-get into ``folder``.

    Raises:
        UserError: an unknown language, two dictionaries for one, or nothing to be had for one.
        DataError: a source that holds no dictionary.
    """
    wanted = list(dict.fromkeys(tag_of(name) for name in languages))
    if not wanted and not sources:
        raise UserError(f"no language is named; name one or more of {', '.join(CODES)}, or files with --source.")
    found: dict[str, Found] = {}
    for number, source in enumerate(sources):
        for one in _from_source(source, folder / f"source{number}"):
            if wanted and one.language not in wanted:
                continue
            if one.language in found:
                raise UserError(f"two sources hold {one.language}: {found[one.language].provenance}, {one.provenance}.")
            found[one.language] = one
    for language in wanted:
        if language not in found:
            found[language] = _fetch(language, folder / language)
    return [found[language] for language in wanted or found]


def _from_source(source: str, folder: Path) -> list[Found]:
    named = None if Path(source).exists() else _NAMED.fullmatch(source)
    path = Path(named[2] if named else source)
    if path.suffix == ".deb" and path.is_file():
        extract_deb(path, folder, INSIDE, (".index", ".dz"))
        indices = sorted(folder.glob("*.index"))
    elif path.is_dir():
        indices = sorted(path.rglob("*.index"))
    else:
        indices = [
            index
            for index in (path, path.with_name(path.name + ".index"))
            if index.suffix == ".index" and index.is_file()
        ]
    if not indices:
        raise DataError(
            f"{path} holds no dictd dictionary; --source takes a .deb, a folder or a name such as freedict-eng-deu "
            "with a .index and a .dict.dz."
        )
    if named:
        if len(indices) > 1:
            raise UserError(f"{path} holds {len(indices)} dictionaries; name one of them for {named[1]}.")
        return [Found(named[1], indices[0], path.name)]
    pairs = [(index, pair) for index in indices if (pair := _PAIR.search(index.name))]
    if not pairs:
        raise UserError(f"{path}: its name does not tell the language (eng-deu); write --source de={path}.")
    return [Found(CODES.get(pair[1], pair[1]), index, path.name) for index, pair in pairs]


def _fetch(language: str, folder: Path) -> Found:
    """Fetches the Debian package with apt-get, which checks its signature; no root is needed."""
    code = next(code for code, tag in CODES.items() if tag == language)
    package, help_ = f"dict-freedict-eng-{code}", HELP.format(code)
    folder.mkdir(parents=True)
    deb = download_deb(package, folder, help_)
    return _from_source(str(deb), folder / "files")[0]
