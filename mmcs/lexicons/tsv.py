"""Building a lexicon from any table: two columns, or a glossary with a column per language; ``mmcs lexicon build tsv`` calls it.

The file's cells are read here (tabs, commas or semicolons, with the quotes of CSV). ``columns`` finds out what they are,
``cells`` cleans them, ``pairs`` ranks them. word2word's text form has its own way in, ``--format word2word``.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmcs.common.language_tags import known_language
from mmcs.errors import DataError, UserError
from mmcs.lexicons.cells import Cells
from mmcs.lexicons.columns import POS, WEIGHT, Asked, Columns, find_columns, language_named, named_by_place
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.lines import MAX_DAMAGED, Lines, provenance
from mmcs.lexicons.order import Order
from mmcs.lexicons.pairs import MAX_TOKENS, NO_PAIR, Pairs, clean, positive
from mmcs.lexicons.word2word import read_ranked
from mmcs.prepare.records import Tally

DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
# A cell with line breaks has so many lines at most; a quote that is never closed would swallow the file.
MAX_CELL_LINES = 20

_GUESSED = "\t;,|"
_LOOKED_AT = 50  # lines that tell the delimiter
_SAMPLE = 2000  # rows that tell which columns are languages
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's


@dataclass(frozen=True)
class Options:
    """How to read a table.

    Attributes:
        asked: what the columns are.
        delimiter: between cells; "" for the one that Excel's ``sep=`` line names or that gives the most regular columns.
        word2word: a source, then its ranked targets.
        verbatim: whether cells stay as they are, but for ``|``, ``;`` and line breaks between candidates.
        name, licence: for the lexicon's header.
        max_damaged: share of damaged lines above which the file is refused.
        max_tokens: words of the longest phrase.
    """

    asked: Asked = field(default_factory=Asked)
    delimiter: str = ""
    word2word: bool = False
    verbatim: bool = False
    name: str = ""
    licence: str = "not stated"
    max_damaged: float = MAX_DAMAGED
    max_tokens: int = MAX_TOKENS


@dataclass
class _Read:
    """What a table gave.

    Attributes:
        pairs: all of it.
        notes: sentences about the file.
        cleaned: what was removed from cells.
    """

    pairs: Pairs
    notes: list[str]
    cleaned: Tally


def build_tsv(out: str | os.PathLike[str], path: str | os.PathLike[str], options: Options) -> Path:
    """Builds a lexicon from a table and writes it to ``out``.

    Raises:
        UserError: no such file, or columns that are no languages. DataError: a file that cannot be used.
    """
    lines = Lines(path, what="a table of words", max_damaged=options.max_damaged)
    read = _word2word(lines, options) if options.word2word else _table(lines, options)
    lines.check()  # once more: looking ahead for closing quotes ends the file before its last lines are judged
    pairs = read.pairs
    entries = pairs.entries()
    if not entries:
        raise DataError(f"no pair of {path} could be used.{_first(lines.damaged, pairs.left_out)}")
    source = {
        "name": options.name or Path(path).name,
        "provenance": provenance(Path(path), lines.sha256),
        "licence": options.licence,
        "notes": read.notes,
        "cleaned": read.cleaned.as_dict(),
        "left_out": lines.damaged.as_dict() | pairs.left_out.as_dict(),
    }
    return write_lexicon(out, entries, source_language=pairs.source_language, sources=[source])


def _first(*tallies: Tally) -> str:
    causes = [(cause, examples[0]) for tally in tallies for cause, examples in tally.examples.items()]
    return f" First cause: {causes[0][0]} ({causes[0][1]})." if causes else ""


def _table(lines: Lines, options: Options) -> _Read:
    """The pairs of a table with a column per language."""
    from mmcs.progress import track

    numbered, delimiter = _delimited(iter(lines), lines, options.delimiter)
    first = next(numbered, None)
    if first is None:
        raise DataError(f"{lines.path} holds no row that can be read.{_first(lines.damaged)}")
    header = _split(first[1], delimiter)
    # Known early, they tell in what encoding a file is that is not UTF-8.
    lines.languages = tuple(filter(None, map(language_named, (*options.asked.languages, *header))))
    width = len(header)
    rows = _rows(itertools.chain([first], numbered), lines, delimiter, width)
    sample = list(itertools.islice(rows, _SAMPLE))
    if not sample:
        raise DataError(f"{lines.path} holds no row that can be read.{_first(lines.damaged)}")
    columns = find_columns([row for _, row in sample], options.asked, lines.path, sample[0][0])
    lines.languages = columns.languages
    if not columns.named:
        _check_order(sample, columns, lines.path)
    pairs = Pairs(columns.source_language, max_tokens=options.max_tokens)
    cells = Cells(pairs, separators="|;".replace(delimiter, ""), verbatim=options.verbatim)
    rest = itertools.chain(sample[columns.has_header :], rows)
    for number, row in track(rest, lines.path.name):
        _add(row, columns, cells, lines, number)
    lines.check()
    if columns.source not in columns.seen:
        raise DataError(f"{lines.path}: no cell of its column {columns.source_language} holds a letter.")
    return _Read(pairs, columns.notes, cells.cleaned)


def _delimited(
    numbered: Iterator[tuple[int, str]], lines: Lines, delimiter: str
) -> tuple[Iterator[tuple[int, str]], str]:
    """The lines of the table, without Excel's ``sep=;``, and what separates its cells."""
    ahead = list(itertools.islice(numbered, _LOOKED_AT))
    if ahead and (named := _SEPARATOR_LINE.fullmatch(ahead[0][1])):
        ahead, delimiter = ahead[1:], delimiter or named[1]
    if not delimiter:
        counts = {char: [len(_split(text, char)) for _, text in ahead] for char in _GUESSED}
        regular = {char: sum(n == of[0] > 1 for n in of) for char, of in counts.items() if of}
        delimiter = max(regular, key=lambda char: regular[char], default="")
        if ahead and not regular[delimiter]:
            raise DataError(
                f"{lines.path}: its first line has one column ({ahead[0][1][:60]!r}); columns are separated by tabs, semicolons, "
                "commas or |, or by what --delimiter says."
            )
    return itertools.chain(ahead, numbered), delimiter


