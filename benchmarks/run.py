"""``make bench [ONLY=GROUP]``: runs the groups, prints a table, writes ``benchmarks/results.json`` (DESIGN: contract).

A measurement is ours against a peer, alternating in one process, medians; the ratio is above 1 where ours is better.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from mmcs.files import atomic_file

GROUPS = ("switch", "loader", "loss", "step", "recall")


def main() -> int:
    """Entry point; exit code 2 for an unknown group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=GROUPS, help="one group alone")
    only = parser.parse_args().only
    from rich.console import Console
    from rich.table import Table

    rows = []
    for group in (only,) if only else GROUPS:
        print(f"» {group}", file=sys.stderr, flush=True)
        rows += [{"group": group, **row} for row in importlib.import_module(f"benchmarks.{group}").measure()]
    table = Table("name", "ours", "peer", "unit", "ratio", "against")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['ours']:.4g}",
            f"{row['peer']:.4g}",
            row["unit"],
            f"{row['ratio']:.2f}",
            row["peer_name"],
        )
    Console().print(table)
    results = Path(__file__).parent / "results.json"
    if only and results.is_file():  # the other groups' figures stay
        rows = [row for row in json.loads(results.read_text()) if row["group"] != only] + rows
    with atomic_file(results) as path:
        path.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
