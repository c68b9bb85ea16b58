"""What follows training, in one process: the best weights, their evaluation on the test suites beside the untouched model, the
report. ``mmcs.train`` calls it; ``mmcs.assemble`` has made the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.assemble import Run
from mmcs.evaluation.caption_pairs import CaptionPairs
from mmcs.evaluation.embedding import embed_suite
from mmcs.evaluation.evaluate import evaluate
from mmcs.evaluation.protocols import retrieve
from mmcs.evaluation.setting import Setting
from mmcs.evaluation.suites import Suite
from mmcs.files import remove_path
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import evaluated_as, load_weights, save_weights
from mmcs.model.run_checkpoints import FOLDER, WISE_FT, best_checkpoint
from mmcs.model.sharded import is_sharded
from mmcs.model.towers import Towers
from mmcs.model.wise_ft import choose, interpolate
from mmcs.report.compare import compare
from mmcs.report.names import UNTRAINED


def finish(run: Run) -> float | None:
    """Evaluates the run's best checkpoint (``best_checkpoint``) on the test suites, and the model as it was before training
    (``untouched/``, a row of every comparison); writes the report.

    Returns the monitored validation figure of that checkpoint, None where nothing was validated.
    """
    remove_path(run.folder / FOLDER / WISE_FT)  # of an earlier end of training
    chosen = best_checkpoint(run.folder)
    figure = run.checkpoint.figure_of(chosen)
    alphas = run.config["eval"]["wise_ft"]
    if not run.test and not alphas:
        return figure
    towers = run.module.towers
    if is_sharded(towers):  # this is one process's work, which has a part of them
        towers = build_towers(**run.config["model"])
    towers = towers.float()  # whatever they were trained in: as `mmcs evaluate` has them
    evaluated = {}
    if chosen is not None:
        evaluated = evaluated_as(chosen, load_weights(towers, chosen))
        if alphas:
            figure, chosen = _wise_ft(run, towers, chosen)
            evaluated["file"] = chosen.name
    if not run.test:
        return figure
    settings = [CaptionPairs()] if run.config["eval"]["matrix"] else []
    experiment, seed = run.config["experiment"], run.config["seed"]
    _evaluate(run, towers, run.folder, experiment, seed, settings, checkpoint=evaluated)
    folders = [run.folder]
    if run.config["eval"]["untouched"]:
        towers.load_trainable_state_dict(run.untouched)
        _evaluate(run, towers, run.folder / UNTRAINED, UNTRAINED, None)
        folders.append(run.folder / UNTRAINED)
    compare(folders, baseline=folders[-1], out=run.folder / "report.html")
    return figure


def _wise_ft(run: Run, towers: Towers, trained: Path) -> tuple[float, Path]:
    """Leaves ``towers`` with the best weights between the start and those of the checkpoint ``trained``.

    Returns their monitored figure and the checkpoint that they are kept in.
    """
    tuned = {name: value.detach().clone() for name, value in towers.trainable_state_dict().items()}
    monitor = str(run.checkpoint.monitor)

    def measure(alpha: float) -> dict[str, float]:
        towers.load_trainable_state_dict(interpolate(run.untouched, tuned, alpha))
        return {name: value for suite in run.val for name, value in _figures(run, towers, suite, monitor).items()}

    best, figure = choose(run.config["eval"]["wise_ft"], measure, monitor=monitor, folder=run.folder)
    towers.load_trainable_state_dict(interpolate(run.untouched, tuned, best))
    kept = trained.with_name(WISE_FT)
    save_weights(towers, trained, kept, wise_ft={"alpha": best, "of": trained.name})
    return figure, kept


def _figures(run: Run, towers: Towers, suite: Suite, monitor: str) -> dict[str, float]:
    """Recall@10 of texts that ask for images, in English and elsewhere, by the names under which training logs them."""
    embedded, _ = embed_suite(towers, suite, cache=run.config["data"]["cache_features"])
    found = {}
    for row in retrieve(embedded, run.seen, resamples=1)[0]:
        if row["metric"] == "recall@10" and row["task"] == "image_retrieval":
            name = f"val/{suite.name}/{row['query_language']}/image_retrieval_recall@10"
            if name == monitor or row["query_language"] in ("en", "non_english"):
                found[name] = row["value"]
    return found


def _evaluate(
    run: Run,
    towers: Towers,
    folder: Path,
    experiment: str,
    seed: int | None,
    settings: Sequence[Setting] = (),
    checkpoint: Mapping[str, Any] | None = None,
) -> None:
    evaluate(
        towers,
        run.test,
        folder,
        model=run.config["model"]["name"],
        experiment=experiment,
        seed=seed,
        config=run.config,
        seen=run.seen,
        settings=settings,
        checkpoint=checkpoint,
        cache_features=run.config["data"]["cache_features"],
    )