def _check_order(sample: Sequence[tuple[int, Sequence[str]]], columns: Columns, path: Path) -> None:
    """Compares what ``--languages`` says about each column with its words."""
    for i, language in columns.targets.items():
        order = Order(columns.source_language, language)
        for _, row in sample[columns.has_header :]:
            if max(i, columns.source) < len(row):
                order.add(row[columns.source], row[i])
        order.check(path, "name the columns in their order with --languages")


def _add(row: Sequence[str], columns: Columns, cells: Cells, lines: Lines, number: int) -> None:
    """The pairs of one row: the source with its candidates in each language."""
    text = " | ".join(clean(cell) for cell in row if cell)
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
        cause = "row without a source" if not source else "row without a target"
        cells.collected.left_out.add(cause, f"line {number}: {text[:60]}")
        return None
    for language, target in targets:
        cells.add(language, source, target, weight, pos)
    return None


def _rows(
    numbered: Iterator[tuple[int, str]], lines: Lines, delimiter: str, width: int
) -> Iterator[tuple[int, list[str]]]:
    """``(line, cells)``; cells in quotes may hold delimiters and line breaks."""
    waiting: list[tuple[int, str]] = []
    while (line := waiting.pop(0) if waiting else next(numbered, None)) is not None:
        number, text = line
        row: list[str] | None = None
        if '"' in text and _quoted(text, delimiter) is None:
            row = _joined(text, numbered, waiting, delimiter, width)
        if row is None and (delimiter == "\t" or '"' not in text or _quoted(text, delimiter) is not None):
            row = _split(text, delimiter, width)
        if row is None:
            lines.damage("quotes that do not match", number, text)
        else:
            yield number, row


def _joined(
    text: str, numbered: Iterator[tuple[int, str]], waiting: list[tuple[int, str]], delimiter: str, width: int
) -> list[str] | None:
    """The cells of a row that goes over several lines, which are taken off ``waiting``; None where its quotes never match.

    In tab-separated files a quote is mostly a sign of inches: there all lines together have the columns of one row.
    """
    block = [text]
    while len(block) < MAX_CELL_LINES:
        if len(block) > len(waiting):
            further = next(numbered, None)
            if further is None:
                return None
            waiting.append(further)
        block.append(waiting[len(block) - 1][1])
        if delimiter == "\t" and sum(line.count("\t") for line in block) >= width:
            return None
        row = _quoted("\n".join(block), delimiter)
        if row is not None and (delimiter != "\t" or len(row) == width):
            del waiting[: len(block) - 1]
            return row
    return None


def _split(text: str, delimiter: str, width: int = 0) -> list[str]:
    """Cells of a line; quotes of a tab-separated file count where they give the columns that are expected."""
    plain = [clean(cell) for cell in text.split(delimiter)]
    if '"' in text:
        row = _quoted(text, delimiter)
        if row is not None and (delimiter != "\t" or len(row) in (width, len(plain))):
            return row
    return plain


def _quoted(text: str, delimiter: str) -> list[str] | None:
    """Cells of a row of CSV, with their line breaks; None where its quotes do not match."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return [cell.strip() for cell in rows[0]] if len(rows) == 1 else None


def _word2word(lines: Lines, options: Options) -> _Read:
    """The pairs of word2word's text form, which does not name its languages."""
    asked = options.asked
    if len(asked.languages) != 2:
        raise UserError("--format word2word needs the two languages of the file: --languages en,de.")
    names, notes = named_by_place(asked, lines.path)
    source, target = names
    if asked.source_language and known_language(asked.source_language, [source]) is None:
        raise UserError(f"--format word2word: the first column is the source ({source}), not {asked.source_language}.")
    lines.languages = (source, target)
    pairs = Pairs(source, max_tokens=options.max_tokens)
    cells = Cells(pairs, verbatim=options.verbatim)
    read_ranked(lines, cells, target, header=asked.header, notes=notes)
    return _Read(pairs, notes, cells.cleaned)
