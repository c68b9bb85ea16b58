"""The figures of an evaluation in a terminal: tables per suite and protocol, with what must be said beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mmcs.evaluation.beir_ranking import PROTOCOL
from mmcs.evaluation.direct import is_direct
from mmcs.evaluation.ranking import TASKS, TEXT_TO_TEXT
from mmcs.evaluation.rows import PAIRS

Row = dict[str, Any]
WIDE = ("recall@10", "loss_of_recall@10", "cosine_to_original", "language_share@10")
BEIR = ("ndcg@10", "mrr@10", "recall@100", "truncated")
SPOKEN = {"loss_of_recall@10": "loss of recall@10", "cosine_to_original": "cosine to the original"}


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Prints recall@10 per language and direction, the means last, then what else was ranked, then the notes."""
    console = console or Console(markup=False, highlight=False)
    for place in dict.fromkeys((row["suite"], row["split"], row["protocol"]) for row in rows):
        own = [row for row in rows if (row["suite"], row["split"], row["protocol"]) == place]
        for table in _tables(own, "{} ({}, {})".format(*place)):
            console.print(table)
        for note in dict.fromkeys(note for row in own for note in row.get("notes", ())):
            console.print(f"{place[0]}: {note}", soft_wrap=True)


def _tables(rows: Sequence[Row], title: str) -> Iterator[Table]:
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(_kind(row), []).append(row)
    if direct := kinds.get("direct"):
        yield _directions(direct, f"{title}: recall@10 in % [95 % interval over groups]")
    if pairs := kinds.get("pairs"):
        yield _matrix(pairs, f"{title}: captions (rows) that find a caption of their image (columns), recall@10 in %")
    if others := kinds.get("others"):
        yield _list(others, WIDE, f"{title}: what else was ranked, in % [95 % interval over groups]")
    if beir := kinds.get("beir"):
        yield _list(beir, BEIR, f"{title}: queries that find documents, in % [95 % interval over queries]")


def _kind(row: Row) -> str:
    if row["protocol"] == PROTOCOL:
        return "beir"
    if is_direct(row):
        return "direct"
    return "pairs" if row["task"] == TEXT_TO_TEXT and row["setting"] != "MLIR" else "others"


def _directions(rows: Sequence[Row], title: str) -> Table:
    table = Table("language", title=title, title_justify="left")
    for name in ("text → image", "captions", "image → text", "images"):
        table.add_column(name, justify="right")
    found = {(row["language"], row["task"]): row for row in rows if row["metric"] == "recall@10"}
    sets = {row["language"] for row in found.values() if "languages" in row}
    languages = list(dict.fromkeys(language for language, _ in found))
    single = [language for language in languages if language not in sets]
    for language in languages:
        cells = [found.get((language, task)) for task in TASKS]
        shown = [text for row in cells for text in (_figure(row), str(row["n_queries"]) if row else "–")]
        table.add_row(language, *shown, end_section=language == single[-1], style="bold" if language in sets else "")
    return table


def _matrix(rows: Sequence[Row], title: str) -> Table:
    found = {(row["query_language"], row["gallery_language"]): row for row in rows if row["metric"] == "recall@10"}
    mean = found.pop((PAIRS, PAIRS), None)
    queries = list(dict.fromkeys(query for query, _ in found))
    galleries = list(dict.fromkeys([*queries, *(gallery for _, gallery in found)]))
    table = Table(
        "", title=title, title_justify="left", caption=f"mean of all pairs: {_figure(mean)}" if mean else None
    )
    for gallery in galleries:
        table.add_column(gallery, justify="right")
    for query in queries:
        cells = [found.get((query, gallery)) for gallery in galleries]
        table.add_row(query, *("–" if row is None else f"{100 * row['value']:.0f}" for row in cells))
    return table


def _list(rows: Sequence[Row], metrics: Sequence[str], title: str) -> Table:
    table = Table("ranked", "figure", title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("value", justify="right")
    table.add_column("n", justify="right")
    before = None
    order = {file: place for place, file in enumerate(dict.fromkeys(row.get("file") for row in rows))}
    for row in sorted(rows, key=lambda row: order[row.get("file")]):
        if row["metric"] not in metrics:
            continue
        what = f"{row['query_transform'] or row['setting']}: {row['query_language']} → {row['gallery_language']}"
        metric = SPOKEN.get(row["metric"], row["metric"])
        value = _figure(row)
        if "share_in_gallery" in row:
            metric = f"{row['language']} among 10 (all: {100 * row['share_in_gallery']:.1f})"
        table.add_row(what if what != before else "", metric, value, str(row["n_queries"]))
        before = what
    return table


def _figure(row: Row | None) -> str:
    if row is None:
        return "–"
    low, high = row["ci95"]
    return f"{100 * row['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
