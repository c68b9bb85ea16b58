"""A folder in BEIR's format: documents, queries and graded judgments, each line checked before anything is embedded.

    corpus.jsonl  {_id, title, text}     queries.jsonl  {_id, text}     qrels/SPLIT.tsv  query-id, corpus-id, score

or the same as Parquet, as data sets on hubs are stored (``beir_files``). What is found with it is ``beir_ranking``'s; ``mmcs evaluate --beir`` opens such folders, ``mmcs data prepare beir-format``
writes them.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcs.common.language_tags import tag_of
from mmcs.errors import DataError, UserError
from mmcs.evaluation.beir_files import lines_of, qrels_files, records_of, set_files
from mmcs.evaluation.trec import NAME
from mmcs.progress import track
from mmcs.retrieval.languages import ENGLISH

MANIFEST = "manifest.json"
QUERY_KEYS, DOCUMENT_KEYS = ("query-id", "query_id"), ("corpus-id", "corpus_id")


@dataclass(frozen=True)
class BeirSet:
    """One split of a folder.

    Attributes:
        query_language, document_language: BCP 47 tags.
        queries: id → text of those that have judgments, in the order of their file.
        judgments: query id → document id → grade, for each of ``queries``; above 0 is relevant.
        document_ids: in the order of their file.
        counts: of what does not fit together, by name (see ``notes``), and of queries of other splits (``unjudged_queries``).
    """

    name: str
    split: str
    folder: Path
    query_language: str
    document_language: str
    queries: dict[str, str]
    judgments: dict[str, dict[str, int]]
    document_ids: list[str]
    counts: dict[str, int]

    def document_texts(self) -> Iterator[str]:
        """Title, a space and text of each document, in step with ``document_ids``; read anew, for they may not fit in memory."""
        for _, (_, text) in zip(
            self.document_ids, _documents(set_files(self.folder, "corpus", self.split)), strict=True
        ):
            yield text

    def notes(self) -> list[str]:
        """Sentences about what does not fit together, to be told beside every figure."""
        spoken = {
            "unknown_queries": "{} judged queries stand in no queries file and are left out.",
            "unknown_documents": "{} relevant documents stand in no corpus; they count as not found, as in trec_eval.",
            "own_documents": "{} queries are judged to be answered by the document of their own id, which is never retrieved.",
            "queries_without_relevant": "{} queries have no relevant document; they count as 0, as in trec_eval.",
            "empty_documents": "{} documents have neither title nor text.",
        }
        return [sentence.format(f"{self.counts[what]:,}") for what, sentence in spoken.items() if self.counts[what]]

    def as_dict(self) -> dict[str, Any]:
        """What results.json says of it."""
        return {
            "split": self.split,
            "folder": str(self.folder),
            "query_language": self.query_language,
            "document_language": self.document_language,
            "queries": len(self.queries),
            "documents": len(self.document_ids),
            "counts": self.counts,
        }


def open_beir(folder: str | Path, name: str, split: str = "test", languages: tuple[str, str] | None = None) -> BeirSet:
    """Reads queries and judgments, and checks every document.

    Args:
        folder: with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv`` or ``.jsonl``, each also with ``.gz``, or as
            Parquet.
        name: what its figures are called; letters, digits, ``_`` and ``-``.
        languages: of queries and documents; None: as its ``manifest.json`` says, else English.

    Raises:
        UserError: there is no such folder, file or split, or the manifest names other languages.
        DataError: a line that cannot be used (file and number are named), an id that stands twice, nothing to rank.
    """
    folder = Path(folder).expanduser().absolute()
    if not NAME.fullmatch(name):
        raise UserError(f"{folder} would be called {name!r}: name it with letters, digits, '_' and '-' (NAME=DIR).")
    if not NAME.fullmatch(split):
        raise UserError(f"the split {split!r} names files: use letters, digits, '_' and '-'.")
    corpus, queries = (set_files(folder, name, split) for name in ("corpus", "queries"))
    qrels = qrels_files(folder, split)
    query_language, document_language = _languages(folder, languages)
    texts: dict[str, str] = {}
    for where, record in records_of(queries):
        one = _id(where, record)
        if one in texts:
            raise DataError(f"{where}: the query id {one!r} stands twice; ids must tell queries apart.")
        texts[one] = _text(where, record, "text")
    judged = _judgments(qrels)
    known: dict[str, None] = {}
    empty = 0
    for one, text in track(_documents(corpus, known), f"checking {name}"):
        known[one] = None
        empty += not text
    judgments = {query: judged[query] for query in texts if query in judged}
    if not judgments:
        raise DataError(
            f"{qrels[0]} judges none of the {len(texts):,} queries of {queries[0]}: nothing can be measured."
        )
    if not known:
        raise DataError(f"{corpus[0]} holds no document: nothing can be ranked.")
    relevant = {query: [one for one, grade in own.items() if grade > 0] for query, own in judgments.items()}
    return BeirSet(
        name=name,
        split=split,
        folder=folder,
        query_language=query_language,
        document_language=document_language,
        queries={query: texts[query] for query in judgments},
        judgments=judgments,
        document_ids=list(known),
        counts={
            "unjudged_queries": len(texts) - len(judgments),
            "unknown_queries": len(judged.keys() - texts.keys()),
            "unknown_documents": len({one for own in relevant.values() for one in own} - known.keys()),
            "own_documents": sum(query in own for query, own in relevant.items()),
            "queries_without_relevant": sum(not own for own in relevant.values()),
            "empty_documents": empty,
        },
    )


def _languages(folder: Path, asked: tuple[str, str] | None) -> tuple[str, str]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        said = (manifest["query_language"], manifest["document_language"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return asked or (ENGLISH, ENGLISH)  # BEIR's own folders have no manifest, or another's
    if not all(isinstance(language, str) and language for language in said):
        raise DataError(f"{folder / MANIFEST}: query_language and document_language are no language tags.")
    said = (tag_of(said[0]) or said[0], tag_of(said[1]) or said[1])
    if asked not in (None, said):
        raise UserError(
            f"{folder / MANIFEST} says queries in {said[0]} and documents in {said[1]}, asked for were {','.join(asked)}."
        )
    return said


def _documents(paths: Sequence[Path], known: dict[str, None] | None = None) -> Iterator[tuple[str, str]]:
    """Id and text of each document; what stands in ``known`` must not come again."""
    for where, record in records_of(paths):
        one = _id(where, record)
        if known is not None and one in known:
            raise DataError(f"{where}: the document id {one!r} stands twice; ids must tell documents apart.")
        title = _text(where, record, "title", needed=False)
        yield one, f"{title} {_text(where, record, 'text')}".strip()


def _judgments(paths: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Query id → document id → grade, of a table with a header, of JSON lines or of Parquet."""
    judged: dict[str, dict[str, int]] = {}
    rows = _table(paths[0]) if ".tsv" in paths[0].suffixes else _judgment_records(paths)
    for where, query, document, grade in rows:
        own = judged.setdefault(query, {})
        if own.setdefault(document, grade) != grade:
            raise DataError(f"{where}: {query!r} and {document!r} were judged {own[document]} before, {grade} here.")
    return judged


