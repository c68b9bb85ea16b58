"""What is the plain retrieval of a suite and what a further setting: for all who choose among rows or rankings of results.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcs.evaluation.ranking import TASKS


def is_direct(row: Mapping[str, Any]) -> bool:
    """Whether a row (or a ranking's entry) is of captions in one language, as they are, that ask for images, or of images
    that ask for them: neither mixed languages, nor pairs of captions, nor switched or translated queries.
    """
    return row["task"] in TASKS and row.get("query_transform") is None and row["setting"] != "MLIR"
