"""Building a lexicon from parallel Wikipedia titles: ``mmcs lexicon build wikititles`` calls it.

Titles come from two dumps of one wiki (``page`` and ``langlinks``, read by ``sqldump``) or from a table of two columns. They are
joined and sorted on disk, in a temporary database, so that memory does not grow with the wiki.
"""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import Candidate, normaliser
from mmcs.common.language_tags import known_language, languages_of
from mmcs.errors import DataError, UserError
from mmcs.lexicons.format import Row, write_sorted
from mmcs.lexicons.headers import without_header
from mmcs.lexicons.lines import MAX_DAMAGED, Lines, provenance
from mmcs.lexicons.order import Order
from mmcs.lexicons.pairs import NO_PAIR, clean
from mmcs.lexicons.ranking import MAX_CANDIDATES, MIN_WEIGHT
from mmcs.lexicons.scratch import scratch
from mmcs.lexicons.sqldump import Dump
from mmcs.lexicons.titles import in_text, plain, prefixed, source_of, tag_of, wikis_of
from mmcs.prepare.records import Tally

LICENCE = "CC-BY-SA-4.0"
MAX_TOKENS = 3  # the study's
FURTHER_TOKENS = 2  # of a target: "Wien" is one word, "la ville de Vienne" four

_ARTICLES = {"page_namespace": ["0"], "page_is_redirect": ["0"]}
_HELD_BACK = {"page_namespace": "page of another namespace", "page_is_redirect": "redirect"}
_TABLES = """
    CREATE TABLE page (id INTEGER PRIMARY KEY, phrase TEXT, own INTEGER);
    CREATE TABLE pair (phrase TEXT, language TEXT, text TEXT, own INTEGER);
"""

_SECTION = re.compile(r"\S#\S")


@dataclass(frozen=True)
class Options:
    """What to take.

    Attributes:
        languages: targets (BCP 47 tags or Wikipedia's codes); of a table its two columns.
        source_language: "" for what the dumps' names tell, or a table's first column.
        max_tokens: words of the longest source phrase; targets may have ``FURTHER_TOKENS`` more.
        max_damaged: share of damaged rows or lines above which a file is refused.
        licence: of the titles.
        header: whether the first line of a table is a header; None: it is recognised.
    """

    languages: tuple[str, ...]
    source_language: str = ""
    max_tokens: int = MAX_TOKENS
    max_damaged: float = MAX_DAMAGED
    licence: str = LICENCE
    header: bool | None = None


def build_wikititles(
    out: str | os.PathLike[str], page: str | os.PathLike[str], langlinks: str | os.PathLike[str], options: Options
) -> Path:
    """Builds a lexicon from the dumps of one wiki and writes it to ``out``.

    Kept are pages of the main namespace that are no redirects. Of a phrase's candidates that of the page that
    bears the phrase as its title outweighs those of pages with "(...)" behind it; several pages with one candidate add up.

    The temporary database (see ``scratch``) takes about as much room as the titles that are kept.

    Raises:
        UserError: no such file, or languages that nothing tells. DataError: a file that cannot be used.
    """
    source = source_of([Path(page), Path(langlinks)], options.source_language)
    titles = _Titles(source, options)
    of_code = {code: tag for tag in titles.languages for code in wikis_of(tag)}
    if source in titles.languages:
        raise UserError(f"--languages names {source}, the source language; name others.")
    columns = ["ll_from", "ll_lang", "ll_title"]
    pages = Dump(page, "page", ["page_id", "page_title"], where=_ARTICLES, max_damaged=options.max_damaged)
    links = Dump(langlinks, "langlinks", columns, where={"ll_lang": of_code}, max_damaged=options.max_damaged)
    with scratch(_TABLES) as database:
        database.executemany("INSERT OR IGNORE INTO page VALUES (?, ?, ?)", titles.sources(pages))
        joined = database.executemany(
            "INSERT INTO pair SELECT phrase, ?2, ?3, own FROM page WHERE id = ?1", titles.targets(links, of_code)
        )
        for column, cause in _HELD_BACK.items():
            if count := pages.passed.counts[column]:
                titles.left_out.counts[cause], titles.left_out.examples[cause] = count, pages.passed.examples[column]
        sources = [
            {
                "name": f"Wikipedia titles ({Path(file.path).name})",
                "provenance": provenance(file.path, file.sha256),
                "licence": options.licence,
                "rows": file.read,
                "left_out": left_out,
            }
            for file, left_out in (
                (pages, pages.damaged.as_dict() | titles.left_out.as_dict()),
                (links, links.damaged.as_dict() | titles.left_out_targets.as_dict()),
            )
        ]
        sources[-1]["links of kept pages"] = joined.rowcount
        return _write(out, database, titles, sources)


