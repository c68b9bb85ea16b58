"""Where FreeDict's files come from: Debian packages that apt-get fetches, or what ``--source`` names.

``freedict.py`` asks for languages and gets dictd indices and TEI files; what is fetched or unpacked lies in a folder that it
gives.
"""

from __future__ import annotations

import lzma
import re
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.prepare.debs import download_deb, extract_deb

INSIDE = PurePosixPath("usr/share/dictd")
ENGLISH = "en"
MAX_UNPACKED_BYTES = 2**31
# FreeDict's names (ISO 639-3) of the languages that it translates English into, and their BCP 47 tags.
CODES = {
    "afr": "af", "ara": "ar", "bul": "bg", "ces": "cs", "cym": "cy", "dan": "da", "deu": "de", "ell": "el", "fin": "fi",
    "fra": "fr", "gle": "ga", "hin": "hi", "hrv": "hr", "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "lat": "la",
    "lit": "lt", "nld": "nl", "nor": "no", "pol": "pl", "por": "pt", "rom": "rom", "rus": "ru", "spa": "es", "srp": "sr",
    "swe": "sv", "swh": "sw", "tur": "tr",
}  # fmt: skip
# The same for the others: sources of dictionaries, and targets of dictionaries from other languages.
TAGS = CODES | {
    "ast": "ast", "bel": "be", "bre": "br", "cat": "ca", "ckb": "ckb", "eng": "en", "epo": "eo", "est": "et", "eus": "eu",
    "fas": "fa", "gla": "gd", "glg": "gl", "heb": "he", "isl": "is", "kha": "kha", "kmr": "kmr", "kor": "ko", "kur": "ku",
    "lav": "lv", "mkd": "mk", "mlg": "mg", "nno": "nn", "nob": "nb", "oci": "oc", "pes": "fa", "ron": "ro", "san": "sa",
    "slk": "sk", "slv": "sl", "swa": "sw", "ukr": "uk", "vie": "vi", "wol": "wo", "zho": "zh-Hans",
}  # fmt: skip
_NAMED = re.compile(r"([a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{2,8})*)=(.+)")
_PAIR = re.compile(r"(?<![a-z])([a-z]{3})-([a-z]{3})(?![a-z])")
_ARCHIVE = re.compile(r"\.(?:tar\.(?:xz|gz|bz2)|t[gx]z|tar)$")
HELP = "get FreeDict's dictionary (Debian package dict-freedict-{0}-{1}, or freedict.org) and name it with --source"


class Found(NamedTuple):
    """A dictionary: its languages (BCP 47), its ``.index`` or ``.tei``, and what it came out of."""

    source_language: str
    language: str
    path: Path
    provenance: str


def tag_of(name: str, source_language: str = ENGLISH) -> str:
    """The BCP 47 tag of a language named by FreeDict's code or by its tag.

    Raises:
        UserError: an unknown name; the sentence lists the known ones.
    """
    codes = CODES if source_language == ENGLISH else TAGS
    if name in codes.values():
        return name
    if name not in codes:
        known = ", ".join(f"{code} ({tag})" for code, tag in codes.items())
        of = "English dictionary" if source_language == ENGLISH else f"dictionary from {source_language}"
        raise UserError(f"FreeDict has no {of} called {name!r}; it has {known}.")
    return codes[name]


def find(
    languages: Sequence[str], sources: Sequence[str], folder: Path, source_language: str | None = None
) -> list[Found]:
    """A dictionary for every language of ``languages`` (or, without any, for all that ``sources`` hold).

    Languages that no source holds are fetched with apt-get into ``folder``.

    Args:
        languages: targets, by FreeDict's code or BCP 47 tag.
        sources: .deb, .tei, archive, folder or name of a dictd dictionary, with ``TAG=`` where the name tells no pair.
        folder: for what is fetched and unpacked.
        source_language: BCP 47 tag; without it, that of the first source, or English.

    Raises:
        UserError: an unknown language, two dictionaries for one, dictionaries from two languages, or nothing to be had.
        DataError: a source that holds no dictionary.
    """
    if not languages and not sources:
        raise UserError(f"no language is named; name one or more of {', '.join(CODES)}, or files with --source.")
    wanted_source = None if source_language is None else TAGS.get(source_language) or language_tag(source_language)
    listed = [
        one
        for number, source in enumerate(sources)
        for one in _from_source(source, folder / f"source{number}", wanted_source)
    ]
    base = wanted_source or (listed[0].source_language if listed else ENGLISH)
    wanted = list(dict.fromkeys(tag_of(name, base) for name in languages))
    found: dict[str, Found] = {}
    for one in listed:
        if one.source_language != base:
            raise UserError(
                f"{one.provenance} translates from {one.source_language}, others from {base}: a lexicon has one source "
                "language; say which with --source-language."
            )
        if wanted and one.language not in wanted:
            continue
        if one.language in found:
            raise UserError(f"two sources hold {one.language}: {found[one.language].provenance}, {one.provenance}.")
        found[one.language] = one
    for language in wanted:
        if language not in found:
            found[language] = _fetch(base, language, folder / language)
    return [found[language] for language in wanted or found]


