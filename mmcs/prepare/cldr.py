"""Names of emoji in the languages of Unicode CLDR: its annotations of type ``tts``, written and checked by people.

They come out of the Debian package ``unicode-cldr-core``, or of what the user names: CLDR's XML (``annotations`` and
``annotationsDerived``), the npm packages ``cldr-annotations-full`` and ``cldr-annotations-derived-full``, unpacked or not.
Called by emoji.py.
"""

from __future__ import annotations

import difflib
import json
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

import langcodes
from rich.console import Console

from mmcs.errors import DataError, UserError
from mmcs.prepare.debs import download_deb, extract_deb, extract_tar
from mmcs.prepare.suite_files import as_object, parse_json

PACKAGE = "unicode-cldr-core"
INSIDE = PurePosixPath("usr/share/unicode/cldr/common")
FOLDERS = ("annotations", "annotationsDerived")
MAX_BYTES = 32 * 2**20
HELP = (
    f"get CLDR (Debian package {PACKAGE}, npm packages cldr-annotations-full and cldr-annotations-derived-full, or the unpacked "
    "core.zip of the Unicode Consortium) and name it with --cldr"
)
# What CLDR calls a locale, where another tag is usual; and parents that are not the tag cut short.
SAME = {"nb": "no", "tl": "fil", "iw": "he", "in": "id"}
PARENTS = {"es-MX": "es-419", "es-US": "es-419", "nn": "no", "en-AU": "en-001", "en-GB": "en-001", "en-IN": "en-001"}
OWN_SCRIPTS = {"sr-Cyrl": "sr"}  # every other script that stands in a tag is not the language's usual one
INHERITED = "↑↑↑"
UNCHECKED = ("unconfirmed", "provisional")
_SPDX = re.compile(r"SPDX-License-Identifier:\s*(\S+)")


@dataclass(frozen=True, slots=True)
class Names:
    """Emoji to name, by BCP 47 tag as asked for; emoji stand without U+FE0F, as CLDR writes them."""

    by_language: dict[str, dict[str, str]]
    source: str
    licence: str


def cldr_names(languages: Sequence[str], sources: Sequence[Path] = ()) -> Names:
    """The names in ``languages``, what a regional locale lacks being that of the locale above it (es-MX: es-419, es).

    Args:
        languages: BCP 47 tags.
        sources: folders, .deb or .tgz files; without them the Debian package is fetched.

    Raises:
        UserError: CLDR has no names in a language; the sentence lists near ones. A source does not exist.
        DataError: a source holds no annotations, or one that cannot be used.
    """
    with _unpacked(sources) as (roots, label):
        files = _files(roots)
        if not files:
            raise DataError(f"{label} holds no annotations of CLDR; {HELP}.")
        licences: set[str] = set()
        names: dict[str, dict[str, str]] = {}
        for language in languages:
            names[language] = {}
            for locale in reversed(ancestry(language, files)):
                for path in files[locale]:
                    names[language].update(_read(path, licences))
            if not names[language]:
                raise UserError(f"{label} has no names of emoji in '{language}'; near ones: {_near(language, files)}.")
        return Names(names, label, " and ".join(sorted(licences)) or "Unicode licence")


def ancestry(language: str, locales: Mapping[str, Any]) -> list[str]:
    """The locales that give a language's names, itself first; none of another script. Empty where CLDR lacks it.

    >>> ancestry("zh-Hant-HK", dict.fromkeys(["zh-Hans", "zh-Hant", "zh-Hant-HK"]))
    ['zh-Hant-HK', 'zh-Hant']
    """
    locale = language if language in locales else SAME.get(language, language)
    if locale not in locales:
        return []
    found = [locale]
    while True:
        locale = PARENTS.get(locale) or OWN_SCRIPTS.get(locale) or _cut_short(locale)
        if not locale:
            return found
        if locale in locales:
            found.append(locale)


def _cut_short(locale: str) -> str:
    """The tag without its last part; nothing where that is a script."""
    rest, _, last = locale.rpartition("-")
    return "" if len(last) == 4 and last.isalpha() else rest


def _near(language: str, locales: Mapping[str, Any]) -> str:
    """Locales that may have been meant: those of the language first."""
    primary = language.partition("-")[0]
    family = [locale for locale in sorted(locales) if locale.partition("-")[0] == primary and locale != language]
    alike = difflib.get_close_matches(language, sorted(locales), n=5, cutoff=0.4)
    return ", ".join(dict.fromkeys([*family, *alike])) or ", ".join(sorted(locales))


