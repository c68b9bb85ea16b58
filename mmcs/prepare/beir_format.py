"""A suite's captions as a set in BEIR's format: captions in one language ask for captions of the same concept in another.

``mmcs data prepare beir-format`` calls it; such sets are read by ``mmcs.evaluation.beir``. They are in BEIR's format, they
are not BEIR.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmcs.stream.remote import Access
    from mmcs.stream.sources import Shard

Ids = dict[str, list[str]]  # by group


def register(sets: Any) -> None:
    """Adds ``mmcs data prepare beir-format``."""
    parser = sets.add_parser(
        "beir-format",
        help="captions of shards as queries and documents in BEIR's format",
        description=(
            "Captions in one language become queries, captions in another documents; those of one concept (group)\n"
            "answer each other. In one language, a caption asks for the other captions of its concept."
        ),
        epilog=(
            "example:\n  mmcs data prepare beir-format data/stamps/test --query-language de --document-language en "
            "--out data/stamps_de_en\n  mmcs evaluate MODEL --beir data/stamps_de_en --out outputs/text"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shards", metavar="SHARDS", help="a suite, as --suite of 'mmcs evaluate' takes it")
    parser.add_argument("--query-language", required=True, metavar="TAG", help="such as de")
    parser.add_argument("--document-language", required=True, metavar="TAG", help="such as en")
    parser.add_argument("--split", default="test", help="how the judgments' file is called (default test)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to make")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    manifest = prepare_beir_format(args.shards, args.query_language, args.document_language, args.out, args.split)
    print(
        f"{args.out}: {manifest['queries']:,} queries in {manifest['query_language']}, {manifest['documents']:,} documents in "
        f"{manifest['document_language']}, {manifest['judgments']:,} judgments ({args.split})"
    )
    if manifest["unanswered_queries"]:
        print(f"  {manifest['unanswered_queries']:,} of the queries have no answer and do not count")
    for cause, count in manifest["dropped"].items():
        print(f"  dropped: {count:,} {cause}")


def prepare_beir_format(
    shards: str, query_language: str, document_language: str, out: str | Path, split: str = "test"
) -> dict[str, Any]:
    """Writes ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv`` and ``manifest.json`` into the folder ``out``.

    An id is the language, the sample's identity and the number of the caption, so that within one language a query's own
    document carries its id: it is dropped from that query's ranking, by BEIR's rule.

    Returns:
        the manifest.

    Raises:
        UserError: the shards have no captions in one of the languages, or ``out`` holds something.
        DataError: no query has an answer.
    """
    from mmcs.common.language_tags import find_language, language_tag
    from mmcs.errors import DataError, UserError
    from mmcs.evaluation.suites import captions_per_language
    from mmcs.evaluation.trec import NAME
    from mmcs.files import atomic_folder
    from mmcs.stream.remote import Access
    from mmcs.stream.sources import expand

    if not NAME.fullmatch(split):
        raise UserError(f"the split {split!r} names a file: use letters, digits, '_' and '-'.")
    found, access = expand(shards), Access()
    has = captions_per_language(found, access)
    query_language, document_language = language_tag(query_language), language_tag(document_language)
    for language in (query_language, document_language):
        if find_language(language, has) is None:
            raise UserError(
                f"{shards} has captions in {', '.join(sorted(has)) or 'no language'}, none in {language!r}."
            )
    with atomic_folder(out) as folder:
        queries, documents, dropped = _write_captions(folder, found, access, query_language, document_language)
        (folder / "qrels").mkdir()
        judgments, unanswered = _write_qrels(folder / "qrels" / f"{split}.tsv", queries, documents)
        if not judgments:
            raise DataError(
                f"{shards}: no caption in {query_language} has another of its concept in {document_language}."
            )
        manifest = {
            "format": "BEIR format",
            "split": split,
            "query_language": query_language,
            "document_language": document_language,
            "queries": sum(map(len, queries.values())),
            "documents": sum(map(len, documents.values())),
            "judgments": judgments,
            "unanswered_queries": unanswered,
            "sources": list(dict.fromkeys(shard.source for shard in found)),
            "dropped": dropped,
        }
        text = json.dumps(manifest, ensure_ascii=False, indent=1)
        (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def _write_captions(
    folder: Path, shards: Sequence[Shard], access: Access, query_language: str, document_language: str
) -> tuple[Ids, Ids, dict[str, int]]:
    """Writes queries and documents; their ids by group, and what was dropped by cause."""
    from mmcs.evaluation.suites import caption_loader
    from mmcs.progress import track
    from mmcs.stream.drops import DropCounter
    from mmcs.stream.shard_sizes import sizes

    queries: Ids = defaultdict(list)
    documents: Ids = defaultdict(list)
    dropped = DropCounter()
    loader = caption_loader(shards, sizes(shards, access), access, (query_language, document_language))
    with _open(folder / "queries.jsonl") as asking, _open(folder / "corpus.jsonl") as answering:
        for batch in track(loader, "captions", len(loader)):
            dropped.add(batch)
            columns = (batch.get(key, ()) for key in ("identity", "groups", "captions"))
            for identity, group, captions in zip(*columns, strict=True):
                for language, ids, handle, more in (
                    (query_language, queries, asking, {}),
                    (document_language, documents, answering, {"title": ""}),
                ):
                    for number, text in enumerate(captions.get(language, ())):
                        one = f"{language}:{identity}#{number}"
                        ids[group].append(one)
                        handle.write(json.dumps({"_id": one, **more, "text": text}, ensure_ascii=False) + "\n")
    return queries, documents, dict(dropped.by_cause)


def _open(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="\n")


def _write_qrels(path: Path, queries: Ids, documents: Ids) -> tuple[int, int]:
    """How many judgments were written, and how many queries have none."""
    judgments = unanswered = 0
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.write("query-id\tcorpus-id\tscore\n")
        for group, ids in queries.items():
            for query in ids:
                answers = [one for one in documents.get(group, ()) if one != query]
                handle.writelines(f"{query}\t{one}\t1\n" for one in answers)
                judgments += len(answers)
                unanswered += not answers
    return judgments, unanswered
