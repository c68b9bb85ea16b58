"""Finds out what the columns of a table of words are: by the names in its header, or by ``--languages``.

Which of the named columns are languages, ``mmcs.common.language_columns`` decides, as for tables of captions. ``tsv`` calls
this with the first rows of a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmcs.common.language_columns import find_language_columns, tag_of
from mmcs.common.language_tags import known_language, language_tag, languages_of
from mmcs.errors import DataError, UserError
from mmcs.lexicons.headers import EITHER, SOURCE, TARGET, header_note, is_header, meaning

POS, WEIGHT = "pos", "weight"
_WEIGHTS = ("weight", "score")


@dataclass(frozen=True)
class Asked:
    """What the user says about the columns.

    Attributes:
        languages: of a header the columns to take, by name or tag; without a header all columns in their order (tags,
            names of languages, ``pos``, ``weight``).
        source_language: which column holds the source; "" for the first of ``languages``, or English.
        ignored: names of columns to leave out.
        mapping: names of columns and the tags of their languages.
        header: whether the first line is a header; None: it is recognised.
    """

    languages: tuple[str, ...] = ()
    source_language: str = ""
    ignored: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    header: bool | None = None


@dataclass
class Columns:
    """What the columns of a table are.

    Attributes:
        names: per column a canonical tag, ``pos``, ``weight``, or "" for one that is left out.
        source: the column of the sources.
        has_header: whether the first row is a header.
        named: whether that header names the languages; else the user's order is all that tells them.
        notes: sentences about what was taken.
        targets: column number to language.
        seen: columns in which a cell holds a letter; whoever reads the rows adds to it.
    """

    names: list[str]
    source: int
    has_header: bool
    named: bool
    notes: list[str]
    targets: dict[int, str] = field(init=False)
    seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        taken = ("", POS, WEIGHT)
        self.targets = {i: name for i, name in enumerate(self.names) if i != self.source and name not in taken}

    @property
    def source_language(self) -> str:
        return self.names[self.source]

    @property
    def languages(self) -> tuple[str, ...]:
        return (*self.targets.values(), self.source_language)


def find_columns(rows: Sequence[Sequence[str]], asked: Asked, path: Path, number: int) -> Columns:
    """The columns of a table.

    Args:
        rows: the first rows, a header among them if there is one; at least one.
        asked: what the user says.
        path: the file, for sentences.
        number: of the first row's line.

    Raises:
        UserError: columns that are no languages, or not enough of them. DataError: a header without rows.
    """
    first = [cell.strip() for cell in rows[0]]
    found = {i: tag for i, cell in enumerate(first) if (tag := language_named(cell)) and cell not in asked.ignored}
    if asked.header is not False and (asked.mapping or _names_languages(found, asked)):
        return _by_name(first, rows[1:], asked, path)
    if not asked.languages:
        raise UserError(f"{path}: {_no_languages(first, asked)}")
    return _by_place(first, asked, path, number)


def role(name: str) -> str:
    """``pos`` or ``weight`` where a column's name is one of theirs, else ""."""
    lowered = name.casefold()
    return POS if lowered == POS else WEIGHT if lowered in _WEIGHTS else ""


def language_named(name: str) -> str:
    """The canonical tag of the language that a column's name gives; "" for none."""
    named = "" if role(name) else meaning(name)
    return "" if named in (SOURCE, TARGET, EITHER) else named


def _names_languages(found: Mapping[int, str], asked: Asked) -> bool:
    """Whether the first row is a header that names languages: those that are asked for, or any."""
    if not asked.languages:
        return bool(found)
    wanted = [tag for tag in map(_wanted, asked.languages) if tag not in (POS, WEIGHT)]
    return all(tag and known_language(tag, set(found.values())) for tag in wanted)


def _wanted(name: str) -> str:
    """What one of ``--languages`` stands for: a tag, ``pos`` or ``weight``; "" for none."""
    if role(name) or language_named(name):
        return role(name) or language_named(name)
    try:
        return language_tag(name)
    except UserError:
        return ""


def _no_languages(first: Sequence[str], asked: Asked) -> str:
    shown = ", ".join(first)[:80]
    places = ",".join(("en", "de", "fr")[: max(2, min(len(first), 3))])
    if asked.header is False:
        return f"without a header --languages says what the columns are: --languages {places}."
    if any(meaning(cell) for cell in first):
        return f"its header ({shown}) does not name the languages of its columns; name them: --languages {places}."
    example = " ".join(f"--column '{cell}={tag}'" for cell, tag in zip(first, ("en", "de"), strict=False))
    return (
        f"its first line ({shown}) names no language. If it is words, name the languages of the columns: --languages {places}. "
        f"If it is a header, name those of its columns: {example}."
    )


