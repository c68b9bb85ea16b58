"""The figures of an evaluation in a terminal: tables per suite and protocol, with what must be said beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mmcs.evaluation.ranking import TASKS

Row = dict[str, Any]


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Prints recall@10 per language and direction, the means last, then what else was ranked, then the notes."""
    console = console or Console(markup=False)
    places = dict.fromkeys((row["suite"], row["split"], row["protocol"]) for row in rows)
    for place in places:
        own = [row for row in rows if (row["suite"], row["split"], row["protocol"]) == place]
        direct = [
            row for row in own if row["query_transform"] is None and row["setting"] != "MLIR" and row["task"] in TASKS
        ]
        if direct:
            console.print(_directions(direct, place))
        others = [row for row in own if row not in direct]
        if others:
            console.print(_others(others, place))
        for note in dict.fromkeys(note for row in own for note in row.get("notes", ())):
            console.print(f"{place[0]}: {note}", soft_wrap=True, highlight=False)


def _directions(rows: Sequence[Row], place: tuple[str, str, str]) -> Table:
    suite, split, protocol = place
    table = Table(
        "language",
        "text → image R@10",
        "95 %",
        "image → text R@10",
        "95 %",
        "captions asking",
        "images asking",
        title=f"{suite} ({split}, {protocol}): recall@10 in % [95 % interval over groups]",
        title_justify="left",
    )
    chosen = [row for row in rows if row["metric"] == "recall@10"]
    languages = dict.fromkeys(row["language"] for row in chosen)
    found = {(row["language"], row["task"]): row for row in chosen}
    for language in languages:
        cells = [found.get((language, task)) for task in TASKS]
        shown = [part for row in cells for part in _value_and_interval(row)]
        table.add_row(language, *shown, *(str(row["n_queries"]) if row else "–" for row in cells))
    return table


def _others(rows: Sequence[Row], place: tuple[str, str, str]) -> Table:
    suite, split, protocol = place
    table = Table(
        "setting",
        "queries",
        "gallery",
        "task",
        "metric",
        "value",
        "95 %",
        "n",
        title=f"{suite} ({split}, {protocol}): what else was ranked, in %",
        title_justify="left",
    )
    shown = (
        "recall@10",
        "ndcg@10",
        "loss_of_recall@10",
        "cosine_to_original",
        "language_share@10",
        "recall@100",
        "truncated",
    )
    for row in rows:
        if row["metric"] not in shown or (row["metric"] == "ndcg@10" and row["protocol"] != "beir"):
            continue
        transform = row["query_transform"]
        setting = f"{row['setting']}, {transform}" if transform else row["setting"]
        gallery = row["language"] if row["metric"].startswith("language_share") else row["gallery_language"]
        value, interval = _value_and_interval(row)
        table.add_row(
            setting, row["query_language"], gallery, row["task"], row["metric"], value, interval, str(row["n_queries"])
        )
    return table


def _value_and_interval(row: Row | None) -> tuple[str, str]:
    if row is None:
        return "–", "–"
    low, high = row["ci95"]
    return f"{100 * row['value']:.1f}", f"{100 * low:.1f}–{100 * high:.1f}"
