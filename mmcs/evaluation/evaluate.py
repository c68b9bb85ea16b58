"""A model on suites: embeds them, ranks, and writes ``results.json`` and the TREC files of a run's folder.

What a suite is stands in ``suites.py``; what is ranked in ``protocols.py`` and in the settings that a caller lists (``mixed``,
``caption_pairs``, ``switched_queries``, ``translate_test``). Training's end and ``mmcs evaluate`` call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmcs.evaluation.beir import BeirSet
from mmcs.evaluation.beir_ranking import beir_retrieval
from mmcs.evaluation.embedding import CaptionEncoder, embed_suite
from mmcs.evaluation.embedding_cache import EmbeddingCache
from mmcs.evaluation.protocols import rank_suite, suite_rows, under_protocol
from mmcs.evaluation.ranking import Ranking
from mmcs.evaluation.results import write_results
from mmcs.evaluation.rows import Row
from mmcs.evaluation.setting import Setting
from mmcs.evaluation.suites import Suite, seen_of_suites
from mmcs.evaluation.trec import write_ranking
from mmcs.model.random_weights import random_note, random_towers
from mmcs.model.towers import Towers
from mmcs.progress import track


@dataclass
class Evaluation:
    """What an evaluation gathers while it goes on: rows, and the rankings whose files are written.

    Args:
        folder: the run's folder.
        system: the last column of the TREC runs.
    """

    folder: Path
    system: str
    rows: list[Row] = field(default_factory=list)
    rankings: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, found: Iterable[Ranking]) -> Iterator[Ranking]:
        """Writes each ranking's files, and gives it back without what only those need."""
        for ranking in found:
            write_ranking(self.folder / "retrieval", ranking, self.system)
            self.rankings.append({**ranking.about.as_dict(), "file": ranking.about.file})
            yield ranking.light()


@torch.inference_mode()
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
    protocols: Sequence[str] | None = None,
    settings: Sequence[Setting] = (),
    beir: Sequence[BeirSet] = (),
    cache: EmbeddingCache | None = None,
    cache_features: bool = True,
    num_workers: int = 0,
    checkpoint: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Evaluates ``towers`` on ``suites`` and writes ``folder/results.json`` and ``folder/retrieval/``.

    Args:
        model, experiment, seed, config: what stands in ``results.json``.
        seen: languages with a lexicon in training.
        protocols: None: those that each suite is quoted with.
        settings: what else is ranked beside captions that ask for images and images for captions.
        beir: sets in BEIR's format, on which the text tower is evaluated alone.
        cache: where the suites' embeddings are kept; None: nowhere.
        cache_features: whether features of locked trunks are kept on disk.
        num_workers: processes that read and decode.
        checkpoint: the ``file`` and ``step`` of the run's checkpoint that ``towers`` are, kept in ``results.json``.

    Returns:
        the rows of ``results.json``.
    """
    found = Evaluation(Path(folder), experiment)
    seen = seen_of_suites(seen, suites)
    dropped: dict[str, dict[str, int]] = {}
    device = towers.logit_scale.device
    encode = CaptionEncoder(towers, cache_features)
    random = random_towers(towers)
    note = random_note(random, trained=seed is not None)
    for suite in suites:
        embed = embed_suite if cache is None else cache.embed
        embedded, causes = embed(towers, suite, cache=cache_features, num_workers=num_workers)
        if causes:
            dropped[suite.name] = causes
        for protocol in protocols or suite.protocols:
            part = under_protocol(embedded, protocol)
            ranked = track(rank_suite(part, protocol, device), f"ranking {suite.name}", 2 * len(part.texts))
            rows = suite_rows(list(found.keep(ranked)), seen)
            for setting in settings:
                kept = list(found.keep(setting.rankings(part, protocol, encode, device)))
                rows += setting.rows(kept, seen)
            notes = [*suite.notes, *([note] if note else [])]
            found.rows += [{**row, "notes": notes} if notes else row for row in rows]
    for one in beir:
        ranking, rows = beir_retrieval(one, encode, device)
        found.rows += [{**row, "notes": [*row["notes"], note]} if note else row for row in rows]
        list(found.keep([ranking]))
    extra = {
        **({"checkpoint": dict(checkpoint)} if checkpoint else {}),
        "languages": list(dict.fromkeys(language for suite in suites for language in suite.languages)),
        "seen_languages": list(seen),
        "suites": {suite.name: suite.as_dict() for suite in suites},
        "beir": {one.name: one.as_dict() for one in beir},
        "dropped": dropped,
        "random_weights": random,
        "rankings": found.rankings,
    }
    write_results(folder, model, experiment, seed, config, found.rows, extra)
    return found.rows