def _by_name(first: Sequence[str], rows: Sequence[Sequence[str]], asked: Asked, path: Path) -> Columns:
    """The columns of a table with a header."""
    if not rows:
        raise DataError(f"{path} has no rows below its header ({', '.join(first)[:80]}).")
    names = _distinct(first, asked, path)
    roles = {name: role(name) for name in names if role(name) and name not in asked.mapping}
    cells = {
        name: [row[i] if i < len(row) else "" for row in rows] for i, name in enumerate(names) if name not in roles
    }
    mapping = {_as_tag(name, asked): tag for name, tag in asked.mapping.items()}
    tags = {name: tag for name in cells if name not in asked.ignored and (tag := mapping.get(name) or tag_of(name))}
    source = _source(tags, asked, path)
    found = find_language_columns(
        cells,
        cells[source],
        where=str(path),
        languages=[wanted for one in asked.languages if (wanted := _wanted(one)) not in (POS, WEIGHT)] or None,
        ignored=[name for one in asked.ignored if (name := _as_tag(one, asked)) not in roles],
        mapping=mapping,
    )
    languages = languages_of(found.languages.values())
    taken = {name: languages[tag] for name, tag in found.languages.items()}
    of_column = [taken.get(name, "" if name in asked.ignored else roles.get(name, "")) for name in names]
    # A header that ends with a delimiter has a column without a name; nothing is lost with it.
    left_out = {
        first[i] or f"{i + 1} (no name)": found.left_out[name]
        for i, name in enumerate(names)
        if name in found.left_out and (first[i] or any(cells[name]))
    }
    why = "".join(f" Column {name} is left out: {reason}." for name, reason in left_out.items())
    if source not in taken:
        raise UserError(f"{path}: its column of the source is no language.{why} --column NAME=TAG overrides.")
    shown = (
        tag if first[i] == tag else f"{first[i]} as {tag}"
        for i, tag in enumerate(of_column)
        if tag not in ("", POS, WEIGHT)
    )
    notes = [
        f"columns of languages: {', '.join(shown)}; change with --languages, --ignore-columns or --column NAME=TAG"
    ]
    notes += [f"column {name} is left out: {reason}" for name, reason in left_out.items()]
    return _checked(Columns(of_column, names.index(source), True, True, notes), first, path, why)


def named_by_place(asked: Asked, path: Path) -> tuple[list[str], list[str]]:
    """What ``--languages`` says about the columns of a file without names, in their order, and notes about it.

    Raises:
        UserError: one is no language.
    """
    named = {name: "" if name in asked.ignored else _wanted(name) for name in asked.languages}
    if strange := [name for name, tag in named.items() if not tag and name not in asked.ignored]:
        raise UserError(f"--languages: {', '.join(map(repr, strange))} is no language tag (BCP 47: de, pt-BR).")
    if unknown := [name for name in asked.ignored if name not in named]:
        raise UserError(f"{path} has no column {', '.join(unknown)}; --languages names {', '.join(asked.languages)}.")
    languages = languages_of(tag for tag in named.values() if tag not in ("", POS, WEIGHT))
    notes = [f"{tag} is taken as {language}" for tag, language in languages.items() if tag != language]
    return [languages.get(tag := named[name], tag) for name in asked.languages], notes


def _by_place(first: Sequence[str], asked: Asked, path: Path, number: int) -> Columns:
    """The columns that ``--languages`` names in their order."""
    if asked.mapping:
        raise UserError(f"{path}: --column names columns of a header; with --no-header take --languages.")
    names, notes = named_by_place(asked, path)
    languages = {tag: tag for tag in names if tag not in ("", POS, WEIGHT)}
    of_column = [languages.get(name, "") for name in names]
    has_header = is_header(first, of_column, str(path)) if asked.header is None else asked.header
    if has_header:
        notes.append(header_note(number, first))
        further = [(name, role(name)) for name in first[len(names) :]]
        notes += [f"column {name} is left out: it is not among --languages" for name, of in further if not of]
        names += [of for _, of in further]
    elif len(languages) == 2 and WEIGHT not in names:
        names.append(WEIGHT)  # the third column of two languages, where there is one
    columns = Columns(names, names.index(_source(languages, asked, path)), has_header, False, notes)
    return _checked(columns, asked.languages, path, "")


def _checked(columns: Columns, given: Sequence[str], path: Path, why: str) -> Columns:
    """``columns``, if a lexicon can be made of them."""
    languages = [*columns.targets.values(), columns.source_language]
    for name, count in Counter(filter(None, columns.names)).items():
        if count > 1:
            of_name = [repr(one) for one, tag in zip(given, columns.names, strict=False) if tag == name]
            raise UserError(
                f"{path}: two columns are {name} ({', '.join(of_name)}); leave one out with --ignore-columns."
            )
    if len(languages) < 2:
        raise UserError(
            f"{path}: a lexicon needs two languages; its columns are {', '.join(filter(None, given))}.{why}"
        )
    if WEIGHT in columns.names and len(languages) > 2:
        raise UserError(f"{path}: a weight belongs to one pair; with {len(languages)} languages leave that column out.")
    return columns


def _distinct(first: Sequence[str], asked: Asked, path: Path) -> list[str]:
    """A name for each column: the tag of a language's name (``German`` is ``de``), numbers where names repeat."""
    names = [_as_tag(name, asked) for name in first]
    if repeated := [name for name, n in Counter(names).items() if n > 1 and (tag_of(name) or role(name))]:
        of_name = [repr(one) for one, name in zip(first, names, strict=True) if name == repeated[0]]
        raise UserError(
            f"{path}: two columns are {repeated[0]} ({', '.join(of_name)}); rename one, or leave one out with --ignore-columns."
        )
    return [name if name and names.count(name) == 1 else f"{name} (column {i})" for i, name in enumerate(names, 1)]


def _as_tag(name: str, asked: Asked) -> str:
    """A column's name, or the tag that it means where it is no tag itself (``German``, ``deu``, ``term_de``)."""
    if name in asked.mapping or name in asked.ignored or tag_of(name):
        return name
    return language_named(name) or name


def _source(tags: Mapping[str, str], asked: Asked, path: Path) -> str:
    """The name of the column that holds the source."""
    wanted = asked.source_language or next((one for one in asked.languages if not role(one)), "en")
    known = known_language(_wanted(wanted) or wanted, set(tags.values()))
    if known is None:
        languages = ", ".join(dict.fromkeys(tags.values()))
        raise UserError(
            f"{path} has no column {wanted}; its languages are {languages}: say with --source-language which is the source, "
            "or with --column NAME=TAG which column it is (for a file without a header, name the columns with --languages)."
        )
    return next(name for name, tag in tags.items() if tag == known)
