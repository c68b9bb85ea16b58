"""``mmcs lexicon build``: one parser per source of lexicons.

Nothing heavy is imported at the top: ``--help`` answers at once. What a builder does stands in the module of its name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mmcs.errors import UserError

RAW = argparse.RawDescriptionHelpFormatter


def register(actions: Any) -> None:
    """Adds ``build`` with a command for each source."""
    build = actions.add_parser("build", help="build a lexicon from a known source")
    builders = build.add_subparsers(dest="source_kind", metavar="SOURCE", required=True)
    _add_freedict(builders)
    _add_muse(builders)
    _add_tsv(builders)
    _add_wikititles(builders)
    _add_embeddings(builders)


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
    )
    built(lexicon, left_out=True)


def _add_tsv(builders: Any) -> None:
    parser = builders.add_parser(
        "tsv",
        help="any table: two columns, or a glossary with a column per language",
        description=(
            "Builds a lexicon from a table: tab-, semicolon- or comma-separated, quoted as in CSV where need be. With a\n"
            "header of languages (en,de,sw) every other column translates the source's; a column 'pos' is kept as part\n"
            "of speech. Without a header --languages names the columns; of two languages a third column is the weight.\n"
            "A cell may hold several candidates, separated by | or (unless it separates the columns) by ; and empty\n"
            "cells are fine. The first candidate of a word weighs most, unless there are weights.\n"
            "With --format word2word a line is a source, a tab, and its targets, best first, separated by tabs, by\n"
            "commas and spaces, or by spaces; or 'source target score'. Its pickles are not read."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build tsv glossary.csv --licence proprietary --out terms.lex\n"
            "  mmcs lexicon build tsv pairs.tsv --languages en,de --out de.lex\n"
            "  mmcs lexicon build tsv terms.csv --ignore-columns id,notes --out terms.lex\n"
            "  mmcs lexicon build tsv en-fi.txt --format word2word --languages en,fi --out fi.lex"
        ),
        formatter_class=RAW,
    )
    parser.add_argument("file", metavar="FILE", help="UTF-8, plain or gzip")
    parser.add_argument(
        "--languages", default="", metavar="TAG,TAG", help="the columns of a file without a header: en,de or en,de,pos"
    )
    add_source_language(parser, "the first of --languages, or en")
    parser.add_argument(
        "--delimiter",
        default="",
        metavar="CHARACTER",
        help="tab, comma, semicolon, pipe or the character itself (default: told by the first line)",
    )
    parser.add_argument("--ignore-columns", default="", metavar="NAME,NAME", help="columns of the header to leave out")
    parser.add_argument("--format", choices=("columns", "word2word"), default="columns", help="default: columns")
    parser.add_argument("--name", default="", help="of the source, for the lexicon's header (default: the file's)")
    parser.add_argument("--licence", default="not stated", help="of the file (default: not stated)")
    add_limits(parser)
    add_out(parser)
    parser.set_defaults(run=run_tsv)


def run_tsv(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.lexicons.tsv import DELIMITERS, Options, build_tsv

    delimiter = DELIMITERS.get(args.delimiter, args.delimiter)
    if len(delimiter) > 1 or delimiter in ('"', "\n"):
        raise UserError(f"--delimiter is tab, comma, semicolon, pipe or one character; got {args.delimiter!r}.")
    options = Options(
        languages=_listed(args.languages),
        source_language=args.source_language or "",
        delimiter=delimiter,
        ignored=_listed(args.ignore_columns),
        word2word=args.format == "word2word",
        name=args.name,
        licence=args.licence,
        max_damaged=args.max_damaged,
        max_tokens=args.max_words,
    )
    built(build_tsv(checked(args.out), args.file, options), left_out=True)


def _add_wikititles(builders: Any) -> None:
    parser = builders.add_parser(
        "wikititles",
        help="parallel Wikipedia titles (page.sql.gz and langlinks.sql.gz, or a table)",
        description=(
            "Builds a lexicon of phrases from the titles of Wikipedia's articles and of their translations: the main\n"
            "namespace, no redirects, no lists, '(...)' at the end dropped on both sides. The dumps are streamed and\n"
            "joined on disk, where TMPDIR says. The lexicon is under the licence of the titles, CC-BY-SA-4.0."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build wikititles --page enwiki-20250101-page.sql.gz \\\n"
            "      --langlinks enwiki-20250101-langlinks.sql.gz --languages de,fi --out wiki.lex\n"
            "  mmcs lexicon build wikititles --tsv titles.en-de.tsv --languages en,de --out wiki-de.lex"
        ),
        formatter_class=RAW,
    )
    add = parser.add_argument
    add("--page", type=Path, metavar="FILE", help="the wiki's page.sql.gz; needs --langlinks")
    add("--langlinks", type=Path, metavar="FILE", help="the same wiki's langlinks.sql.gz, of the same day")
    add("--tsv", type=Path, metavar="FILE", help="instead of dumps: two columns of titles, plain or gzip")
    add(
        "--languages",
        required=True,
        metavar="TAG,TAG",
        help="targets (BCP 47 or Wikipedia's codes); both columns of --tsv",
    )
    add_source_language(parser, "what the dumps' names tell (enwiki), or the first column")
    add(
        "--max-tokens",
        type=int,
        default=3,
        metavar="N",
        help="words of the longest phrase (default 3; targets: 2 more)",
    )
    add(
        "--max-damaged", type=float, default=0.01, metavar="SHARE", help="refuse a file with more damage (default 0.01)"
    )
    add("--licence", default="CC-BY-SA-4.0", help="of the titles (default CC-BY-SA-4.0)")
    add_out(parser)
    parser.set_defaults(run=run_wikititles)


def run_wikititles(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.lexicons.wikititles import Options, build_title_table, build_wikititles

    options = Options(
        _listed(args.languages), args.source_language or "", args.max_tokens, args.max_damaged, args.licence
    )
    if args.tsv and not (args.page or args.langlinks):
        built(build_title_table(checked(args.out), args.tsv, options), left_out=True)
    elif args.page and args.langlinks and not args.tsv:
        built(build_wikititles(checked(args.out), args.page, args.langlinks, options), left_out=True)
    else:
        raise UserError("titles come from --page and --langlinks together, or from --tsv.")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def add_source_language(parser: argparse.ArgumentParser, default: str) -> None:
    """``--source-language``, the same for every builder."""
    parser.add_argument(
        "--source-language", metavar="TAG", help=f"BCP 47 tag of the language to translate from (default: {default})"
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """What every builder from word lists asks: how much damage it takes, and how long a phrase may be."""
    parser.add_argument(
        "--max-damaged",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of damaged lines, 0 to 1, above which the file is refused (default 0.2)",
    )
    parser.add_argument(
        "--max-words", type=int, default=4, metavar="N", help="longer phrases are left out, and counted (default 4)"
    )


def _add_embeddings(builders: Any) -> None:
    parser = builders.add_parser(
        "embeddings",
        help="the nearest words of other languages by word vectors (fastText, word2vec, GloVe)",
        description=(
            "Builds a lexicon from word vectors. Two monolingual files are brought into one space by an orthogonal map,\n"
            "from a seed dictionary or from words that both languages spell alike, and refined by mutual neighbours.\n"
            "A candidate's weight is its score, cut to 0..1 (a dot product: as a share of the greatest possible)."
        ),
        epilog=(
            "examples:\n"
            "  mmcs lexicon build embeddings --source wiki.en.vec --target de=wiki.de.vec \\\n"
            "      --seed-dictionary de=en-de.0-5000.txt --test de=en-de.5000-6500.txt --licence CC-BY-SA-3.0 --out de.lex\n"
            "  mmcs lexicon build embeddings --source wiki.multi.en.vec --target de=wiki.multi.de.vec --aligned \\\n"
            "      --retrieval nn --similarity dot --top 1 --licence CC-BY-NC-4.0 --out study.lex"
        ),
        formatter_class=RAW,
    )
    add = parser.add_argument
    add("--source", required=True, metavar="[TAG=]FILE", help="vectors of the source language (TAG: en by default)")
    add("--target", required=True, nargs="+", action="extend", metavar="TAG=FILE", help="vectors of target languages")
    space = parser.add_mutually_exclusive_group()
    space.add_argument("--aligned", action="store_true", help="all files are in one space already")
    space.add_argument(
        "--seed-dictionary",
        nargs="+",
        action="extend",
        default=[],
        metavar="TAG=FILE",
        help="'source target' pairs to start from (default: words spelt alike)",
    )
    add("--refine", type=int, default=5, metavar="N", help="rounds of refinement of the map (default 5)")
    add("--retrieval", choices=("csls", "nn"), default="csls", help="nn: nearest neighbours (default csls)")
    add("--similarity", choices=("cosine", "dot"), default="cosine", help="dot: of the vectors as given")
    add("--mutual", action="store_true", help="only words that are each other's best")
    add("--threshold", type=float, metavar="SCORE", help="the least score of a candidate")
    add("--top", type=int, default=3, metavar="N", help="candidates per word (default 3)")
    add("--max-words", type=int, default=200_000, metavar="N", help="words read per language (default 200000)")
    add("--test", nargs="+", action="extend", default=[], metavar="TAG=FILE", help="measure precision@1 and @5 on it")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one")
    add("--licence", required=True, metavar="TEXT", help="of the vectors, such as CC-BY-SA-3.0")
    add_out(parser)
    parser.set_defaults(run=run_embeddings)


def run_embeddings(args: argparse.Namespace) -> None:
    """Builds the lexicon, says what it holds and how precise it is."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.lexicons.embeddings import Options, build_embeddings

    source = args.source if "=" in args.source else f"en={args.source}"
    ((language, path),) = _tagged("--source", [source]).items()
    options = Options(
        aligned=args.aligned,
        seeds=_tagged("--seed-dictionary", args.seed_dictionary),
        refine=args.refine,
        csls=args.retrieval == "csls",
        cosine=args.similarity == "cosine",
        mutual=args.mutual,
        threshold=args.threshold,
        top=args.top,
        tests=_tagged("--test", args.test),
        max_words=args.max_words,
        device=args.device,
    )
    targets = _tagged("--target", args.target)
    out = build_embeddings(checked(args.out), (language, path), targets, licence=args.licence, options=options)
    for about in Lexicon.open(out).header["sources"]:
        if about.get("test words") is not None:
            print(_precision(about))
    built(out, left_out=True)


