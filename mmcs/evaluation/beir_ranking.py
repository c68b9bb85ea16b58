"""The text tower as a dense retriever on a set in BEIR's format: the exact best 100 documents, and trec_eval's figures.

Sets are opened by ``beir``; ``evaluate`` writes the ranking's files and the rows.

Shapes: ``N`` queries, ``M`` documents, ``D`` width, ``K`` documents kept per query, ``P`` relevant pairs, ``R`` queries of a
chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmcs.evaluation.beir import BeirSet
from mmcs.evaluation.embedding import CaptionEncoder
from mmcs.evaluation.ranking import DEPTH, TEXT_TO_TEXT, About, Ranking
from mmcs.evaluation.resampling import interval, resampled_means
from mmcs.evaluation.rows import RESAMPLES, Row, setting_of
from mmcs.retrieval.scores import check, scored

PROTOCOL = "beir_format"  # whatever the set: "BEIR" is the name of a benchmark
METRICS = ("ndcg@10", "mrr@10", "recall@100", "recall@10")
TRUNCATED = ("truncated", "truncated_queries")
BLOCK, LETTERS = 1 << 15, 1 << 24  # texts, and letters of them, that are encoded together


@dataclass(frozen=True)
class Judged:
    """What a search must know of the judgments, on the device of the embeddings.

    Attributes:
        rows, columns, grades: (P,) int64, the relevant pairs of query and document, by row, then column.
        own: (N,) int64, the column of the document with the query's own id, −1 where there is none.
    """

    rows: Tensor
    columns: Tensor
    grades: Tensor
    own: Tensor

    def to(self, device: torch.device | str) -> Judged:
        """The same on another device."""
        return Judged(*(part.to(device) for part in (self.rows, self.columns, self.grades, self.own)))


@dataclass(frozen=True)
class Hits:
    """What a search finds.

    Attributes:
        indices: (N, K) int64, best first, −1 where no document is left.
        scores: (N, K) float32.
        grades: (N, K) int64, 0 where a document is not relevant.
        ranks: (N,) int64, of the best relevant document among all; where none is in the corpus, behind all and ``DEPTH``.
    """

    indices: Tensor
    scores: Tensor
    grades: Tensor
    ranks: Tensor


@torch.inference_mode()
def beir_retrieval(
    beir: BeirSet, encode: CaptionEncoder, device: torch.device | str, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Ranking, list[Row]]:
    """Embeds queries and documents and ranks the latter for each query by cosine.

    Rows: ``METRICS`` with intervals over queries, and the shares of documents and queries that the tower truncated, which
    are counts and have none.

    Args:
        encode: texts → embeddings; its tower's tokeniser tells what is truncated.
        device: where scores are computed, if the documents' embeddings fit there.
    """
    queries, cut_queries = _embedded(encode, beir.queries.values(), len(beir.queries))
    documents, cut_documents = _embedded(encode, beir.document_texts(), len(beir.document_ids))
    judged = judged_pairs(beir)
    try:
        hits = search(queries.to(device), documents.to(device), judged.to(device))
    except torch.OutOfMemoryError:
        hits = search(queries, documents, judged)
    ranks = hits.ranks.cpu().numpy()
    figures = per_query(hits.grades.cpu().numpy(), ranks, beir.judgments)
    languages = beir.query_language, beir.document_language
    about = About(beir.name, beir.split, PROTOCOL, setting_of(*languages), None, TEXT_TO_TEXT, *languages)
    ranking = Ranking(
        about=about,
        query_ids=list(beir.queries),
        query_groups=list(beir.queries),
        query_texts=list(beir.queries.values()),
        gallery_ids=beir.document_ids,
        gallery_groups=beir.document_ids,
        ranks=ranks,
        ndcg=figures[:, 0],
        indices=hits.indices.to(torch.int32).cpu().numpy(),
        scores=hits.scores.cpu().numpy(),
        n_excluded=beir.counts["unjudged_queries"],
        grades=beir.judgments,
    )
    samples = resampled_means({"": figures}, {"": ranking.query_groups}, resamples, seed)[:, 0]
    values = [(float(value), *interval(own)) for value, own in zip(figures.mean(axis=0), samples.T, strict=True)]
    values += [(share,) * 3 for share in (cut_documents / len(documents), cut_queries / len(queries))]
    common = about.as_dict() | {
        "language": about.language,
        "n_queries": len(queries),
        "n_excluded": ranking.n_excluded,
        "n_gallery": len(documents),
        "file": about.file,
        "notes": beir.notes(),
    }
    return ranking, [
        {**common, "metric": metric, "value": value, "ci95": [low, high]}
        for metric, (value, low, high) in zip((*METRICS, *TRUNCATED), values, strict=True)
    ]


def _embedded(encode: CaptionEncoder, texts: Iterable[str], count: int) -> tuple[Tensor, int]:
    """Embeddings (count, D) of so many texts, and how many of them are longer than the tower's context."""
    tower = encode.towers
    embeddings = torch.empty(count, tower.embed_dim)
    place = truncated = 0
    for block in _blocks(texts):
        stop = place + len(block)
        embeddings[place:stop] = encode(block, f"embedding texts {place + 1:,} to {stop:,} of {count:,}")
        truncated += sum(length > tower.tokenizer.context_length for length in tower.tokenise.lengths(block))
        place = stop
    return embeddings, truncated


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    letters = 0
    for text in texts:
        block.append(text)
        letters += len(text)
        if len(block) == BLOCK or letters >= LETTERS:
            yield block
            block, letters = [], 0
    if block:
        yield block


