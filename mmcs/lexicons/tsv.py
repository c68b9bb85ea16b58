"""Building a lexicon from any table: two columns, or a glossary with a column per language; ``mmcs lexicon build tsv`` calls it.

The file's cells are read here (tabs, commas or semicolons, with the quotes of CSV); lines are ``lines``' business, ranking that of
``pairs``. word2word's text form has its own way in, ``--format word2word``.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmcs.common.language_tags import language_tag
from mmcs.errors import DataError, UserError
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.lines import MAX_DAMAGED, Lines, provenance
from mmcs.lexicons.packages import TAGS
from mmcs.lexicons.pairs import MAX_TOKENS, NO_PAIR, Pairs, clean, positive
from mmcs.lexicons.word2word import read_ranked

POS, WEIGHT = "pos", "weight"
_WEIGHTS = ("weight", "score")
DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
# A cell with line breaks goes on for so many lines at most; a quote that is never closed would swallow the file.
MAX_CELL_LINES = 20


@dataclass(frozen=True)
class Options:
    """How to read a table.

    Attributes:
        languages: the columns of a file without a header (BCP 47 tags, ``pos``, ``weight``); empty where it has one.
        source_language: which column holds the source; "" for the first of ``languages``, or English.
        delimiter: between cells; "" to take tab, semicolon or comma, the first that stands in the first line.
        ignored: names of columns to leave out.
        word2word: a source, then its ranked targets.
        name, licence: for the lexicon's header.
        max_damaged: share of damaged lines above which the file is refused.
        max_tokens: words of the longest phrase.
    """

    languages: tuple[str, ...] = ()
    source_language: str = ""
    delimiter: str = ""
    ignored: tuple[str, ...] = ()
    word2word: bool = False
    name: str = ""
    licence: str = "not stated"
    max_damaged: float = MAX_DAMAGED
    max_tokens: int = MAX_TOKENS


@dataclass
class Columns:
    """What the columns of a table are: a BCP 47 tag, ``pos``, ``weight``, or "" for one that is left out."""

    names: list[str]
    source: int
    targets: dict[int, str] = field(init=False)
    seen: set[int] = field(default_factory=set)  # columns in which a cell holds a letter

    def __post_init__(self) -> None:
        taken = ("", POS, WEIGHT)
        self.targets = {i: name for i, name in enumerate(self.names) if i != self.source and name not in taken}

    @property
    def source_language(self) -> str:
        return self.names[self.source]


def build_tsv(out: str | os.PathLike[str], path: str | os.PathLike[str], options: Options) -> Path:
    """Builds a lexicon from a table and writes it to ``out``.

    Raises:
        UserError: no such file, or columns that are no languages. DataError: a file that cannot be used.
    """
    known = [name for name in options.languages if name not in (POS, WEIGHT)]
    lines = Lines(path, what="a table of words", languages=known, max_damaged=options.max_damaged)
    pairs = _word2word(lines, options) if options.word2word else _table(lines, options)
    lines.check()  # once more: looking ahead for closing quotes ends the file before its last lines are judged
    entries = pairs.entries()
    if not entries:
        raise DataError(f"no pair of {path} could be used.{_first(pairs, lines)}")
    source = {
        "name": options.name or Path(path).name,
        "provenance": provenance(Path(path), lines.sha256),
        "licence": options.licence,
        "left_out": lines.damaged.as_dict() | pairs.left_out.as_dict(),
    }
    return write_lexicon(out, entries, source_language=pairs.source_language, sources=[source])


def _first(pairs: Pairs, lines: Lines) -> str:
    causes = lines.damaged.examples | pairs.left_out.examples
    return "".join(f" First cause: {cause} ({examples[0]})." for cause, examples in itertools.islice(causes.items(), 1))


def _table(lines: Lines, options: Options) -> Pairs:
    """The pairs of a table with a column per language."""
    from mmcs.progress import track

    numbered = iter(lines)
    first = next(numbered, (0, ""))
    delimiter = options.delimiter or next((char for char in "\t;," if char in first[1]), "")
    if not delimiter:
        raise DataError(
            f"{lines.path}: its first line has one column ({first[1][:60]!r}); columns are separated by tabs, semicolons or "
            "commas, or by what --delimiter says."
        )
    cells = _split(first[1], delimiter)
    names = _names(options.languages or cells, options.ignored, lines.path, header=not options.languages)
    columns = Columns(names, _source(names, options, lines.path))
    lines.languages = (*columns.targets.values(), columns.source_language)
    rest = numbered
    if options.languages and [_tag(cell) for cell in cells[: len(names)]] != names[: len(cells)]:
        rest = itertools.chain([first], numbered)  # no header after all: words
    pairs = Pairs(columns.source_language, max_tokens=options.max_tokens)
    separators = re.compile("[|;]".replace(delimiter, ""))
    for number, row in _rows(track(rest, lines.path.name), lines, delimiter, len(names)):
        _add(row, columns, separators, pairs, lines, number)
    _check_columns(columns, lines.path)
    return pairs


def _add(
    row: list[str], columns: Columns, separators: re.Pattern[str], pairs: Pairs, lines: Lines, number: int
) -> None:
    """The pairs of one row: each of the source's spellings with each candidate of each language."""
    text = " | ".join(cell for cell in row if cell)
    weight, pos = None, ""
    for i, cell in enumerate(row):
        if i >= len(columns.names):
            if cell:
                return lines.damage(f"more than {len(columns.names)} columns", number, text)
        elif columns.names[i] == WEIGHT and cell:
            weight = positive(cell)
            if weight is None:
                return lines.damage("weight is not a positive number", number, text)
        elif columns.names[i] == POS:
            pos = cell
        elif i not in columns.seen and any(map(str.isalpha, cell)):
            columns.seen.add(i)
    source = row[columns.source] if columns.source < len(row) else ""
    targets = [(language, row[i]) for i, language in columns.targets.items() if i < len(row) and row[i]]
    if not targets or not source:
        if len(columns.targets) == 1 or len(row) == 1:
            return lines.damage(NO_PAIR, number, text)
        pairs.left_out.add(
            "row without a source" if not source else "row without a target", f"line {number}: {text[:60]}"
        )
        return None
    for spelling in filter(None, map(str.strip, separators.split(source))):
        for language, cell in targets:
            for target in filter(None, map(str.strip, separators.split(cell))):
                pairs.add(language, spelling, target, weight, pos)
    return None


