"""``mmcs lexicon build`` from what people wrote: FreeDict, MUSE, tables.

Nothing heavy is imported at the top: ``--help`` answers at once. What a builder does stands in the module of its name.
"""

from __future__ import annotations

import argparse
from typing import Any

from mmcs.errors import UserError
from mmcs.lexicons.arguments import (
    RAW,
    add_clean,
    add_header,
    add_limits,
    add_out,
    add_source_language,
    built,
    checked,
    listed,
)


def register(builders: Any) -> None:
    """Adds a command for each source."""
    _add_freedict(builders)
    _add_muse(builders)
    _add_tsv(builders)


def _add_freedict(builders: Any) -> None:
    parser = builders.add_parser(
        "freedict",
        help="FreeDict's dictionaries (dictd files or TEI XML)",
        description=(
            "Builds a lexicon from FreeDict's dictionaries: labels, grammar, pronunciation and examples are stripped,\n"
            "translations ranked by how common, how short and how often named they are; parts of speech are kept as\n"
            "data. The files are fetched as Debian packages (dict-freedict-eng-deu) with apt-get, without root, or read\n"
            "from --source."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build freedict de cs fi --out freedict.lex\n"
            "  mmcs lexicon build freedict --source dict-freedict-eng-deu_2022.04.21-1_all.deb --out de.lex\n"
            "  mmcs lexicon build freedict --source /usr/share/dictd/freedict-eng-deu --out de.lex\n"
            "  mmcs lexicon build freedict --source freedict-eng-deu-2022.04.06.src.tar.xz --out de.lex\n"
            "  mmcs lexicon build freedict en --source-language de --out de-en.lex"
        ),
        formatter_class=RAW,
    )
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help="FreeDict's code (deu) or BCP 47 tag (de)")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="PATH|TAG=PATH",
        help=(
            "repeatable: a .deb, a .tei, a .tar.xz with one, a folder, or a name with a .index and a .dict.dz; TAG= where "
            "the name does not tell the language"
        ),
    )
    add_source_language(parser, "what the names of the sources tell, or en")
    add_out(parser)
    parser.set_defaults(run=run_freedict)


def run_freedict(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.lexicons.freedict import build_freedict

    built(build_freedict(checked(args.out), args.languages, args.source, args.source_language), left_out=True)


def _add_muse(builders: Any) -> None:
    parser = builders.add_parser(
        "muse",
        help="MUSE dictionaries (en-de.txt: source and target, one pair a line)",
        description=(
            "Builds a lexicon from MUSE dictionaries: 'source target' with spaces or a tab between them. A word with\n"
            "several senses stands on several lines; their order is kept, the first weighs most."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build muse en-de.txt en-fi.txt --out muse.lex\n"
            "  mmcs lexicon build muse de=german.txt.gz --out de.lex"
        ),
        formatter_class=RAW,
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE|TAG=FILE",
        help="plain or gzip; TAG= (BCP 47) where the name is not like en-de.txt",
    )
    add_source_language(parser, "what the names of the files tell, or en")
    parser.add_argument(
        "--licence", default="CC-BY-NC-4.0", help="of the files (default CC-BY-NC-4.0, which is MUSE's)"
    )
    add_header(parser)
    add_clean(parser)
    add_limits(parser)
    add_out(parser)
    parser.set_defaults(run=run_muse)


def run_muse(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.lexicons.muse import build_muse

    lexicon = build_muse(
        checked(args.out),
        args.files,
        source_language=args.source_language,
        licence=args.licence,
        max_damaged=args.max_damaged,
        max_tokens=args.max_words,
        header=args.header,
        verbatim=not args.clean,
    )
    built(lexicon, left_out=True)


def _add_tsv(builders: Any) -> None:
    parser = builders.add_parser(
        "tsv",
        help="any table: two columns, or a glossary with a column per language",
        description=(
            "Builds a lexicon from a table: separated by tabs, semicolons, commas or |, quoted as in CSV where need be.\n"
            "With a header of languages (en,de,sw or English;German;Swahili) every other column translates the source's;\n"
            "a column 'pos' is kept as part of speech. Without a header --languages names the columns; of two languages\n"
            "a third column is the weight. A cell may hold several candidates, separated by line breaks, by | or (unless\n"
            "it separates the columns) by ; or as a list 'a, b'. Empty cells are fine. The first candidate of a word\n"
            "weighs most, unless there are weights.\n"
            "With --format word2word a line is a source, a tab, and its targets, best first, separated by tabs, by\n"
            "commas and spaces, or by spaces; or 'source target score'. Its pickles are not read."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build tsv glossary.csv --licence proprietary --out terms.lex\n"
            "  mmcs lexicon build tsv pairs.tsv --languages en,de --out de.lex\n"
            "  mmcs lexicon build tsv terms.csv --ignore-columns no --column Bezeichnung=de --out terms.lex\n"
            "  mmcs lexicon build tsv en-fi.txt --format word2word --languages en,fi --out fi.lex"
        ),
        formatter_class=RAW,
    )
    parser.add_argument("file", metavar="FILE", help="UTF-8, plain or gzip")
    parser.add_argument(
        "--languages",
        default="",
        metavar="TAG,TAG",
        help="the columns of a header to take; without a header, all columns in their order: en,de or en,de,pos",
    )
    add_source_language(parser, "the first of --languages, or en")
    parser.add_argument(
        "--delimiter",
        default="",
        metavar="CHARACTER",
        help="tab, comma, semicolon, pipe or the character itself (default: told by the first line)",
    )
    parser.add_argument("--ignore-columns", default="", metavar="NAME,NAME", help="columns of the header to leave out")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=TAG",
        help="repeatable: the language of a column of the header, whatever its name",
    )
    parser.add_argument("--format", choices=("columns", "word2word"), default="columns", help="default: columns")
    parser.add_argument("--name", default="", help="of the source, for the lexicon's header (default: the file's)")
    parser.add_argument("--licence", default="not stated", help="of the file (default: not stated)")
    add_header(parser)
    add_clean(parser)
    add_limits(parser)
    add_out(parser)
    parser.set_defaults(run=run_tsv)


def run_tsv(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.common.language_columns import parse_mapping
    from mmcs.lexicons.columns import Asked
    from mmcs.lexicons.tsv import DELIMITERS, Options, build_tsv

    delimiter = DELIMITERS.get(args.delimiter, args.delimiter)
    if len(delimiter) > 1 or delimiter in ('"', "\n"):
        raise UserError(f"--delimiter is tab, comma, semicolon, pipe or one character; got {args.delimiter!r}.")
    asked = Asked(
        languages=listed(args.languages),
        source_language=args.source_language or "",
        ignored=listed(args.ignore_columns),
        mapping=parse_mapping(args.column),
        header=args.header,
    )
    options = Options(
        asked=asked,
        delimiter=delimiter,
        verbatim=not args.clean,
        word2word=args.format == "word2word",
        name=args.name,
        licence=args.licence,
        max_damaged=args.max_damaged,
        max_tokens=args.max_words,
    )
    built(build_tsv(checked(args.out), args.file, options), left_out=True)
