"""``results.json``: the figures of one evaluated model, written and read back by its contract (schema 1).

Rows are made by ``protocols``; nothing is computed here. Evaluation writes the file, the report and the model card
read it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file

SCHEMA = 1
NAME = "results.json"
ROW_KEYS = {
    "suite": str,
    "split": str,
    "protocol": str,
    "setting": str,
    "task": str,
    "query_language": str,
    "gallery_language": str,
    "metric": str,
    "value": float,
    "ci95": list,
    "n_queries": int,
    "n_gallery": int,
}


def write_results(
    folder: Path,
    model: str,
    experiment: str,
    seed: int | None,
    config: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``folder/results.json``.

    Args:
        folder: the run's folder.
        model: what was evaluated, as the user would name it.
        experiment: ``two_view``, ``untouched``, …
        seed: of training; None where nothing was trained.
        config: the resolved settings, plain dictionaries and lists.
        rows: from ``protocols.retrieve``.
        extra: further top-level keys, such as ``languages`` and ``seen_languages``.

    Returns:
        the file's path.
    """
    content = {
        "schema": SCHEMA,
        "model": model,
        "experiment": experiment,
        "seed": seed,
        **(extra or {}),
        "config": config,
        "rows": list(rows),
    }
    target = Path(folder) / NAME
    with atomic_file(target) as path:
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return target


def read_results(folder: Path) -> dict[str, Any]:
    """Reads and checks ``folder/results.json``.

    Raises:
        UserError: there is no such folder or file.
        DataError: the file is damaged, or a newer mmcs wrote it.
    """
    source = Path(folder) / NAME
    if not source.is_file():
        what = "has no results.json; evaluate it first" if source.parent.is_dir() else "is not a folder"
        raise UserError(f"{source.parent} {what} (see 'mmcs evaluate --help').")
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{source} is damaged ({error}); evaluate the model again.") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise DataError(f"{source} is not a results file of mmcs (it has no schema number).")
    if schema > SCHEMA:
        raise DataError(f"{source} has schema {schema}, this mmcs reads up to {SCHEMA}: update mmcs.")
    for key, kind in (("model", str), ("experiment", str), ("config", dict), ("rows", list)):
        if not isinstance(content.get(key), kind):
            raise DataError(f"{source} is damaged: {key!r} is missing or not a {kind.__name__}.")
    for number, row in enumerate(content["rows"]):
        _check_row(f"{source}, row {number}", row)
    return content


def _check_row(where: str, row: Any) -> None:
    for key, kind in ROW_KEYS.items():
        value = row.get(key) if isinstance(row, dict) else None
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise DataError(f"{where} is damaged: {key!r} is missing or not a {kind.__name__}.")
    bounds = row["ci95"]
    if len(bounds) != 2 or not all(isinstance(bound, (int, float)) and math.isfinite(bound) for bound in bounds):
        raise DataError(f"{where} is damaged: 'ci95' is not a pair of numbers.")
