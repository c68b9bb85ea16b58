"""Building a lexicon from MUSE dictionaries (``en-de.txt``): ``mmcs lexicon build muse`` calls it.

One pair a line, ``source target``, separated by spaces or tabs; further senses of a word stand on lines of their own, the order
of which is kept. Reading is ``lines``' business, ranking that of ``pairs``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcs.common.language_tags import language_tag, languages_of
from mmcs.errors import DataError, UserError
from mmcs.lexicons.cells import Cells
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.headers import without_header
from mmcs.lexicons.lines import MAX_DAMAGED, Lines, provenance
from mmcs.lexicons.order import Order
from mmcs.lexicons.pairs import MAX_TOKENS, NO_PAIR, Pairs
from mmcs.prepare.records import Tally

LICENCE = "CC-BY-NC-4.0"
WHAT = "a MUSE dictionary (two columns, 'source target')"

_NAMED = re.compile(r"([a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{2,8})*)=(.+)")
_PAIR = re.compile(r"([a-z]{2,3})-([a-z]{2,3})(?:\.\d+-\d+)?(?:\.txt)?(?:\.gz)?")
_SPACES = re.compile(" +")


def build_muse(
    out: str | os.PathLike[str],
    files: Sequence[str],
    *,
    source_language: str | None = None,
    licence: str = LICENCE,
    max_damaged: float = MAX_DAMAGED,
    max_tokens: int = MAX_TOKENS,
    header: bool | None = None,
    verbatim: bool = False,
) -> Path:
    """Builds a lexicon from ``files`` and writes it to ``out``.

    Args:
        out: the ``.lex`` file.
        files: paths whose names tell the pair (``en-de.txt``, ``en-de.0-5000.txt``), or ``TAG=path``. Several of one
            language are read one after the other.
        source_language: BCP 47 tag; without it, what the names tell, or English.
        licence: of the files.
        max_damaged: share of damaged lines above which a file is refused.
        max_tokens: words of the longest phrase.
        header: whether the first line of each file is a header; None: it is recognised.
        verbatim: whether words stay as they are, with remarks, grammar and punctuation.

    Raises:
        UserError: no such file, a language that nothing tells, or columns that are the wrong way round. DataError: a file that cannot be used.
    """
    listed, source = _languages(files, source_language)
    pairs = Pairs(source, max_tokens=max_tokens)
    cells = Cells(pairs, separators="", verbatim=verbatim)
    sources: list[dict[str, Any]] = []
    languages = languages_of(language for language, _ in listed)
    for named, path in listed:
        language = languages[named]
        lines = Lines(path, what=WHAT, languages=(language, source), max_damaged=max_damaged)
        pairs.left_out, cells.cleaned = Tally(), Tally()
        notes = [f"{named} is taken as {language}"] if named != language else []
        read(lines, cells, language, header=header, notes=notes)
        sources.append(
            {
                "name": f"MUSE {source}-{language}",
                "provenance": provenance(path, lines.sha256),
                "licence": licence,
                "language": language,
                "notes": notes,
                "cleaned": cells.cleaned.as_dict(),
                "left_out": lines.damaged.as_dict() | pairs.left_out.as_dict(),
            }
        )
    pairs.left_out = Tally()
    entries = pairs.entries()
    if not entries:
        raise DataError(f"no pair of {', '.join(files)} could be used; is it {WHAT}?")
    sources[-1]["left_out"] |= pairs.left_out.as_dict()
    return write_lexicon(out, entries, source_language=source, sources=sources)


def read(lines: Lines, cells: Cells, language: str, *, header: bool | None, notes: list[str]) -> None:
    """Adds all pairs of a file whose second column is in ``language`` (BCP 47); see ``read_ranked`` for the rest."""
    order = Order(cells.source_language, language)
    for number, text in without_header(lines, _split, (cells.source_language, language), header, notes):
        columns = _split(text)
        if len(columns) == 2:
            order.add(*columns)
            cells.add(language, columns[0], columns[1])
        else:
            lines.damage(NO_PAIR if len(columns) < 2 else "more than two columns", number, text)
    order.check(lines.path, f"say with --source-language and TAG= that it is {language} to {cells.source_language}")


def _split(text: str) -> list[str]:
    if "\t" in text:
        return [column for part in text.split("\t") if (column := part.strip())]
    return _SPACES.split(text.strip(" "))


def _languages(files: Sequence[str], source_language: str | None) -> tuple[list[tuple[str, Path]], str]:
    """The target language of each file, and the source language of all."""
    listed: list[tuple[str, Path]] = []
    told: dict[str, str] = {}
    for file in files:
        named = None if Path(file).exists() else _NAMED.fullmatch(file)
        path = Path(named[2] if named else file)
        pair = _PAIR.fullmatch(path.name)
        if named:
            language = language_tag(named[1])
        elif pair:
            language = language_tag(pair[2])
        elif not path.exists():
            raise UserError(f"there is no file {file}.")
        else:
            raise UserError(f"{file}: its name does not tell the languages (en-de.txt); write de={file}.")
        if pair:
            told.setdefault(language_tag(pair[1]), path.name)
            if not named and source_language and language_tag(pair[1]) != language_tag(source_language):
                raise UserError(
                    f"{path.name} translates from {pair[1]} by its name, --source-language says {source_language}; "
                    f"leave the option out, or write {pair[2]}={file} if the name is wrong."
                )
        listed.append((language, path))
    if source_language is None and len(told) > 1:
        by = ", ".join(f"{source} ({name})" for source, name in told.items())
        raise UserError(f"a lexicon has one source language, the files' names tell {by}; say which: --source-language.")
    source = next(iter(told), "en") if source_language is None else language_tag(source_language)
    for language, path in listed:
        if language == source:
            raise UserError(
                f"{path} would translate {source} into itself; say what it is with TAG= and --source-language."
            )
    return listed, source
