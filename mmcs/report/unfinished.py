"""Runs that are under way, by the validations that they wrote so far, at a step that all of them have reached.

They come out as ``Run``s of a split called ``validation, step N``; everything else is done as with evaluated runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcs.errors import DataError, UserError
from mmcs.evaluation.protocols import ALL_CAPTIONS
from mmcs.evaluation.ranking import IMAGE, TASKS, About
from mmcs.evaluation.results import NAME
from mmcs.evaluation.rows import setting_of
from mmcs.evaluation.trec import Queries
from mmcs.evaluation.validation import ValidationRanks, Validations, read_validation
from mmcs.report.runs import Run
from mmcs.run_folder import CONFIG

SHOWN_STEPS = 12


def is_unfinished(folder: Path) -> bool:
    """Whether a run's folder holds validations and no results yet."""
    return not (folder / NAME).is_file() and folder.is_dir() and len(read_validation(folder)) > 0


def load_validations(folders: Sequence[Path], at_step: int | None = None) -> tuple[int, list[Run]]:
    """All runs, finished or not, by their validations at one step: ``at_step``, or the last that all of them have.

    Raises:
        UserError: a folder has no validations, no step is common to all, or not all have ``at_step``.
        DataError: a file of a run is damaged.
    """
    validations = {folder: read_validation(folder) for folder in folders}
    for folder, own in validations.items():
        if not own:
            what = (
                "is evaluated but keeps no validations; compare it with evaluated runs alone, or train it again"
                if (folder / NAME).is_file()
                else "has no results and no validation yet; wait for one, or name a run's folder"
            )
            raise UserError(f"{folder} {what}.")
    common = set.intersection(*(set(own) for own in validations.values()))
    if not common or (at_step is not None and at_step not in common):
        told = "; ".join(f"{folder}: {_steps(list(own))}" for folder, own in validations.items())
        what = "have no validation at a common step" if at_step is None else f"were not all validated at step {at_step}"
        raise UserError(f"these runs {what} ({told}).")
    step = max(common) if at_step is None else at_step
    return step, [_run(folder, own, step) for folder, own in validations.items()]


def _steps(steps: Sequence[int]) -> str:
    shown = ", ".join(map(str, steps[-SHOWN_STEPS:]))
    return shown if len(steps) <= SHOWN_STEPS else f"… {shown}"


def _run(folder: Path, validations: Validations, step: int) -> Run:
    config = _config(folder)
    split = f"validation, step {step}"
    queries = {
        (suite, split, language, task): _queries(suite, split, language, task, ranks)
        for (suite, language, task), ranks in validations[step].items()
    }
    results = {
        "model": str(config.get("model", {}).get("name")),
        "experiment": str(config.get("experiment")),
        "seed": config.get("seed"),
        "config": config,
        "seen_languages": validations.seen,
        "random_weights": validations.random_weights,
        "rows": [],
    }
    places = {(suite, split): ALL_CAPTIONS for suite, split, *_ in queries}
    return Run(folder, results, queries, places, [own.about for own in queries.values()])


def _config(folder: Path) -> Mapping[str, Any]:
    from omegaconf import OmegaConf
    from yaml import YAMLError

    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} has validations but no {CONFIG}; name the folder of a run.")
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (YAMLError, OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({' '.join(str(error).split())}).") from error
    if not isinstance(config, dict):
        raise DataError(f"{path} is damaged: it holds no settings.")
    return {str(key): value for key, value in config.items()}


def _queries(suite: str, split: str, language: str, task: str, ranks: ValidationRanks) -> Queries:
    """Ids and groups are numbers as text; a rank does not tell nDCG where several images are right."""
    asked, answered = (language, IMAGE) if task == TASKS[0] else (IMAGE, language)
    return Queries(
        about=About(suite, split, ALL_CAPTIONS, setting_of(language), None, task, asked, answered),
        ids=[str(own) for own in ranks.ids.tolist()],
        groups=[str(own) for own in ranks.groups.tolist()],
        ranks=ranks.ranks.astype(np.int64),
        ndcg=np.full(len(ranks.ids), np.nan),
        texts=[""] * len(ranks.ids),
    )
