"""Code-switched queries: how much of a suite's English recall is left when words of the queries are switched.

The switch is ``mmcs.codeswitch``'s, the queries' images and protocol are the suite's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from mmcs.codeswitch.draw import Draw
from mmcs.codeswitch.strategy import Caption, Strategy
from mmcs.evaluation.protocols import sides
from mmcs.evaluation.ranking import IMAGE, TASKS, About, Ranking, rank
from mmcs.evaluation.resampling import bootstrap_ci
from mmcs.evaluation.rows import METRICS, Row, per_query, single_rows
from mmcs.evaluation.setting import Encode
from mmcs.evaluation.statistics import paired_difference
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.retrieval.languages import ENGLISH


class SwitchedQueries:
    """English queries, switched with each probability, ask for images.

    Beside the figures: ``loss_of_…``, the paired difference to the queries as they were, and ``cosine_to_original``.

    Args:
        strategy: probability → the strategy that switches with it.
        ps: the probabilities, such as 0, 0.25, 0.5, 0.75, 1.
        seed: of the switch; each text draws from (seed, its id).
    """

    def __init__(self, strategy: Callable[[float], Strategy], ps: Sequence[float], seed: int = 0) -> None:
        self.strategies = {p: strategy(p) for p in sorted({0.0, *ps})}
        self.seed = seed
        self._cosines: dict[str, np.ndarray] = {}

    def rankings(self, embedded: Embedded, protocol: str, encode: Encode, device: torch.device) -> Iterator[Ranking]:
        """Nothing where the suite has no English captions."""
        self._cosines = {}
        original = embedded.texts.get(ENGLISH)
        if original is None:
            return
        for p, strategy in self.strategies.items():
            captions = [
                strategy(Caption(text, {}), Draw(self.seed, 0, name, 0)).text
                for text, name in zip(original.captions, original.ids, strict=True)
            ]
            embeddings = encode(captions)
            texts = Texts(original.ids, original.groups, embeddings, captions, original.numbers)
            images, sides_of = sides(embedded.with_texts({ENGLISH: texts}), device)
            about = About(
                embedded.suite,
                embedded.split,
                protocol,
                "CLIR" if p else "MoIR",
                f"switched:{p:g}",
                TASKS[0],
                ENGLISH,
                IMAGE,
            )
            found = rank(about, sides_of[ENGLISH], images)
            if found is not None:
                cosines = cosine_similarity(embeddings, original.embeddings.float()).double().numpy()
                place = {name: number for number, name in enumerate(original.ids)}
                self._cosines[about.file] = cosines[[place[name] for name in found.query_ids]]
                yield found

    def rows(self, rankings: Sequence[Ranking], seen: Collection[str]) -> list[Row]:
        rows = single_rows(rankings)
        if not rankings:
            return rows
        before = per_query(rankings[0].ranks, rankings[0].ndcg)
        for ranking in rankings:
            common = ranking.about.as_dict() | {
                "language": ENGLISH,
                "n_queries": len(ranking.ranks),
                "n_gallery": len(ranking.gallery_ids),
                "file": ranking.about.file,
            }
            groups = ranking.query_groups
            cosines = self._cosines[ranking.about.file]
            found = [("cosine_to_original", float(cosines.mean()), *bootstrap_ci(cosines, groups))]
            after = per_query(ranking.ranks, ranking.ndcg)
            for place, metric in enumerate(METRICS):
                lost = paired_difference({ENGLISH: before[:, place]}, {ENGLISH: after[:, place]}, {ENGLISH: groups})
                found.append((f"loss_of_{metric}", lost.value, lost.low, lost.high))
            rows += [
                {**common, "metric": name, "value": value, "ci95": [low, high]} for name, value, low, high in found
            ]
        return rows
