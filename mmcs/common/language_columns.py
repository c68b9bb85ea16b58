"""Which columns of a table hold a language: one rule for tables of captions and for glossaries.

A column is a language when its name is a language tag in the usual form and its cells are text. ``id``, ``to`` or ``nr``
are language tags, too, but most tables use them for numbers, codes or categories.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mmcs.common.language_tags import find_language, language_tag
from mmcs.errors import UserError

_SAMPLE = 2000  # rows that are looked at
_LONGEST = 200  # characters of a cell that are looked at
# de, pt-BR, zh_Hans_CN, sr@latin, de_DE.UTF-8, caption_de. Three letters alone are more often a word (url, key, cat).
_NAME = re.compile(
    r"(?:(?:captions?|titles?|texts?|alt)[_.-])?([a-z]{2}|[a-z]{2,3}(?:[_-]\w+)+(?:\.\S+)?|[a-z]{2}@\w+)", re.I
)
_REGION = re.compile(r"[_-]([a-z]{2})(?:\.\S+)?$", re.I)
# Tags that are words or usual abbreviations as well: their cells have to look like translations of the English ones.
_AMBIGUOUS = re.compile(
    "am|as|be|bi|bm|br|ca|ch|co|cr|cv|ee|ff|fo|gd|gl|gn|h[aort]|i[degknost]|io|kg|l[abinotuv]|mg|m[iosty]|n[agor]|om|or|os"
    "|p[it]|s[cdeklmnostu]|t[norstwy]|tt|ve|vo|wa",
    re.I,
)
_YES_NO = re.compile(
    "y|n|x|t|f|yes|no|true|false|on|off|ok|none|null|nan|n/a|na|ja|nein|wahr|falsch|oui|non|vrai|faux|s[ií]|não|sim|да|нет"
    "|是|否",
    re.I,
)
_NOT_LATIN = re.compile(r"[^\W\d_A-Za-z\u00aa\u00ba\u00c0-\u02af\u1e00-\u1eff]")
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.).*|data:\S*|\S+@\S+\.\S+", re.I)
_FILE = re.compile(r"\S+\.[a-z][a-z0-9]{1,4}|\S*[/\\]\S*[/\\]\S*", re.I)
_DATE = re.compile(r"(?:\w+,? )?(?:\d{1,2}\D{1,3}?(?:de )?\w{3,10}|\w{3,10}\.? \d{1,2}\D{0,3})[ ,.-]+(?:de )?\d{4}\b.*")
# Every word has a digit (T-1001, Q1 2024; not 3-Gang), or a label comes first (No. 12, EUR 9.99); sizes and countries (XL, DE).
_CODE = re.compile(
    r"(?!\d\S*-[^\W\d_]{4,}$)(?=\S*[\d_])\S+(?:\s+(?=\S*[\d_])\S+)*|(?i:no|nr|nº|n°|№|id|art|pos|ref|sku|item)\W{0,2}\d\S*"
    r"|[A-Z]{3} ?\d[\d.,]*|[A-Z]{1,3}|#\S+|[A-Z]+(?:-[A-Z]+){2,}|\S+="
)
_MEASURE = re.compile(r"[^\w]*\d[\d\W]*[^\W\d]{0,3}\W*")


@dataclass(frozen=True, slots=True)
class LanguageColumns:
    """What was decided: column name → canonical tag, and column name → why it is left out, in the header's order."""

    languages: dict[str, str]
    left_out: dict[str, str]

    def lines(self) -> list[str]:
        """The decision as a list for people, with the options that change it."""
        if not self.languages and not self.left_out:
            return []
        taken = [f"  {name}: {tag}" for name, tag in self.languages.items()]
        reasons = [f"  {name}: left out ({reason})" for name, reason in self.left_out.items()]
        head = "columns with languages (change with --languages, --ignore-columns or --column NAME=TAG):"
        return [head, *(taken or ["  none"]), *reasons]


def find_language_columns(
    columns: Mapping[str, Sequence[str]],
    english: Sequence[str] = (),
    *,
    where: str,
    languages: Sequence[str] | None = None,
    ignored: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
) -> LanguageColumns:
    """Decides which columns are languages.

    Args:
        columns: column name → its cells, row by row; without the columns whose meaning is known.
        english: the English (or source) text of the same rows, which the cells are compared with.
        where: the table, for the sentences of errors.
        languages: ``--languages``: names of columns, or tags that columns are named by; these and no others are taken.
        ignored: ``--ignore-columns``: names of columns to leave out.
        mapping: ``--column NAME=TAG``: columns to take whatever their names and cells are.

    Raises:
        UserError: a column that an option names does not exist, or a tag is none.
    """
    mapping = dict(mapping or {})
    for option, names in (("--ignore-columns", ignored), ("--column", mapping)):
        for name in names:
            if name not in columns:
                raise UserError(f"{where} has no column '{name}' ({option}); it has: {', '.join(columns)}.")
    asked = {_asked_for(name, columns, where) for name in languages or ()}
    found = LanguageColumns({}, {})
    for name, cells in columns.items():
        if name in mapping:
            found.languages[name] = language_tag(mapping[name])
        elif name in ignored:
            found.left_out[name] = "--ignore-columns"
        elif languages is not None and name not in asked:
            found.left_out[name] = "not among --languages"
        elif name in asked:
            found.languages[name] = tag_of(name) or language_tag(name)
        elif (reason := doubt(name, cells, english)) is not None:
            found.left_out[name] = reason
        else:
            found.languages[name] = tag_of(name)
    return found


