"""The languages × languages matrix: captions in one language that ask for captions of the same image in another."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from mmcs.evaluation.ranking import TEXT_TO_TEXT
from mmcs.evaluation.rows import PAIRS
from mmcs.report.cells import RECALL_10
from mmcs.report.runs import Place, System

Matrix = dict[tuple[str, str], float]  # (query language, gallery language) → recall@10


def matrices(systems: Sequence[System], place: Place, protocol: str) -> dict[str, Matrix]:
    """Label → matrix without its diagonal, the mean over seeds; systems that were not evaluated so are missing."""
    found: dict[str, Matrix] = {}
    for system in systems:
        values: dict[tuple[str, str], list[float]] = {}
        for row in (row for run in system.runs for row in run.results["rows"]):
            pair = (row["query_language"], row["gallery_language"])
            of_pair = (row["suite"], row["split"], row["protocol"], row["task"]) == (*place, protocol, TEXT_TO_TEXT)
            plain = row["setting"] == "CLIR" and row.get("query_transform") is None and row["metric"] == RECALL_10
            if of_pair and plain and pair[0] != pair[1] and PAIRS not in pair:
                values.setdefault(pair, []).append(row["value"])
        if values:
            found[system.label] = {pair: fmean(own) for pair, own in values.items()}
    return found
