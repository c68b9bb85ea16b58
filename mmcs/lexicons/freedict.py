"""Builds a lexicon from FreeDict's dictionaries: ``mmcs lexicon build freedict`` and the demo call it.

The steps, one module each: files (``packages``) - entries (``dictd``, or ``tei`` for XML) - senses (``senses``) - candidates
(``ranking``) - lexicon (``format``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import Candidate
from mmcs.errors import DataError
from mmcs.lexicons.dictd import Dictionary
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.idioms import CAUSE, idioms
from mmcs.lexicons.packages import Found, find
from mmcs.lexicons.ranking import rank
from mmcs.lexicons.senses import Sense, senses
from mmcs.lexicons.tei import TeiDictionary
from mmcs.prepare.records import Tally


def build_freedict(
    out: str | os.PathLike[str],
    languages: Sequence[str],
    sources: Sequence[str | os.PathLike[str]] | None = None,
    source_language: str | None = None,
) -> Path:
    """Builds a lexicon of phrases of one language and writes it to ``out``.

    Args:
        out: the ``.lex`` file.
        languages: FreeDict's codes (deu) or BCP 47 tags (de); empty for all that ``sources`` hold.
        sources: files and folders as ``mmcs lexicon build freedict --source`` takes them; a language that they lack is
            fetched with ``apt-get download``.
        source_language: BCP 47 tag; without it, what the sources' names tell, or English.

    Raises:
        UserError: an unknown language, or one that cannot be had. DataError: a source that cannot be used.
    """
    entries: dict[str, dict[str, list[Candidate]]] = {}
    origins: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mmcs-freedict-") as folder:
        dictionaries = find(languages, [os.fspath(source) for source in sources or ()], Path(folder), source_language)
        for found in dictionaries:
            entries[found.language], origin = _read(found)
            origins.append(origin)
    _leave_out_idioms(entries, origins, dictionaries[0].source_language)
    return write_lexicon(out, entries, source_language=dictionaries[0].source_language, sources=origins)


def _leave_out_idioms(
    entries: dict[str, dict[str, list[Candidate]]], origins: list[dict[str, Any]], source_language: str
) -> None:
    left = idioms(entries, source_language)
    for origin in origins:
        of_language, tally = entries[origin["language"]], Tally()
        for phrase in sorted(left & of_language.keys()):
            tally.add(CAUSE, f"{phrase} - {of_language.pop(phrase)[0].text}")
        origin["left_out"] |= tally.as_dict()


def _read(found: Found) -> tuple[dict[str, list[Candidate]], dict[str, Any]]:
    """The candidates of one dictionary, and where they come from."""
    dictionary = Dictionary(found.path) if found.path.suffix == ".index" else TeiDictionary(found.path)
    left_out = Tally()
    entries = rank(_senses(dictionary, found, left_out), source_language=found.source_language, language=found.language)
    if not entries:
        raise DataError(
            f"{found.provenance} holds no translation that could be read; is it a dictionary from "
            f"{found.source_language} to {found.language}?"
        )
    return entries, {
        "name": dictionary.name,
        "provenance": found.provenance,
        "licence": dictionary.licence,
        "licence_text": dictionary.availability,
        "language": found.language,
        "left_out": dictionary.damaged.as_dict() | left_out.as_dict(),
    }


def _senses(dictionary: Dictionary | TeiDictionary, found: Found, left_out: Tally) -> Iterator[Sense]:
    from mmcs.progress import track

    about = f"{found.source_language}-{found.language}: {dictionary.name}"
    if isinstance(dictionary, TeiDictionary):
        yield from track(dictionary.senses(found.language, left_out, found.source_language), about)
        return
    for entry in track(dictionary.entries(), about, len(dictionary)):
        yield from senses(entry, found.language, left_out, found.source_language)
