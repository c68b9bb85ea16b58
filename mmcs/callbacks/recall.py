"""Recall@k per language of every validation suite, logged while training under the contract's names.

It keeps one metric per suite and counts nothing itself: ranks are ``mmcs.retrieval``'s, embeddings the module's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from mmcs.retrieval.languages import language_means
from mmcs.retrieval.metric import RetrievalRecall

SHOWN = ("en", "seen", "unseen")  # beside the progress bar, or printed where there is none


class RecallPerLanguage(Callback):
    """Logs ``val/{suite}/{language}/image_retrieval_recall@{1,5,10}``, ``text_retrieval_…``, and the means over ``all``,
    ``seen``, ``unseen`` and ``non_english`` languages.

    Args:
        suites: languages of each validation suite, in the order of the dataloaders. They are fixed before training, so
            that every rank logs the same names in the same order.
        seen: languages that the training's switch writes.
    """

    def __init__(self, suites: Mapping[str, Sequence[str]], seen: Collection[str]) -> None:
        self.names = list(suites)
        self.seen = frozenset(seen)
        self.metrics = [RetrievalRecall(languages) for languages in suites.values()]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for metric in self.metrics:
            metric.to(pl_module.device)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for metric in self.metrics:
            metric.to(pl_module.device).reset()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        metric = self.metrics[dataloader_idx]
        metric.update("image", outputs["images"], batch["group"], batch["position"])
        codes = torch.tensor(
            [metric.languages.index(language) for language in batch["text_language"]], dtype=torch.int64
        )
        metric.update("text", outputs["texts"], batch["text_group"], batch["text_id"], codes)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, metric in zip(self.names, self.metrics, strict=True):
            per_language = metric.compute()
            means = language_means(per_language, self.seen)
            for language, figures in {**per_language, **means}.items():
                for figure, value in figures.items():
                    # Equal on all ranks; Lightning warns once a figure where ranks are not asked.
                    pl_module.log(f"val/{name}/{language}/{figure}", value, add_dataloader_idx=False, sync_dist=True)
            metric.reset()
            shown = {
                key: values["image_retrieval_recall@10"]
                for key, values in (per_language | means).items()
                if key in SHOWN
            }
            if trainer.progress_bar_callback is not None:
                for key, value in shown.items():
                    pl_module.log(f"R@10 {key}", value, prog_bar=True, logger=False)
            elif trainer.is_global_zero:
                told = ", ".join(f"{key} {100 * value:.1f}" for key, value in shown.items())
                print(
                    f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}: {name} R@10 in %: {told}",
                    flush=True,
                )
