"""``mmcs lexicon build`` from what was made for something else: Wikipedia titles and word vectors.

Nothing heavy is imported at the top: ``--help`` answers at once. What a builder does stands in the module of its name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmcs.errors import UserError
from mmcs.lexicons.arguments import RAW, add_header, add_out, add_source_language, built, checked, listed


def register(builders: Any) -> None:
    """Adds a command for each source."""
    _add_wikititles(builders)
    _add_embeddings(builders)


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
    add("--max-damaged", type=float, default=0.2, metavar="SHARE", help="refuse a file with more damage (default 0.2)")
    add("--licence", default="CC-BY-SA-4.0", help="of the titles (default CC-BY-SA-4.0)")
    add_header(parser)
    add_out(parser)
    parser.set_defaults(run=run_wikititles)


def run_wikititles(args: argparse.Namespace) -> None:
    """Builds the lexicon and says what it holds."""
    from mmcs.lexicons.wikititles import Options, build_title_table, build_wikititles

    options = Options(
        listed(args.languages), args.source_language or "", args.max_tokens, args.max_damaged, args.licence, args.header
    )
    if args.tsv and not (args.page or args.langlinks):
        built(build_title_table(checked(args.out), args.tsv, options), left_out=True)
    elif args.page and args.langlinks and not args.tsv:
        built(build_wikititles(checked(args.out), args.page, args.langlinks, options), left_out=True)
    else:
        raise UserError("titles come from --page and --langlinks together, or from --tsv.")


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
    add(
        "--licence",
        default="not stated",
        metavar="TEXT",
        help="of the vectors, such as CC-BY-SA-3.0 (default: not stated)",
    )
    add_out(parser)
    parser.set_defaults(run=run_embeddings)


def run_embeddings(args: argparse.Namespace) -> None:
    """Builds the lexicon, says what it holds and how precise it is."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.common.language_tags import languages_of
    from mmcs.lexicons.embeddings import Options, build_embeddings

    source = args.source if "=" in args.source and not Path(args.source).exists() else f"en={args.source}"
    ((language, path),) = _tagged("--source", [source]).items()
    named = _tagged("--target", args.target)
    languages = languages_of(named)
    targets = {languages[tag]: file for tag, file in named.items()}
    options = Options(
        aligned=args.aligned,
        seeds=_of_targets("--seed-dictionary", args.seed_dictionary, targets),
        refine=args.refine,
        csls=args.retrieval == "csls",
        cosine=args.similarity == "cosine",
        mutual=args.mutual,
        threshold=args.threshold,
        top=args.top,
        tests=_of_targets("--test", args.test, targets),
        max_words=args.max_words,
        device=args.device,
    )
    for tag, of in languages.items():
        if tag != of:
            print(f"note: {tag} is taken as {of}", file=sys.stderr)
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


def _of_targets(option: str, values: list[str], targets: Mapping[str, str]) -> dict[str, str]:
    """Files by the target languages that they belong to; a region belongs to its language."""
    from mmcs.common.language_tags import known_language

    return {known_language(tag, targets) or tag: file for tag, file in _tagged(option, values).items()}


def _tagged(option: str, values: list[str]) -> dict[str, str]:
    """Files by language, of ``TAG=FILE``."""
    from mmcs.common.language_tags import language_tag

    files: dict[str, str] = {}
    for value in values:
        tag, equals, path = value.partition("=")
        if not equals or not path:
            raise UserError(f"{option} takes a language and a file, such as de=wiki.de.vec; got '{value}'.")
        if (language := language_tag(tag)) in files:
            raise UserError(f"{option} names '{language}' twice.")
        files[language] = path
    return files