def _precision(about: dict[str, Any]) -> str:
    """What was measured on a test dictionary, for people."""
    if not about["test words"]:
        return f"{about['language']}: no word of the test dictionary has a vector, so precision is unknown"
    return (
        f"{about['language']}: precision@1 {about['precision@1']:.1%}, precision@5 {about['precision@5']:.1%} on "
        f"{about['test words']:,} test words ({about['test coverage']:.1%} of the test dictionary have vectors)"
    )


def _tagged(option: str, values: list[str]) -> dict[str, str]:
    """Files by language, of ``TAG=FILE``."""
    from mmcs.prepare.records import language_tag

    files: dict[str, str] = {}
    for value in values:
        tag, equals, path = value.partition("=")
        if not equals or not path:
            raise UserError(f"{option} takes a language and a file, such as de=wiki.de.vec; got '{value}'.")
        if (language := language_tag(tag)) in files:
            raise UserError(f"{option} names '{language}' twice.")
        files[language] = path
    return files


def add_out(parser: argparse.ArgumentParser) -> None:
    """``--out``, the same for every command that writes a lexicon."""
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.lex", help="the lexicon to write")


def checked(out: Path) -> Path:
    """``out``, unless it is a folder."""
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file, such as {out / 'freedict.lex'}.")
    return out


def built(path: Path, *, left_out: bool = False) -> None:
    """Prints what the lexicon that was written holds and, on standard error, what of its sources was left out."""
    from mmcs.codeswitch.lexicon import Lexicon

    lexicon = Lexicon.open(path)
    entries = ", ".join(f"{language} {n:,}" for language, n in lexicon.header["entries"].items())
    print(f"{path}: {len(lexicon):,} phrases of {lexicon.source_language}; entries per language: {entries}")
    for source in lexicon.header["sources"] if left_out else ():
        for cause, about in source.get("left_out", {}).items():
            examples = "; ".join(about["examples"][:3])
            print(f"{source['name']}: left out {about['count']:,} x {cause} (e.g. {examples})", file=sys.stderr)
