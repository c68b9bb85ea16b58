"""What follows training, in one process: the best weights, their evaluation on the test suites beside the untouched model, the
report. ``mmcs.train`` calls it; ``mmcs.assemble`` has made the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcs.assemble import Run
from mmcs.evaluation.caption_pairs import CaptionPairs
from mmcs.evaluation.embedding import embed_suite
from mmcs.evaluation.evaluate import evaluate
from mmcs.evaluation.protocols import retrieve
from mmcs.evaluation.setting import Setting
from mmcs.evaluation.suites import Suite
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_weights, save_weights
from mmcs.model.sharded import is_sharded
from mmcs.model.towers import Towers
from mmcs.model.wise_ft import choose, interpolate
from mmcs.report.compare import compare
from mmcs.report.names import UNTRAINED
from mmcs.resume import LAST


def finish(run: Run) -> float | None:
    """Evaluates the best weights (the last where none were monitored) on the test suites, and the model as it was before
    training (``untouched/``, a row of every comparison); writes the report.

    Returns the best monitored validation figure, None where nothing was monitored.
    """
    monitored = run.checkpoint.best_model_score
    best = None if monitored is None else float(monitored)
    towers = run.module.towers
    if is_sharded(towers):  # this is one process's work, which has a part of them
        towers = build_towers(**run.config["model"])
        load_weights(towers, run.folder / LAST)
    towers = towers.float()  # whatever they were trained in: as `mmcs evaluate` has them
    if run.checkpoint.best_model_path and (run.test or run.config["eval"]["wise_ft"]):
        load_weights(towers, Path(run.checkpoint.best_model_path))
    if run.config["eval"]["wise_ft"]:
        best = _wise_ft(run, towers)
    if not run.test:
        return best
    settings = [CaptionPairs()] if run.config["eval"]["matrix"] else []
    _evaluate(run, towers, run.folder, run.config["experiment"], run.config["seed"], settings)
    folders = [run.folder]
    if run.config["eval"]["untouched"]:
        towers.load_trainable_state_dict(run.untouched)
        _evaluate(run, towers, run.folder / UNTRAINED, UNTRAINED, None)
        folders.append(run.folder / UNTRAINED)
    compare(folders, baseline=folders[-1], out=run.folder / "report.html")
    return best


def _wise_ft(run: Run, towers: Towers) -> float:
    """Leaves ``towers`` with the best weights between the start and what was trained, kept as the best checkpoint.

    Returns their monitored figure.
    """
    tuned = {name: value.detach().clone() for name, value in towers.trainable_state_dict().items()}
    monitor = str(run.checkpoint.monitor)

    def measure(alpha: float) -> dict[str, float]:
        towers.load_trainable_state_dict(interpolate(run.untouched, tuned, alpha))
        return {name: value for suite in run.val for name, value in _figures(run, towers, suite, monitor).items()}

    best, figure = choose(run.config["eval"]["wise_ft"], measure, monitor=monitor, folder=run.folder)
    towers.load_trainable_state_dict(interpolate(run.untouched, tuned, best))
    source = Path(run.checkpoint.best_model_path)
    save_weights(towers, source, source.with_name("best-wise_ft.ckpt"), wise_ft={"alpha": best, "of": source.name})
    return figure


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
    run: Run, towers: Towers, folder: Path, experiment: str, seed: int | None, settings: Sequence[Setting] = ()
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
        cache_features=run.config["data"]["cache_features"],
    )
