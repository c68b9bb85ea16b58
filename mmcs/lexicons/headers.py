"""Recognises the header of a table of words, so that it does not become an entry.

A header names languages (``en-US``, ``English``, ``Deutsch``, ``term_de``) or sides (``source``, ``translation``). Words
are headers only in company: "English" with "Englisch" is an entry, with "German" a header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from mmcs.common.language_columns import tag_of
from mmcs.common.language_tags import find_language, language_tag
from mmcs.errors import UserError
from mmcs.lexicons.lines import Lines
from mmcs.lexicons.packages import TAGS

SOURCE, TARGET, EITHER = "source side", "target side", "either side"

NO_HEADER = " (with --no-header it is one)"

_SIDES = {
    SOURCE: "source src from original origin quelle ausgangssprache origen origine fonte источник",
    TARGET: "target tgt trg translation translations translated equivalent ziel zielsprache übersetzung übersetzungen "
    "traduction traducción traduzione tradução vertaling översättning oversettelse oversættelse käännös překlad preklad "
    "tłumaczenie fordítás çeviri перевод переклад превод μετάφραση traducere 翻译 翻訳 ترجمة",
    EITHER: "word words term terms text texts phrase phrases lemma headword entry expression title titles label name names "
    "caption captions value language lang locale wort wörter begriff benennung ausdruck mot mots terme palabra término "
    "parola termine palavra termo woord term ord sana slovo termín słowo szó kelime слово термин слова λέξη cuvânt",
}
_SIDE_OF = {word: side for side, words in _SIDES.items() for word in words.split()}
_WORD = re.compile(r"[^\W\d_]+(?:-[A-Za-z]{2,4}(?![^\W\d_]))?")
# With these, a name of a language has two words; with others, langcodes takes "Danish pastry" for Danish.
_TWO_WORDS = re.compile(
    r"(?:simplified|traditional|brazilian|european|american|british|norwegian|scottish|haitian|latin american) [^\W\d_]+",
    re.IGNORECASE,
)
_VARIANT = re.compile(r"(.+?)\s*[(\[\uff08](.+)[)\]\uff09]")  # Chinese (Traditional), Portuguese (Brazil)
_NUMBERED = re.compile(r"\d+")


def meaning(cell: str) -> str:
    """The canonical tag of the language that a cell of a header names, or its side; "" where it is no such cell.

    >>> meaning("en-US"), meaning("Deutsch"), meaning("German (de)"), meaning("term_fr"), meaning("translation"), meaning("dog")
    ('en', 'de', 'de', 'fr', 'target side', '')
    """
    cell = cell.strip()
    if language := _language(cell):
        return language
    words = [word.casefold() for word in re.split(r"[\W\d_]+", cell) if word]
    sides = {_SIDE_OF[word] for word in words if word in _SIDE_OF}
    named = {_language(word) for word in _WORD.findall(cell) if word.casefold() not in _SIDE_OF}
    if len(named) == 1:
        return named.pop()
    if named or not sides or not all(word in _SIDE_OF for word in words):
        return ""
    return next((side for side in (TARGET, SOURCE) if side in sides), EITHER)


def is_header(cells: Sequence[str], languages: Sequence[str], where: str) -> bool:
    """Whether the first row of a file is its header, where the languages of its columns are known.

    Args:
        cells: of the row.
        languages: of the columns (canonical tags); "" for a column that is no language, whose cell does not matter.
        where: the file, for sentences.

    Raises:
        UserError: the row names other languages.
    """
    row = [(cell, language) for cell, language in zip(cells, languages, strict=False) if language]
    if len(row) < 2:
        return False
    if all(map(_NUMBERED.fullmatch, cells)) and [int(cell) for cell in cells] == list(range(len(cells))):
        return True  # pandas numbers columns that have no names
    meanings = [meaning(cell) for cell, _ in row]
    if not all(meanings):
        return False
    sides = [one for one in meanings if one in _SIDES]
    if len(sides) == len(row):
        return meanings.count(TARGET) == len(row) - 1 and meanings[0] != TARGET
    matches = [
        one in _SIDES or find_language(one, [of]) is not None for one, (_, of) in zip(meanings, row, strict=True)
    ]
    distinct = len(set(meanings)) == len(row)
    if all(matches):
        return distinct or TARGET in sides
    # "so" and "it" are words as well as tags; names of two languages are never translations of each other.
    if distinct and not sides and (any(matches) or all(len(cell.strip()) > 3 for cell, _ in row)):
        raise UserError(
            f"{where}: the first line ({', '.join(cell for cell, _ in row)}) names other languages than "
            f"{', '.join(language for _, language in row)}; correct the languages, or say with --header or --no-header "
            "whether the line is a header."
        )
    return False


def without_header(
    lines: Lines,
    split: Callable[[str], Sequence[str]],
    languages: Sequence[str],
    header: bool | None,
    notes: list[str],
    hint: str = NO_HEADER,
) -> Iterator[tuple[int, str]]:
    """The lines of a file, without its header.

    Args:
        lines: of the file.
        split: the columns of a line.
        languages: see ``is_header``.
        header: whether the first line is a header; None: it is recognised.
        notes: takes a sentence about the header.
        hint: how to read it as an entry.
    """
    from mmcs.progress import track

    where = str(lines.path)
    for count, (number, text) in enumerate(track(lines, lines.path.name)):
        if count == 0 and (is_header(split(text), languages, where) if header is None else header):
            notes.append(header_note(number, split(text), hint))
        else:
            yield number, text


def header_note(number: int, cells: Sequence[str], hint: str = NO_HEADER) -> str:
    """The sentence about a header that gives no entry."""
    return f"line {number} ({', '.join(cells)[:80]}) is a header, not an entry{hint}"


@cache
def _language(cell: str) -> str:
    """The canonical tag of the language that ``cell`` names by a tag, a code of three letters or a name; "" for none."""
    lowered = cell.casefold()
    tag = tag_of(cell) or ("" if lowered == "cat" else TAGS.get(lowered, ""))  # a column "cat" holds categories
    if tag:
        return language_tag(tag)
    if variant := _VARIANT.fullmatch(cell):
        return _variant(_language(variant[1].strip()), variant[2].strip())
    if cell.isascii() and not cell.isalpha() and not _TWO_WORDS.fullmatch(cell):
        return ""
    import langcodes

    try:
        tag = language_tag(langcodes.find(cell).to_tag())
    except (LookupError, UserError):
        return ""
    # Names of small languages are words of large ones: Even, Day, Ha, The.
    return tag if len(tag.split("-")[0]) == 2 and (len(cell) > 3 or not cell.isascii()) else ""


def _variant(language: str, name: str) -> str:
    """The canonical tag of a language in the region or script of this name; "" where it is neither."""
    from langcodes import Language

    for kind in ("territory", "script") if language else ():
        try:
            found = Language.find_name(kind, name)
            return language_tag("-".join([language.split("-")[0], found.territory or found.script or ""]))
        except (LookupError, UserError):
            continue
    return ""
