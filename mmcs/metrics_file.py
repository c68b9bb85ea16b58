"""``metrics.csv`` in a run's folder: a Lightning logger whose file a killed and resumed run goes on with.

What is logged is decided in the module and the callbacks; ``mmcs.assemble`` puts this logger beside the chosen ones.
"""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from mmcs.files import atomic_file, disk_errors


class MetricsFile(Logger):
    """Rows of metrics by "step", with one column for every name that was ever logged, in alphabetical order.

    Args:
        folder: where ``metrics.csv`` lies.
        first_step: rows of earlier steps that are there already are kept, others are replaced: 0 begins anew.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        self._first_step = first_step
        self._columns: list[str] = []
        self._rows: list[dict[str, Any]] = []  # not yet written
        self._begun = False

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: ``config.yaml`` holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._rows.append({**metrics, "step": step})

    @rank_zero_only
    def save(self) -> None:
        """Writes what came since the last time. Lightning calls this after every ``log_metrics``."""
        if not self._rows:
            return
        columns = sorted({*self._columns, *(name for row in self._rows for name in row)})
        if self._begun and columns == self._columns:
            with disk_errors(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, columns).writerows(self._rows)
        else:
            before = self._written()
            columns = sorted({*columns, *(name for row in before for name in row)})
            with atomic_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows([*before, *self._rows])
        self._begun, self._columns, self._rows = True, columns, []

    def _written(self) -> list[dict[str, str]]:
        """The rows in the file that stay."""
        if not self.path.is_file() or not (self._begun or self._first_step):
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]  # the last may have been cut by a kill
        rows = list(csv.DictReader(whole))
        return rows if self._begun else [row for row in rows if int(row["step"]) < self._first_step]