def parse_mapping(given: Sequence[str]) -> dict[str, str]:
    """``["DE=de", "Beschreibung=de"]``, as ``--column`` takes them, as column name → canonical tag.

    Raises:
        UserError: one has no ``=``, or its tag is none.
    """
    mapping: dict[str, str] = {}
    for pair in given:
        name, equals, tag = pair.rpartition("=")
        if not equals or not name:
            raise UserError(f"--column takes NAME=TAG, such as DE=de; got '{pair}'.")
        mapping[name] = language_tag(tag)
    return mapping


def tag_of(name: str) -> str:
    """The canonical tag that a column's name gives, or "" where it is no tag in the usual form.

    >>> tag_of("DE"), tag_of("pt_BR"), tag_of("caption_de"), tag_of("my_id"), tag_of("url")
    ('de', 'pt-BR', 'de', '', '')
    """
    core = _core(name)
    tag = _registered(core)
    region = _REGION.search(core)
    return tag if region is None or _is_spoken(core, region[1]) else ""


def doubt(name: str, cells: Sequence[str], english: Sequence[str] = ()) -> str | None:
    """Why a column is not taken for a language, or None where it is one.

    >>> doubt("de", ["ein Hund", "eine Katze"]), doubt("id", ["T-1001", "T-1002"]), doubt("price", ["1.50"])
    (None, 'its cells are codes, such as T-1001', 'not a language tag in the usual form')
    """
    tag = tag_of(name)
    if not tag:
        return "not a language tag in the usual form"
    rows = [(cell, english[row] if row < len(english) else "") for row, cell in enumerate(cells) if cell.strip()]
    if not rows:
        return "its cells are empty"
    rows = rows[:: max(1, len(rows) // _SAMPLE)]
    kinds = Counter(kind for cell, text in rows if (kind := kind_of(cell)) and kind != kind_of(text))
    if 2 * kinds.total() >= len(rows):
        kind = kinds.most_common(1)[0][0]
        return f"its cells are {kind}, such as {next(cell for cell, _ in rows if kind_of(cell) == kind)[:40]}"
    return _unlike(tag, rows) if _AMBIGUOUS.fullmatch(_core(name)) else None


def kind_of(cell: str) -> str:
    """What a cell holds where it is not text: ``numbers``, ``codes``, ...; "" where it is text, or empty."""
    cell = " ".join(cell[:_LONGEST].split())
    if not cell:
        return ""
    if _ADDRESS.fullmatch(cell):
        return "addresses"
    if _YES_NO.fullmatch(cell):
        return "yes/no values"
    if _MEASURE.fullmatch(cell) or not any(map(str.isalpha, cell)):
        return "numbers"
    if _DATE.fullmatch(cell):
        return "dates"
    if _FILE.fullmatch(cell):
        return "file names"
    return "codes" if _CODE.fullmatch(cell) else ""


def _core(name: str) -> str:
    """The part of a column's name that has the form of a tag; "" where there is none."""
    form = _NAME.fullmatch(name.strip())
    return "" if form is None else form[1]


def _unlike(tag: str, rows: Sequence[tuple[str, str]]) -> str | None:
    """Why cells that are words are no translations of the English texts of their rows; None where they may be."""
    import langcodes

    latin = not any(_NOT_LATIN.search(cell) for cell, _ in rows)
    if latin and langcodes.Language.get(tag).maximize().script != "Latn":
        return f"its cells are in Latin script, in which '{tag}' is not written"
    pairs = [(cell.casefold(), text.casefold()) for cell, text in rows if text]
    originals, values = {text for _, text in pairs}, {cell for cell, _ in pairs}
    if (len(originals) >= 3 and len(values) == 1) or (len(originals) >= 4 and len(values) < 0.4 * len(originals)):
        distinct = f"{len(values)} distinct value{'s' * (len(values) > 1)}"
        return f"its {len(pairs)} cells have {distinct}, such as {rows[0][0][:40]}"
    if not pairs or not latin:
        return None  # some scripts have no spaces
    words, english_words = (median(len(pair[i].split()) for pair in pairs) for i in (0, 1))
    length, english_length = (median(len(pair[i]) for pair in pairs) for i in (0, 1))
    if english_words >= 4 and words <= 1 and length < english_length / 2:
        return f"its cells are single words, the English ones are not, such as {rows[0][0][:40]}"
    return None


def _is_spoken(name: str, region: str) -> bool:
    """Whether the language that ``name`` begins with is used in a region of two letters."""
    import langcodes

    language = re.split("[_-]", name)[0]
    return langcodes.Language.make(language=language.lower(), territory=region.upper()).speaking_population() > 0


def _asked_for(name: str, columns: Mapping[str, Sequence[str]], where: str) -> str:
    """The column that ``--languages`` names, by its own name or by any spelling of its tag."""
    if name in columns:
        return name
    tags = {tag: column for column in reversed(list(columns)) if (tag := tag_of(column) or _registered(column))}
    found = find_language(_registered(name), tags)
    if found is None:
        raise UserError(f"{where} has no column '{name}' (--languages); it has: {', '.join(columns)}.")
    return tags[found]


def _registered(name: str) -> str:
    """The canonical tag of a name in whatever form, as options give it; "" where it is none."""
    try:
        return language_tag(name)
    except UserError:
        return ""
