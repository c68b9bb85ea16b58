"""Builds a lexicon from FreeDict's English dictionaries: ``mmcs lexicon build freedict`` and the demo call it.

The steps, one module each: files (``packages``) - entries (``dictd``) - senses (``senses``) - candidates (``ranking``) -
lexicon (``format``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmcs.errors import DataError
from mmcs.lexicons.dictd import Dictionary
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.packages import Found, find
from mmcs.lexicons.ranking import rank
from mmcs.lexicons.senses import Sense, senses
from mmcs.prepare.records import Tally

SOURCE_LANGUAGE = "en"


def build_freedict(
    out: str | os.PathLike[str], languages: Sequence[str], sources: Sequence[str | os.PathLike[str]] | None = None
) -> Path:
    """Builds a lexicon of English phrases and writes it to ``out``.

    Args:
        out: the ``.lex`` file.
        languages: FreeDict's codes (deu) or BCP 47 tags (de); empty for all that ``sources`` hold.
        sources: .deb files, folders, or files as ``mmcs lexicon build freedict --source`` takes them; a language that
            they lack is fetched with ``apt-get download``.

    Raises:
        UserError: an unknown language, or one that cannot be had. DataError: a source that cannot be used.
    """
    entries: dict[str, dict[str, list[tuple[str, float]]]] = {}
    origins: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="mmcs-freedict-") as folder:
        for found in find(languages, [os.fspath(source) for source in sources or ()], Path(folder)):
            entries[found.language], origin = _read(found)
            origins.append(origin)
    return write_lexicon(out, entries, source_language=SOURCE_LANGUAGE, sources=origins)


def _read(found: Found) -> tuple[dict[str, list[tuple[str, float]]], dict[str, Any]]:
    """The candidates of one dictionary, and where they come from."""
    dictionary = Dictionary(found.path)
    left_out = Tally()
    every = _senses(dictionary, found.language, left_out)
    entries = rank(every, source_language=SOURCE_LANGUAGE, language=found.language)
    if not entries:
        raise DataError(f"{found.provenance} holds no translation that could be read; is it an English dictionary?")
    return entries, {
        "name": dictionary.name,
        "provenance": found.provenance,
        "licence": dictionary.licence,
        "licence_text": dictionary.availability,
        "language": found.language,
        "left_out": dictionary.damaged.as_dict() | left_out.as_dict(),
    }


def _senses(dictionary: Dictionary, language: str, left_out: Tally) -> Iterator[Sense]:
    from mmcs.progress import track

    for entry in track(dictionary.entries(), f"{language}: {dictionary.name}", len(dictionary)):
        yield from senses(entry, language, left_out)
