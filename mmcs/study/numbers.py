"""The numbers of the page as JSON (``study.json``)."""

from __future__ import annotations

import math
from typing import Any

from mmcs.study.findings import Findings, Row
from mmcs.study.gains import Gain


def numbers(found: Findings) -> dict[str, Any]:
    """The rows of the page as JSON: shares 0…1, differences with interval, p-values raw and corrected."""

    def gain(own: Gain) -> dict[str, Any]:
        difference = own.difference
        return {
            "difference": difference.value,
            "ci95": [difference.low, difference.high],
            "p": difference.p_value,
            "p_corrected": own.corrected,
            "not_lost": None if own.not_lost is None else own.not_lost.shown,
        }

    def row(own: Row) -> dict[str, Any]:
        return {
            "system": own.name,
            "runs": own.n_seeds,
            "learning_rate": None if own.effort is None else own.effort.rate,
            "figures": {
                of: {metric: list(value) for metric, value in cell.figures.items()} for of, cell in own.figures.items()
            },
            "against_english_only": {of: gain(one) for of, one in own.gains.items()},
        }

    return {
        "schema": 1,
        "sets": found.sets,
        "systems": [row(own) for own in found.rows],
        "controls": {name: {control: {of: gain(one) for of, one in own.items()} for control, own in of_name.items()} for name, of_name in found.controls.items()},
        "over_centred": {name: {of: gain(one) for of, one in own.items()} for name, own in found.over_centred.items()},
        "gap_closed": {name: {of: [value if math.isfinite(value) else None for value in gap.share] for of, gap in own.items()} for name, own in found.gaps.items()},
        "text_tower": [row(own) for own in found.text_tower],
        "ablations": {own.title: [row(one) for one in (own.base, *own.changed)] for own in found.ablations},
    }  # fmt: skip
