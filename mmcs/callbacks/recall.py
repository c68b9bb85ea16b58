"""Recall@k per language of every validation suite, logged while training under the contract's names; what it is counted
from is kept in ``validation/``, and shown in TensorBoard.

It keeps one metric per suite and counts nothing itself: ranks are ``mmcs.retrieval``'s, embeddings the module's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn

from mmcs.callbacks.examples import Examples
from mmcs.callbacks.recall_table import recall_table
from mmcs.errors import UserError
from mmcs.evaluation.suites import Suite
from mmcs.evaluation.validation import Key, ValidationRanks, forget_validations_after, write_validation
from mmcs.model.random_weights import random_towers
from mmcs.retrieval.languages import language_means, language_sets
from mmcs.retrieval.metric import QueryRanks, Retrieval, RetrievalRecall
from mmcs.stream.batch import stable_id

SHOWN = ("en", "seen", "unseen")  # beside the progress bar, or printed where there is none

Figures = Mapping[str, Mapping[str, float]]


class RecallPerLanguage(Callback):
    """Logs ``val/{suite}/{language}/image_retrieval_recall@{1,5,10}``, ``text_retrieval_…``, and the means over ``all``,
    ``seen``, ``unseen`` and ``non_english`` languages; of every validation while training it writes each query's rank
    (``mmcs.evaluation.validation``) into the run's folder.

    Where TensorBoard is among the loggers, it gets a table per suite (``recall/{suite}``) and pictures of what a few
    queries find (``retrieved/{suite}/{language}``, see ``Examples``).

    Args:
        suites: what is validated on, in the order of the dataloaders. Their languages are fixed before training, so that
            every rank logs the same names in the same order.
        seen: languages that the training's switch writes.
        queries_shown: pictured per language; 0: none. languages_shown: pictured at most.

    Raises:
        UserError: a number below 0.
    """

    def __init__(
        self, suites: Sequence[Suite], seen: Collection[str], queries_shown: int = 3, languages_shown: int = 12
    ) -> None:
        for name, value in (("queries_shown", queries_shown), ("languages_shown", languages_shown)):
            if not isinstance(value, int) or value < 0:
                raise UserError(f"callbacks.recall.{name} is a number, 0 for no pictures; got {value!r}.")
        self.suites = list(suites)
        self.seen = frozenset(seen)
        self.metrics = [RetrievalRecall(suite.languages) for suite in self.suites]
        self._codes = [{language: code for code, language in enumerate(suite.languages)} for suite in self.suites]
        self._shown = (queries_shown, languages_shown)
        self._examples: list[Examples] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for metric in self.metrics:
            metric.to(pl_module.device)
        if all(self._shown) and _boards(trainer):
            self._examples = [Examples(suite, self.seen, *self._shown) for suite in self.suites]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            forget_validations_after(Path(trainer.default_root_dir), trainer.global_step)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for metric in self.metrics:
            metric.to(pl_module.device).reset()
        for examples in self._examples:
            examples.reset()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        metric, codes = self.metrics[dataloader_idx], self._codes[dataloader_idx]
        ids = [stable_id(identity) for identity in batch["identity"]]
        metric.update("image", outputs["images"], batch["group"], torch.tensor(ids, dtype=torch.int64))
        languages = torch.tensor([codes[language] for language in batch["text_language"]], dtype=torch.int64)
        metric.update("text", outputs["texts"], batch["text_group"], batch["text_id"], languages)
        if self._examples:
            self._examples[dataloader_idx].add(batch, ids)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        kept: dict[Key, ValidationRanks] = {}
        for place, (suite, metric) in enumerate(zip(self.suites, self.metrics, strict=True)):
            retrieval, per_language = metric.retrieval(), metric.compute()
            # A sanity check sees a few batches: that they can be ranked is all that it tells.
            if not trainer.sanity_checking:
                means = language_means(per_language, self.seen)
                _log(trainer, pl_module, suite.name, per_language, means)
                self._show(trainer, place, retrieval, recall_table(per_language, means, self.seen))
                kept |= {(suite.name, *key): _as_kept(queries) for key, queries in retrieval.queries.items()}
            metric.reset()
        # A validation on its own (`trainer.validate`) may be of other weights than those of this step.
        if kept and trainer.is_global_zero and trainer.state.fn == TrainerFn.FITTING:
            random = random_towers(getattr(pl_module, "towers", None))
            write_validation(Path(trainer.default_root_dir), trainer.global_step, kept, self.seen, random)

    def _show(self, trainer: Trainer, place: int, retrieval: Retrieval, table: str) -> None:
        name, step = self.suites[place].name, trainer.global_step
        pictures = self._examples[place].pictures(retrieval, step) if self._examples else {}
        for board in _boards(trainer):
            board.experiment.add_text(f"recall/{name}", table, step)
            for language, picture in pictures.items():
                board.experiment.add_image(f"retrieved/{name}/{language}", picture, step, dataformats="HWC")


def _log(trainer: Trainer, module: LightningModule, suite: str, per_language: Figures, means: Figures) -> None:
    for language, figures in {**per_language, **means}.items():
        for figure, value in figures.items():
            # Equal on all ranks: the largest is the one, to the last bit. (Unasked, Lightning warns once a figure.)
            name = f"val/{suite}/{language}/{figure}"
            module.log(name, value, add_dataloader_idx=False, sync_dist=True, reduce_fx="max")
    recalls = {**per_language, **means}.items()
    shown = {key: values["image_retrieval_recall@10"] for key, values in recalls if key in SHOWN}
    if trainer.progress_bar_callback is not None:
        for key, value in shown.items():
            module.log(f"R@10 {key}", value, prog_bar=True, logger=False)
    elif trainer.is_global_zero:
        told = ", ".join(f"{key} {100 * value:.1f}" for key, value in shown.items())
        print(f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}: {suite} R@10 in %: {told}", flush=True)


def figure_names(suites: Sequence[Suite], seen: Collection[str]) -> list[str]:
    """The names of all figures that ``RecallPerLanguage`` may log."""
    return [
        f"val/{suite.name}/{group}/{task}_recall@{k}"
        for suite in suites
        for group in (*suite.languages, *language_sets(suite.languages, seen))
        for task in ("image_retrieval", "text_retrieval")
        for k in (1, 5, 10)
    ]


def _boards(trainer: Trainer) -> list[TensorBoardLogger]:
    """On all ranks equally many, though only the first one's write."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def _as_kept(queries: QueryRanks) -> ValidationRanks:
    ids, groups, ranks = (values.cpu() for values in queries)
    return ValidationRanks(ids.numpy(), groups.numpy(), ranks.to(torch.int32).numpy())