def _from_source(source: str, folder: Path, source_language: str | None) -> list[Found]:
    """The dictionaries that a source holds; without those from another language, where one is asked for."""
    named = None if Path(source).exists() else _NAMED.fullmatch(source)
    path = Path(named[2] if named else source)
    files = _files(path, folder)
    if not files:
        raise DataError(
            f"{path} holds no dictionary; --source takes a .deb, a .tei, a .tar.xz with one, a folder, or a name such as "
            "freedict-eng-deu with a .index and a .dict.dz."
        )
    pairs = {file: pair for file in files if (pair := _pair(file.name))}
    if named:
        if len(files) > 1:
            raise UserError(f"{path} holds {len(files)} dictionaries; name one of them for {named[1]}.")
        told = pairs[files[0]][0] if pairs else ENGLISH
        return [Found(source_language or told, language_tag(named[1]), files[0], path.name)]
    if not pairs:
        raise UserError(f"{path}: its name does not tell the language (eng-deu); write --source de={path}.")
    found = [Found(*pair, file, path.name) for file, pair in pairs.items() if source_language in (None, pair[0])]
    if not found:
        others = ", ".join(sorted({pair[0] for pair in pairs.values()}))
        raise UserError(f"{path} translates from {others}, not from {source_language} (--source-language).")
    return found


def _files(path: Path, folder: Path) -> list[Path]:
    """The dictd indices and TEI files of a source."""
    if path.suffix == ".deb" and path.is_file():
        extract_deb(path, folder, INSIDE, (".index", ".dz"))
        return sorted(folder.glob("*.index"))
    if path.is_dir():
        indices = sorted(path.rglob("*.index"))
        known = {_pair(index.name) for index in indices}
        return indices + [tei for tei in sorted(path.rglob("*.tei")) if _pair(tei.name) not in known]
    if path.is_file() and _ARCHIVE.search(path.name):
        return _unpack(path, folder)
    if path.is_file() and path.suffix in (".tei", ".xml"):
        return [path]
    indices = [path, path.with_name(path.name + ".index")]
    return [index for index in indices if index.suffix == ".index" and index.is_file()]


def _pair(name: str) -> tuple[str, str] | None:
    """The languages (BCP 47) that a file's name tells."""
    pair = _PAIR.search(name)
    return (TAGS.get(pair[1], pair[1]), TAGS.get(pair[2], pair[2])) if pair else None


def _unpack(archive: Path, folder: Path) -> list[Path]:
    """The ``.tei`` files of a source release, written into ``folder`` under their last names."""
    folder.mkdir(parents=True, exist_ok=True)
    total, files = 0, []
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                if not member.isreg() or not name.endswith(".tei"):
                    continue
                total += member.size
                if total > MAX_UNPACKED_BYTES or (folder / name).exists():
                    raise DataError(f"{archive} holds more or larger files than expected ({name}); it is not used.")
                source = tar.extractfile(member)
                assert source is not None  # a regular file
                with (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
                files.append(folder / name)
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise DataError(f"{archive} is damaged or no tar archive ({error}); fetch it again.") from None
    return sorted(files)


def _fetch(source_language: str, language: str, folder: Path) -> Found:
    """Fetches the Debian package with apt-get, which checks its signature; no root is needed."""
    source, target = (
        next((code for code, of in TAGS.items() if of == tag), tag) for tag in (source_language, language)
    )
    package, help_ = f"dict-freedict-{source}-{target}", HELP.format(source, target)
    folder.mkdir(parents=True)
    deb = download_deb(package, folder, help_)
    return _from_source(str(deb), folder / "files", source_language)[0]