def _rows(
    numbered: Iterator[tuple[int, str]], lines: Lines, delimiter: str, width: int
) -> Iterator[tuple[int, list[str]]]:
    """``(line, cells)``; cells in quotes may hold delimiters and, but in tab-separated files, line breaks."""
    waiting: list[tuple[int, str]] = []
    while (line := waiting.pop(0) if waiting else next(numbered, None)) is not None:
        number, text = line
        if '"' not in text or delimiter == "\t":
            yield number, _split(text, delimiter, width)
            continue
        block = [text]
        while (row := _quoted("\n".join(block), delimiter)) is None and len(block) < MAX_CELL_LINES:
            if len(block) > len(waiting):
                further = next(numbered, None)
                if further is None:
                    break
                waiting.append(further)
            block.append(waiting[len(block) - 1][1])
        if row is None:
            lines.damage("quotes that do not match", number, text)
        else:
            del waiting[: len(block) - 1]
            yield number, row


def _split(text: str, delimiter: str, width: int = 0) -> list[str]:
    """Cells of a line; quotes of a tab-separated file count where they give the columns that are expected."""
    plain = [clean(cell) for cell in text.split(delimiter)]
    if '"' in text:
        row = _quoted(text, delimiter)
        if row is not None and (delimiter != "\t" or len(row) in (width, len(plain))):
            return row
    return plain