def judged_pairs(beir: BeirSet) -> Judged:
    """The set's judgments by row and column. A query's own document is no answer to it, however it is judged."""
    wanted = {document for own in beir.judgments.values() for document, grade in own.items() if grade > 0}
    wanted |= beir.queries.keys()
    column = {document: place for place, document in enumerate(beir.document_ids) if document in wanted}
    pairs = [
        (row, column[document], grade)
        for row, (query, own) in enumerate(beir.judgments.items())
        for document, grade in own.items()
        if grade > 0 and document in column and document != query
    ]
    rows, columns, grades = torch.tensor(sorted(pairs), dtype=torch.int64).reshape(-1, 3).T.contiguous()
    own = torch.tensor([column.get(query, -1) for query in beir.queries])
    return Judged(rows, columns, grades, own)


@torch.no_grad()
def search(queries: Tensor, documents: Tensor, judged: Judged, depth: int = DEPTH) -> Hits:
    """The ``depth`` best documents of each query, in an order that is the same every time and never flatters.

    Order: higher score first; among equal scores the lower grade first, then the earlier document. Memory is linear in N
    and in M.

    Args:
        queries: (N, D).
        documents: (M, D), on the same device.

    Raises:
        DataError: an embedding is not finite.
    """
    check(queries, documents)
    parts: list[Hits] = []
    keys = judged.rows * len(documents) + judged.columns
    for start, scores in scored(queries, documents):
        stop = start + len(scores)
        own = judged.own[start:stop]
        known = (own >= 0).nonzero()[:, 0]
        scores[known, own[known]] = -torch.inf
        chosen = (judged.rows >= start) & (judged.rows < stop)
        ranks = _ranks(scores, judged.rows[chosen] - start, judged.columns[chosen])
        first_key = torch.arange(start, stop, device=scores.device)[:, None] * len(documents)
        columns = _best(scores, keys, judged.grades, first_key, min(depth, len(documents)))
        values = scores.gather(1, columns)
        grades = _grades(keys, judged.grades, first_key + columns)
        parts.append(Hits(columns.masked_fill(values == -torch.inf, -1), values, grades, ranks))
    return Hits(*(torch.cat([getattr(part, name) for part in parts]) for name in Hits.__dataclass_fields__))


def _ranks(scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """1 + how many documents that are not relevant score as high as the best relevant one, (R,)."""
    relevant = scores[rows, columns]
    best = scores.new_full((len(scores),), -torch.inf).scatter_reduce_(0, rows, relevant, "amax")
    above = (scores >= best[:, None]).sum(1)
    above.index_add_(0, rows, (relevant >= best[rows]).to(above.dtype), alpha=-1)
    return torch.where(best > -torch.inf, above + 1, max(scores.shape[1], DEPTH) + 1)


def _best(scores: Tensor, keys: Tensor, grades: Tensor, first_key: Tensor, kept: int) -> Tensor:
    """Columns (R, kept) of the best documents, in order."""
    values, columns = scores.topk(kept, dim=1)
    last = values[:, -1:]
    # Where equal scores cross the bound, topk picked any of them.
    for row in ((scores >= last).sum(1) > kept).nonzero()[:, 0].tolist():
        above = (scores[row] > last[row]).nonzero()[:, 0]
        tied = (scores[row] == last[row]).nonzero()[:, 0]
        order = _grades(keys, grades, first_key[row] + tied).argsort(stable=True)
        columns[row] = torch.cat([above, tied[order[: kept - len(above)]]])
    columns = columns.sort(dim=1).values
    columns = columns.gather(1, _grades(keys, grades, first_key + columns).argsort(dim=1, stable=True))
    return columns.gather(1, scores.gather(1, columns).argsort(dim=1, descending=True, stable=True))


def _grades(keys: Tensor, grades: Tensor, wanted: Tensor) -> Tensor:
    """The grade of each pair in ``wanted`` (row × M + column), 0 where it is not among the relevant ones (P,)."""
    if not len(keys):
        return torch.zeros_like(wanted)
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, grades[place], 0)


def per_query(
    grades: NDArray[np.int64], ranks: NDArray[np.int64], judgments: dict[str, dict[str, int]]
) -> NDArray[np.float64]:
    """Figures (N, 4) in the order of ``METRICS``, as trec_eval takes them.

    nDCG@10 is Σ grade / log2(1 + place) over the first ten, divided by the same of the best order of all judged documents
    (Järvelin and Kekäläinen 2002, linear gains). Recall@k is the share of the relevant documents among the first k.
    Whatever is judged counts, in the corpus or not; a query without a relevant document has 0.

    Args:
        grades: (N, K) of what was found, best first.
        ranks: (N,) of the best relevant document.
        judgments: of the N queries, in their order.
    """
    discounts = 1 / np.log2(np.arange(2, 12))
    ideal, relevant = np.zeros(len(ranks)), np.zeros(len(ranks))
    for row, own in enumerate(judgments.values()):
        best = sorted((grade for grade in own.values() if grade > 0), reverse=True)
        relevant[row] = len(best)
        ideal[row] = np.array(best[:10], np.float64) @ discounts[: len(best[:10])]
    found = grades[:, :10].astype(np.float64)
    gained = found @ discounts[: found.shape[1]]
    recalls = [(grades[:, :k] > 0).sum(axis=1) / np.maximum(relevant, 1) for k in (100, 10)]
    reciprocal = np.where(ranks <= 10, 1 / ranks, 0.0)
    return np.stack([gained / np.where(ideal > 0, ideal, 1), reciprocal, *recalls], axis=1)