def build_title_table(out: str | os.PathLike[str], path: str | os.PathLike[str], options: Options) -> Path:
    """Builds a lexicon from a table of two columns of titles, separated by a tab, and writes it to ``out``.

    Raises:
        UserError: no such file, not two languages, or columns in the other order. DataError: a file that cannot be used.
    """
    named = [tag_of(language) for language in options.languages]
    languages = languages_of(named)
    tags = [languages[tag] for tag in named]
    if len(set(tags)) != 2 or len(tags) != 2:
        raise UserError(f"a table of titles has two languages: --languages en,de; got {','.join(options.languages)}.")
    source = known_language(tag_of(options.source_language), tags) if options.source_language else tags[0]
    if source is None:
        raise UserError(
            f"--source-language {options.source_language} is no column of the table; they are {', '.join(tags)}."
        )
    target = next(tag for tag in tags if tag != source)
    titles = _Titles(source, Options((target,), source, options.max_tokens))
    lines = Lines(path, what="a table of two columns of titles", languages=tags, max_damaged=options.max_damaged)
    notes = [f"{tag} is taken as {language}" for tag, language in languages.items() if tag != language]
    with scratch(_TABLES) as database:
        pairs = titles.pairs(lines, tags, header=options.header, notes=notes)
        database.executemany("INSERT INTO pair VALUES (?, ?, ?, ?)", pairs)
        about = {
            "name": f"Wikipedia titles ({Path(path).name})",
            "provenance": provenance(Path(path), lines.sha256),
            "licence": options.licence,
            "rows": lines.read,
            "notes": notes,
            "left_out": lines.damaged.as_dict() | titles.left_out.as_dict() | titles.left_out_targets.as_dict(),
        }
        return _write(out, database, titles, [about])


class _Titles:
    """Turns titles into phrases and candidates; counts what it leaves out of either side."""

    def __init__(self, source_language: str, options: Options) -> None:
        if options.max_tokens < 1:
            raise UserError(f"a phrase has at least 1 word; got --max-tokens {options.max_tokens}.")
        if not options.languages:
            raise UserError("no language is named: --languages de,fi.")
        self.source_language, self.max_tokens = source_language, options.max_tokens
        self.languages = tuple(dict.fromkeys(map(tag_of, options.languages)))
        self.left_out, self.left_out_targets = Tally(), Tally()
        self.linked: set[str] = set()
        self._normalise = normaliser(source_language)

    def sources(self, pages: Dump) -> Iterator[tuple[int, str, int]]:
        """Number, phrase and whether it is the page's whole title, of each page that is kept."""
        for number, raw in pages:
            title = self._decoded(raw, self.left_out)
            found = self._phrase(title) if title else None
            if found and _is_number(number, self.left_out):
                yield int(number or 0), *found

    def targets(self, links: Dump, of_code: dict[str, str]) -> Iterator[tuple[int, str, str]]:
        """Page, language and candidate of each link that is kept."""
        by_code = {code.encode(): tag for code, tag in of_code.items()}
        for number, code, raw in links:
            language = by_code[code or b""]
            self.linked.add(language)
            title = self._decoded(raw, self.left_out_targets)
            text = self._candidate(title, language) if title else ""
            if text and _is_number(number, self.left_out_targets):
                yield int(number or 0), language, text

    def pairs(
        self, lines: Lines, columns: Sequence[str], *, header: bool | None, notes: list[str]
    ) -> Iterator[tuple[str, str, str, int]]:
        """The pairs of a table whose two ``columns`` are languages; ``header`` and ``notes`` as in ``without_header``."""
        (language,) = self.languages
        self.linked.add(language)
        order = Order(*columns)
        for number, text in without_header(lines, lambda text: text.split("\t"), columns, header, notes):
            cells = text.split("\t")
            if len(cells) != 2 or not all(map(str.strip, cells)):
                lines.damage(NO_PAIR if len(cells) < 3 else "more than two columns", number, text)
                continue
            order.add(*(plain(cell)[0] for cell in cells))
            source, target = cells if columns[0] == self.source_language else reversed(cells)
            found, text = self._phrase(source), self._candidate(target, language)
            if found and text:
                yield found[0], language, text, found[1]
        order.check(lines.path, f"write --languages {','.join(reversed(columns))}")

    def _phrase(self, title: str) -> tuple[str, int] | None:
        text, whole = plain(title)
        phrase = self._normalise(clean(text))
        if not phrase:
            cause = "nothing but a bracket"
        elif phrase.count(" ") >= self.max_tokens:
            cause = f"source of more than {self.max_tokens} words"
        elif prefixed(title):
            cause = "source in another namespace"
        elif min(phrase) < " ":
            cause = "control character"
        else:
            return phrase, whole
        self.left_out.add(cause, repr(title))
        return None

    def _candidate(self, title: str, language: str) -> str:
        text = clean(plain(title)[0])
        limit = self.max_tokens + FURTHER_TOKENS
        if not text:
            cause = "nothing but a bracket"
        elif text.count(" ") >= limit:
            cause = f"target of more than {limit} words"
        elif prefixed(title):
            cause = "target in another namespace"
        elif _SECTION.search(text):
            cause = "target is a section of a page"
        elif min(text) < " ":
            cause = "control character"
        else:
            return in_text(text, language)
        self.left_out_targets.add(cause, f"{title!r} ({language})")
        return ""

    def _decoded(self, raw: bytes | None, left_out: Tally) -> str:
        try:
            title = (raw or b"").decode()
        except UnicodeDecodeError:
            left_out.add("not UTF-8", (raw or b"").decode("utf-8", "backslashreplace"))
            return ""
        if not title.strip(" _"):
            left_out.add("empty title", repr(title))
            return ""
        return title


