"""TREC files: a run and its qrels per ranking, so that outside tools can recompute every figure.

Beside them ``….queries.tsv`` holds each query's exact rank, which runs cut at depth 100 cannot tell; paired statistics
read it. Evaluation writes these files, the report reads them.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from mmcs.errors import DataError, UserError
from mmcs.evaluation.ranking import About, Ranking
from mmcs.files import atomic_file

UNSAFE = re.compile(r"[\s%\x00-\x1f\x7f]")
HEADER = "query\tgroup\trank\tndcg@10\ttext"
NAME = re.compile(r"[\w-]+", re.ASCII)
SHARE = re.compile(r"\d(\.\d+)?(e-\d+)?")


@dataclass(frozen=True)
class Queries:
    """What a ``….queries.tsv`` holds: (N,) queries of one ranking, in step with each other."""

    about: About
    ids: list[str]
    groups: list[str]
    ranks: NDArray[np.int64]
    ndcg: NDArray[np.float64]
    texts: list[str]


def escape_id(name: str) -> str:
    """An id without white space, as TREC files want it: white space, control characters and ``%`` as %XX of UTF-8."""
    return UNSAFE.sub(lambda match: quote(match.group(), safe=""), name)


def unescape_id(name: str) -> str:
    """Undoes ``escape_id``."""
    return unquote(name)


def write_ranking(folder: Path, ranking: Ranking, system: str = "mmcs") -> None:
    """Writes ``RANKING.run.gz``, ``RANKING.qrels`` and ``RANKING.queries.tsv``, where RANKING is ``ranking.about.file``.

    Args:
        folder: a run's ``retrieval`` folder, made if missing.
        system: the last column of the run files.

    Raises:
        UserError: a suite or split whose name cannot stand in a file's name.
    """
    for what, name in (("suite", ranking.about.suite), ("split", ranking.about.split)):
        if not NAME.fullmatch(name):
            raise UserError(f"the {what} {name!r} names files: use letters, digits, '_' and '-'.")
    stem = Path(folder) / ranking.about.file
    # No file name and no time inside the gzip: the same ranking gives the same bytes.
    with (
        atomic_file(f"{stem}.run.gz") as path,
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
    ):
        _write_run(packed, ranking, escape_id(system))
    with atomic_file(f"{stem}.qrels") as path:
        path.write_text(_qrels(ranking), encoding="utf-8", newline="\n")
    with atomic_file(f"{stem}.queries.tsv") as path:
        path.write_text(_queries(ranking), encoding="utf-8", newline="\n")


def read_queries(path: Path, about: About) -> Queries:
    """Reads a ``….queries.tsv``; ``about`` is what results.json says of it.

    Raises:
        DataError: the file is missing, or not what ``write_ranking`` writes.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (UnicodeDecodeError, FileNotFoundError) as error:
        raise DataError(f"{path} is missing or damaged ({error}); evaluate the model again.") from error
    if lines[0] != HEADER or lines[-1]:
        raise DataError(f"{path} is not a whole queries file of mmcs; evaluate the model again.")
    table = [line.split("\t") for line in lines[1:-1]]
    for number, fields in enumerate(table, start=2):
        if len(fields) != 5 or not fields[2].isdecimal() or not SHARE.fullmatch(fields[3]):
            raise DataError(f"{path}, line {number}: expected query, group, rank, nDCG and text between tabs.")
    return Queries(
        about=about,
        ids=[unescape_id(fields[0]) for fields in table],
        groups=[unescape_id(fields[1]) for fields in table],
        ranks=np.array([int(fields[2]) for fields in table], np.int64),
        ndcg=np.array([float(fields[3]) for fields in table], np.float64),
        texts=[fields[4] for fields in table],
    )


def read_run(path: Path, only: Collection[str] | None = None) -> dict[str, list[str]]:
    """Reads a ``….run.gz``: query id → gallery ids, best first.

    Args:
        only: ids of the queries that are wanted; None: all.

    Raises:
        DataError: the file is damaged.
    """
    found: dict[str, list[str]] = defaultdict(list)
    wanted = None if only is None else {escape_id(name) for name in only}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                query, _, rest = line.partition(" ")
                if wanted is None or query in wanted:
                    _, document, *_ = rest.split(" ")
                    found[unescape_id(query)].append(unescape_id(document))
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); evaluate the model again.") from error
    return dict(found)


def read_qrels(path: Path) -> dict[str, set[str]]:
    """Reads a ``….qrels``: query id → ids of its positives."""
    positives: dict[str, set[str]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        query, _, document, grade = line.split(" ")
        if int(grade) > 0:
            positives[unescape_id(query)].add(unescape_id(document))
    return dict(positives)


def _write_run(handle: gzip.GzipFile, ranking: Ranking, system: str) -> None:
    documents = [escape_id(name) for name in ranking.gallery_ids]
    scores = strictly_decreasing(ranking.scores)
    places = range(1, scores.shape[1] + 1)
    for query, columns, values in zip(ranking.query_ids, ranking.indices.tolist(), scores.tolist(), strict=True):
        if columns and columns[-1] < 0:
            columns = columns[: columns.index(-1)]
        # One template per query, filled at once: a suite has millions of these lines.
        name = escape_id(query).replace("%", "%%")
        template = f"{name} Q0 %s %d %.9g {system.replace('%', '%%')}\n" * len(columns)
        fields = zip((documents[column] for column in columns), places, values, strict=False)
        handle.write((template % tuple(chain.from_iterable(fields))).encode())


def strictly_decreasing(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (N, K) in falling order, equal ones moved apart by the least float32 step.

    Outside tools sort by score and break ties by document id, some in float32: so our order is theirs too.
    """
    result = scores.astype(np.float32)
    for column in range(1, result.shape[1]):
        bound = np.nextafter(result[:, column - 1], np.float32(-np.inf))
        result[:, column] = np.minimum(result[:, column], bound)
    return result


def _qrels(ranking: Ranking) -> str:
    if ranking.grades is not None:
        return "".join(
            f"{escape_id(query)} 0 {escape_id(document)} {grade}\n"
            for query in ranking.query_ids
            for document, grade in ranking.grades[query].items()
        )
    members: dict[str, list[str]] = defaultdict(list)
    for name, group in zip(ranking.gallery_ids, ranking.gallery_groups, strict=True):
        members[group].append(escape_id(name))
    return "".join(
        f"{escape_id(query)} 0 {document} 1\n"
        for query, group in zip(ranking.query_ids, ranking.query_groups, strict=True)
        for document in members[group]
    )


def _queries(ranking: Ranking) -> str:
    columns = (
        ranking.query_ids,
        ranking.query_groups,
        ranking.ranks.tolist(),
        ranking.ndcg.tolist(),
        ranking.query_texts,
    )
    lines = [
        f"{escape_id(query)}\t{escape_id(group)}\t{rank}\t{ndcg:.9g}\t{' '.join(text.split())}\n"
        for query, group, rank, ndcg, text in zip(*columns, strict=True)
    ]
    return HEADER + "\n" + "".join(lines)