def _quoted(text: str, delimiter: str) -> list[str] | None:
    """Cells of a row of CSV; None where its quotes do not match."""
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return [clean(cell) for cell in rows[0]] if len(rows) == 1 else None


def _tag(name: str) -> str:
    """What a column's name stands for; "" where it is neither a language nor ``pos`` or ``weight``."""
    lowered = name.casefold()
    if lowered == POS or lowered in _WEIGHTS:
        return POS if lowered == POS else WEIGHT
    try:
        return TAGS.get(lowered) or language_tag(name)
    except UserError:
        return ""


def _names(cells: Sequence[str], ignored: Sequence[str], path: Path, *, header: bool) -> list[str]:
    """What the columns are, from the header or ``--languages``."""
    unknown_to_ignore = [name for name in ignored if name not in cells]
    if unknown_to_ignore:
        raise UserError(f"{path} has no column {', '.join(unknown_to_ignore)}; it has {', '.join(cells)}.")
    names = ["" if cell in ignored else _tag(cell) for cell in cells]
    strange = [cell or "(no name)" for cell, name in zip(cells, names, strict=True) if not name and cell not in ignored]
    if strange:
        raise UserError(
            f"{path}: {', '.join(map(repr, strange[:5]))} in its header are no language tags (BCP 47: de, pt-BR); leave "
            "columns out with --ignore-columns, or name those of a file without a header with --languages en,de."
            if header
            else f"--languages: {', '.join(map(repr, strange))} is no language tag (BCP 47: de, pt-BR)."
        )
    if twice := [name for name, n in Counter(filter(None, names)).items() if n > 1]:
        raise UserError(f"{path}: two columns are {twice[0]}; leave one out with --ignore-columns.")
    languages = [name for name in names if name not in ("", POS, WEIGHT)]
    if len(languages) < 2:
        raise UserError(f"{path}: a lexicon needs two languages; its columns are {', '.join(cells)}.")
    if len(languages) == 2 and not header and WEIGHT not in names:
        names.append(WEIGHT)  # the third column of two languages, where there is one
    if WEIGHT in names and len(languages) > 2:
        raise UserError(f"{path}: a weight belongs to one pair; with {len(languages)} languages leave that column out.")
    return names


def _source(names: Sequence[str], options: Options, path: Path) -> int:
    """Which column holds the source."""
    languages = [name for name in names if name not in ("", POS, WEIGHT)]
    wanted = _tag(options.source_language) if options.source_language else ""
    if not wanted:
        wanted = languages[0] if options.languages else "en"
    if wanted not in names or wanted in (POS, WEIGHT):
        raise UserError(
            f"{path} has no column {options.source_language or wanted}; its languages are {', '.join(languages)}: say with "
            "--source-language which is the source (or, for a file without a header, name its columns with --languages)."
        )
    return names.index(wanted)


def _check_columns(columns: Columns, path: Path) -> None:
    """A column of numbers is no language, though its name be one: ``id`` is Indonesian."""
    if columns.source not in columns.seen:
        raise DataError(f"{path}: no cell of its column {columns.source_language} holds a letter.")
    for i, language in columns.targets.items():
        if i not in columns.seen:
            raise UserError(
                f"{path}: no cell of its column {language!r} holds a word; leave it out with --ignore-columns {language}."
            )


def _word2word(lines: Lines, options: Options) -> Pairs:
    """The pairs of word2word's text form, whose languages nothing but the options tells."""
    names = _names(options.languages, (), lines.path, header=False) if options.languages else []
    languages = [name for name in names if name not in (POS, WEIGHT)]
    if len(languages) != 2:
        raise UserError("--format word2word needs the two languages of the file: --languages en,de.")
    source_language = _tag(options.source_language) if options.source_language else languages[0]
    if source_language != languages[0]:
        raise UserError(f"--format word2word: the first column is the source ({languages[0]}), not {source_language}.")
    pairs = Pairs(source_language, max_tokens=options.max_tokens)
    read_ranked(lines, pairs, languages[1])
    return pairs
