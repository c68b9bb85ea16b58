"""What the switch does to the captions of this run: a table to look at, and its realised rate per language.

The counts come with the batches (``mmcs.codeswitch.stage``); nothing is switched here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.table import Table


class SwitchPreview(Callback):
    """Prints (and logs as text) the first captions of the run beside what is trained on, and logs per epoch the share of
    words replaced by each language (``train/switch_rate/{language}``, ``…/all``) and of captions that stay unchanged.

    Args:
        languages: those that the switch may write; fixed, so that every rank logs the same names.
        captions: number of captions shown.
    """

    def __init__(self, languages: Sequence[str], captions: int = 8) -> None:
        self.languages = list(languages)
        self.captions = captions
        self._clear()

    def _clear(self) -> None:
        self.words = self.samples = self.unchanged = 0
        self.replaced: Counter[str] = Counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if "replaced" not in batch:
            return
        if trainer.global_step <= 1 and trainer.is_global_zero and self.captions:
            self._show(trainer, batch)
        self.words += sum(batch["words"])
        self.samples += len(batch["replaced"])
        self.unchanged += sum(batch["unchanged"])
        for languages in batch["replaced"]:
            self.replaced.update(languages)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.languages:
            words, samples = max(1, self.words), max(1, self.samples)
            for language in self.languages:
                pl_module.log(f"train/switch_rate/{language}", self.replaced[language] / words, sync_dist=True)
            pl_module.log("train/switch_rate/all", self.replaced.total() / words, sync_dist=True)
            pl_module.log("train/unchanged_captions", self.unchanged / samples, sync_dist=True)
        self._clear()

    def state_dict(self) -> dict[str, Any]:
        """The counts of an epoch that is left in its middle (the first rank's, where there are several)."""
        counts = {"words": self.words, "samples": self.samples, "unchanged": self.unchanged}
        return {**counts, "replaced": dict(self.replaced)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.words, self.samples, self.unchanged = (state_dict[name] for name in ("words", "samples", "unchanged"))
        self.replaced = Counter(state_dict["replaced"])

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