def _is_number(raw: bytes | None, left_out: Tally) -> bool:
    if raw and raw.isdigit() and len(raw) < 19:
        return True
    left_out.add("page number that is none", repr(raw))
    return False


def _write(
    out: str | os.PathLike[str], database: sqlite3.Connection, titles: _Titles, sources: Sequence[dict[str, Any]]
) -> Path:
    """Sorts the pairs and writes them."""
    left_out: dict[str, Any] = sources[-1]["left_out"]
    for language in titles.languages:
        if language not in titles.linked:
            left_out |= {f"language without a link: {language}": {"count": 1, "examples": [language]}}
    rows = _rows(database, left_out)
    first = next(rows, None)
    if first is None:
        examples = [f"{cause}: {of['examples'][0]}" for source in sources for cause, of in source["left_out"].items()]
        raise DataError(
            f"no pair of titles is left in {', '.join(titles.languages)}; left out: {'; '.join(examples[:4]) or 'nothing'}."
        )
    rows = itertools.chain([first], rows)
    return write_sorted(out, rows, source_language=titles.source_language, sources=sources)


def _rows(database: sqlite3.Connection, left_out: dict[str, Any]) -> Iterator[Row]:
    """The entries in the order of a lexicon; at the end, what was beyond the best candidates is noted in ``left_out``."""
    from mmcs.progress import track

    # SQLite compares text by its UTF-8 bytes, as a lexicon does; what does not fit its cache it sorts on disk.
    pairs = database.execute(
        "SELECT phrase, language, text, SUM(own), COUNT(*) FROM pair GROUP BY phrase, language, text"
    )
    cut = Tally()
    grouped = itertools.groupby(track(pairs, "Sorting titles"), key=lambda pair: (pair[0], pair[1]))
    for (phrase, language), of in grouped:
        counts = [(text, own, pages) for _, _, text, own, pages in of]
        every = ranked(counts)
        for text, _ in every[MAX_CANDIDATES:]:
            cut.add(f"beyond the {MAX_CANDIDATES} best candidates", f"{phrase} - {text}")
        total = sum(score for _, score in every[:MAX_CANDIDATES])
        yield (
            phrase,
            language,
            [Candidate(text, max(score / total, MIN_WEIGHT)) for text, score in every[:MAX_CANDIDATES]],
        )
    left_out.update(cut.as_dict())


def ranked(counts: Sequence[tuple[str, int, int]]) -> list[tuple[str, int]]:
    """The candidates of a phrase in a language with their scores, best first.

    A page whose whole title is the phrase counts for more than all pages together that need a bracket behind it.

    Args:
        counts: candidates, each with the number of its pages that bear the phrase as whole title, and of all its pages.
    """
    bracketed = sum(pages - whole for _, whole, pages in counts)
    scored = ((text, whole * (1 + bracketed) + pages - whole) for text, whole, pages in counts)
    return sorted(scored, key=lambda one: (-one[1], one[0]))
