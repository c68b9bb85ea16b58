"""Reading word2word's dictionaries as text: a source, then its translations, best first. ``tsv`` calls it.

The library itself keeps pickles, which mmcs does not read; its words are written out as lines of text.
"""

from __future__ import annotations

from mmcs.lexicons.cells import Cells
from mmcs.lexicons.headers import without_header
from mmcs.lexicons.lines import Lines
from mmcs.lexicons.order import Order
from mmcs.lexicons.pairs import NO_PAIR, clean, positive


def read_ranked(lines: Lines, cells: Cells, language: str, *, header: bool | None, notes: list[str]) -> None:
    """Adds the pairs of all lines, best first; a source that comes again adds to what it has.

    Args:
        lines: of the file.
        cells: takes the pairs.
        language: of the targets (BCP 47).
        header: whether the first line is a header; None: it is recognised.
        notes: takes sentences about the file.
    """
    order = Order(cells.source_language, language)
    languages = (cells.source_language, language)
    for number, text in without_header(lines, lambda text: text.split("\t"), languages, header, notes):
        source, targets, weight = ranked_line(text)
        if not source or not targets:
            lines.damage(NO_PAIR, number, text)
            continue
        order.add(source, targets[0])
        for target in targets:
            cells.add(language, source, target, weight)
    order.check(lines.path, "name the columns in their order with --languages")


def ranked_line(text: str) -> tuple[str, list[str], float | None]:
    """Source, targets and, where the line has one target and a number, its weight.

    A tab ends the source. Targets are separated by tabs, else by a comma and a space, else by spaces. Without a tab a line
    is ``source target`` or ``source target score``; more words could be cut anywhere and give no target.
    """
    if "\t" in text:
        source, *cells = [cell for part in text.split("\t") if (cell := clean(part))] or [""]
        if len(cells) == 2 and (weight := positive(cells[1])) is not None:
            return source, cells[:1], weight
        if len(cells) == 1:
            cells = [part.strip(" ,") for part in (cells[0].split(", ") if ", " in cells[0] else cells[0].split(" "))]
        return source, [cell for cell in cells if cell], None
    words = text.split()
    weight = positive(words[2]) if len(words) == 3 else None
    if len(words) == 2 or weight is not None:
        return words[0], words[1:2], weight
    return (words or [""])[0], [], None
