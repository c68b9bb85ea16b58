"""Reading word2word's dictionaries as text: a source, then its translations, best first. ``tsv`` calls it.

The library itself keeps pickles, which mmcs does not read; its words are written out as lines of text.
"""

from __future__ import annotations

from mmcs.lexicons.lines import Lines
from mmcs.lexicons.pairs import NO_PAIR, Pairs, clean, positive


def read_ranked(lines: Lines, pairs: Pairs, language: str) -> None:
    """Adds the pairs of all lines, best first; a source that comes again goes on where it stopped."""
    from mmcs.progress import track

    for number, text in track(lines, lines.path.name):
        source, targets, weight = ranked_line(text)
        if not source or not targets:
            lines.damage(NO_PAIR, number, text)
        for target in targets if source else ():
            pairs.add(language, source, target, weight)


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