def _files(roots: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of each locale, derived names before CLDR's own, which win."""
    found: dict[str, list[Path]] = {}
    for name in reversed(FOLDERS):
        for root in roots:
            for path in sorted([*root.rglob("*.xml"), *root.rglob("annotations.json")]):
                stem = path.stem if path.suffix == ".xml" else path.parent.name
                folder = path.parent if path.suffix == ".xml" else path.parent.parent
                if folder.name != name or stem in ("root", "und") or not langcodes.tag_is_valid(stem):
                    continue
                # Not mmcs's ``language_tag``: here en_GB and en are two files, of which one lacks what the other has.
                locale = "zh-Hans" if stem == "zh" else langcodes.standardize_tag(stem)
                found.setdefault(locale, []).append(path)
    return found


def _read(path: Path, licences: set[str]) -> dict[str, str]:
    """The checked names of one file; its licence, if it names one, is added to ``licences``."""
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB; it is not read.")
    found = _read_xml(path, licences) if path.suffix == ".xml" else _read_json(path, licences)
    return {emoji.replace("\ufe0f", ""): name for emoji, name in found if name and name != INHERITED}


def _read_json(path: Path, licences: set[str]) -> Iterator[tuple[str, str]]:
    try:
        content = as_object(parse_json(path.read_text("utf-8"), str(path)), str(path))
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8.") from None
    inner = as_object(content.get(path.parent.parent.name), f"{path} ({path.parent.parent.name})")
    for emoji, entry in as_object(inner.get("annotations"), f"{path} (annotations)").items():
        for name in as_object(entry, f"{path} ({emoji})").get("tts") or ():
            yield emoji, str(name)
    package = path.parents[2] / "package.json"
    if package.is_file():
        licences.add(str(as_object(parse_json(package.read_text("utf-8"), str(package)), str(package)).get("license")))


def _read_xml(path: Path, licences: set[str]) -> list[tuple[str, str]]:
    """Reads an XML file that declares nothing of its own; CLDR's only name an outer DTD, which is not fetched."""
    found: list[tuple[str, str]] = []
    text: list[str] = []
    emoji: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "annotation" and attributes.get("type") == "tts" and attributes.get("draft") not in UNCHECKED:
            emoji.append(attributes.get("cp", ""))
            text.clear()

    def end(tag: str) -> None:
        if tag == "annotation" and emoji:
            found.append((emoji.pop(), "".join(text).strip()))

    def doctype(_name: str, _system: str | None, _public: str | None, declares: int) -> None:
        if declares:
            raise DataError(f"{path} declares entities of its own; such XML is not read.")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text.append, doctype
    parser.CommentHandler = lambda comment: licences.update(_SPDX.findall(comment))
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise DataError(
            f"{path} is damaged or no XML (line {error.lineno}: {expat.ErrorString(error.code)})."
        ) from None
    return found


@contextmanager
def _unpacked(sources: Sequence[Path]) -> Iterator[tuple[list[Path], str]]:
    """The folders that hold what ``sources`` name, or the Debian package, and what to call it."""
    for source in sources:
        if not source.exists():
            raise UserError(f"--cldr {source} does not exist; {HELP}.")
    with tempfile.TemporaryDirectory(prefix="mmcs-cldr-") as folder:
        temporary = Path(folder)
        with Console(stderr=True).status(f"Reading {PACKAGE if not sources else 'CLDR'}"):
            paths = list(sources) or [download_deb(PACKAGE, temporary, HELP)]
            roots = [_unpack(path, temporary / f"{place}") for place, path in enumerate(paths)]
        yield roots, f"Unicode CLDR ({', '.join(_label(*pair) for pair in zip(paths, roots, strict=True))})"


def _unpack(path: Path, folder: Path) -> Path:
    if path.is_dir():
        return path
    if path.name.endswith((".tgz", ".tar.gz")):
        try:
            with tarfile.open(path, "r|gz") as tar:
                extract_tar(tar, path, folder, PurePosixPath("package"), (".json",))
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise DataError(f"{path} is damaged or no npm package ({error}); fetch it again.") from None
        return folder
    if path.suffix != ".deb":
        raise UserError(f"--cldr {path} is no folder, .deb or .tgz; {HELP}.")
    for name in FOLDERS:
        extract_deb(path, folder / name, INSIDE / name, (".xml",))
    return folder


def _label(path: Path, root: Path) -> str:
    """``cldr-annotations-full 48.2.0`` from a package's own words, else the name of what was given."""
    try:
        package = json.loads((root / "package.json").read_bytes())
        return f"{package['name']} {package['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        return path.stem if path.is_file() else path.name