def _table(path: Path) -> Iterator[tuple[str, str, str, int]]:
    for number, line in lines_of(path):
        where = f"{path}, line {number}"
        try:
            fields = next(csv.reader([line.rstrip("\r\n")], delimiter="\t"))
        except csv.Error as error:
            raise DataError(f"{where}: {error}.") from None
        if len(fields) != 3:
            raise DataError(
                f"{where}: expected query-id, corpus-id and score between tabs, found {len(fields)} fields."
            )
        query, document, score = fields
        if number == 1 and _number(score) is None:
            continue  # the header; a file without one begins with a judgment, which counts
        if not query or not document:
            raise DataError(f"{where}: an id is missing.")
        yield where, query, document, _grade(where, score)


def _judgment_records(paths: Sequence[Path]) -> Iterator[tuple[str, str, str, int]]:
    for where, record in records_of(paths):
        if "score" not in record:
            raise DataError(f"{where}: there is no 'score' (but {', '.join(record) or 'nothing'}).")
        yield where, _id(where, record, QUERY_KEYS), _id(where, record, DOCUMENT_KEYS), _grade(where, record["score"])


def _grade(where: str, value: Any) -> int:
    number = _number(value)
    if number is None or number != int(number) or abs(number) >= 1 << 31:
        raise DataError(f"{where}: the score is {value!r}, where a whole number is wanted.")
    return int(number)


def _number(value: Any) -> float | None:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _id(where: str, record: dict[str, Any], keys: Sequence[str] = ("_id", "id")) -> str:
    value = next((record[key] for key in keys if key in record), None)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        said = "is missing" if value is None else f"is {value!r}, where a text or a whole number is wanted"
        raise DataError(f"{where}: {keys[0]!r} {said}.")
    return _sound(where, str(value))


def _text(where: str, record: dict[str, Any], key: str, needed: bool = True) -> str:
    """The text under ``key``; null, and the NaN that tables leave for an empty cell, are no text."""
    if needed and key not in record:
        raise DataError(f"{where}: there is no {key!r} (but {', '.join(record) or 'nothing'}).")
    value = record.get(key)
    if value is None or value != value:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: {key!r} is {type(value).__name__}, where a text is wanted.")
    return _sound(where, value)


def _sound(where: str, text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}: half a surrogate pair, which is no character.") from None
    return text
