"""A model on suites: embeds them, ranks, and writes ``results.json`` and the TREC files of a run's folder.

What a suite is stands in ``suites.py``, what is ranked in ``protocols.py``. Training's end and ``mmcs evaluate`` call it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmcs.errors import DataError
from mmcs.evaluation.protocols import Row, retrieve
from mmcs.evaluation.results import write_results
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.suites import Suite, evaluation_decoder, fill_suite, suite_loader
from mmcs.evaluation.trec import write_rankings
from mmcs.files import cache_folder
from mmcs.model.embed import embed_images, embed_texts
from mmcs.model.towers import Towers
from mmcs.progress import track
from mmcs.stream.drops import DropCounter
from mmcs.stream.locked import LockedFeatures


@torch.inference_mode()
def embed_suite(
    towers: Towers, suite: Suite, *, batch_size: int = 256, num_workers: int = 0, cache: bool = True
) -> tuple[Embedded, DropCounter]:
    """The suite's images and its captions in every language, embedded on the towers' device, and what was dropped.

    Raises:
        DataError: nothing of the suite could be read.
    """
    locked = LockedFeatures(towers, cache_folder() / "features" if cache else None)
    decode = evaluation_decoder(towers.preprocess)
    fill_suite(suite, locked, decode)
    was_training = towers.training
    towers.eval()
    device = towers.logit_scale.device
    dropped = DropCounter()
    ids: list[str] = []
    groups: list[str] = []
    images: list[torch.Tensor] = []
    names: list[tuple[str, str, str, str]] = []
    texts: list[torch.Tensor] = []
    loader = suite_loader(suite, locked, decode, batch_size, num_workers)
    for batch in track(loader, f"embedding {suite.name}", len(loader)):
        dropped.add(batch)
        if not len(batch["position"]):
            continue
        on_device = {key: _to(value, device) for key, value in batch.items()}
        images.append(embed_images(towers, on_device).float().cpu())
        texts.append(embed_texts(towers, on_device)[0].float().cpu())
        ids += batch["identity"]
        groups += batch["groups"]
        names += zip(batch["text_language"], batch["text_name"], batch["text_groups"], batch["texts"][0], strict=True)
    towers.train(was_training)
    if not images:
        raise DataError(f"suite {suite.name} ({suite.split}): {dropped.summary()}; nothing is left to evaluate.")
    all_texts = torch.cat(texts)
    by_language = {}
    for language in suite.languages:
        rows = [i for i, name in enumerate(names) if name[0] == language]
        if rows:
            columns = [[names[i][k] for i in rows] for k in (1, 2, 3)]
            by_language[language] = Texts(columns[0], columns[1], all_texts[rows], columns[2])
    return Embedded(suite.name, suite.split, ids, groups, torch.cat(images), by_language), dropped


def evaluate(
    towers: Towers,
    suites: Sequence[Suite],
    folder: Path,
    *,
    model: str,
    experiment: str,
    seed: int | None,
    config: Mapping[str, Any],
    seen: Sequence[str] = (),
    cache: bool = True,
) -> list[Row]:
    """Evaluates ``towers`` on ``suites`` and writes ``folder/results.json`` and ``folder/retrieval/``.

    Args:
        model, experiment, seed, config: what stands in ``results.json``.
        seen: languages with a lexicon in training.
        cache: whether features of locked trunks are kept on disk.

    Returns:
        the rows of ``results.json``.
    """
    rows: list[Row] = []
    dropped: dict[str, dict[str, int]] = {}
    for suite in suites:
        embedded, counter = embed_suite(towers, suite, cache=cache)
        if counter.dropped:
            dropped[suite.name] = dict(counter.by_cause)
            print(f"suite {suite.name} ({suite.split}): {counter.summary()}", flush=True)
        found, rankings = retrieve(embedded, seen)
        rows += found
        write_rankings(folder / "retrieval", rankings, system=experiment)
    languages = list(dict.fromkeys(language for suite in suites for language in suite.languages))
    extra = {"languages": languages, "seen_languages": list(seen), "dropped": dropped}
    write_results(folder, model, experiment, seed, config, rows, extra)
    return rows


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
        return [tensor.to(device, non_blocking=True) for tensor in value]
    return value
