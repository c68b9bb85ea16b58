"""The switch of a run's captions: a table of the first ones, and the realised rate of each language.

The counts come with the batches (``mmcs.codeswitch.stage``). They are summed over ranks and resumes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table

from mmcs.callbacks.gathered import of_all_ranks


class SwitchPreview(Callback):
    """Prints (and logs as text) the first captions of the run and the texts made of them, and logs per epoch the share of
    words replaced by each language (``train/switch_rate/{language}``, ``…/all``) and of samples whose captions stay
    unchanged (``train/unchanged_captions``).

    Args:
        languages: those that the switch may write; fixed, so that every rank logs the same names.
        captions: number of captions shown.
    """

    def __init__(self, languages: Sequence[str], captions: int = 8) -> None:
        self.languages = list(languages)
        self.captions = captions
        self.epoch = -1
        self.counts: Counter[str] = Counter()  # this rank's of the running epoch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if "replaced" not in batch:
            return
        if trainer.global_step <= 1 and trainer.is_global_zero and self.captions:
            self._show(trainer, batch)
        self._begin(trainer.current_epoch)
        self.counts["words"] += sum(batch["words"])
        self.counts["samples"] += len(batch["replaced"])
        self.counts["unchanged"] += sum(batch["unchanged"])
        for languages in batch["replaced"]:
            self.counts.update(f"replaced/{language}" for language in languages)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.languages:
            return
        self._begin(trainer.current_epoch)
        counts = self._of_all_ranks()
        words, samples = max(1, counts["words"]), max(1, counts["samples"])
        replaced = {language: counts[f"replaced/{language}"] for language in self.languages}
        rates = {f"switch_rate/{language}": n / words for language, n in replaced.items()}
        rates["switch_rate/all"] = sum(replaced.values()) / words
        rates["unchanged_captions"] = counts["unchanged"] / samples
        for name, rate in rates.items():  # equal on all ranks: the largest is the one
            pl_module.log(f"train/{name}", rate, sync_dist=True, reduce_fx="max")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The counts of all ranks: every rank takes part in saving."""
        checkpoint["switched"] = {"epoch": self.epoch, "counts": dict(self._of_all_ranks())}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The first rank takes the counts of all, so that any number of ranks adds them once."""
        if "switched" in checkpoint:
            self.epoch = checkpoint["switched"]["epoch"]
            self.counts = Counter(checkpoint["switched"]["counts"] if trainer.is_global_zero else {})

    def _begin(self, epoch: int) -> None:
        """Counts from 0 in a new epoch. (An epoch that is resumed in its middle is not begun for Lightning.)"""
        if epoch != self.epoch:
            self.epoch, self.counts = epoch, Counter()

    def _of_all_ranks(self) -> Counter[str]:
        return sum(of_all_ranks(self.counts), Counter())

    def _show(self, trainer: Trainer, batch: Any) -> None:
        rows = list(zip(batch["english"], *batch["texts"], strict=True))[: self.captions]
        heads = ["English", *(f"view {i + 1}" for i in range(len(batch["texts"])))]
        table = Table(*heads, title="what training reads")
        for row in rows:
            table.add_row(*row)
        Console(stderr=True).print(table)
        markdown = "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *map(list, rows)])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("train/captions", markdown, trainer.global_step)
