"""Suites and captions through the towers: what evaluation ranks. ``evaluate`` and ``mmcs embed`` call it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmcs.errors import DataError
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.suites import Suite, evaluation_decoder, fill_suite, suite_loader
from mmcs.files import cache_folder
from mmcs.model.embed import embed_images, embed_texts
from mmcs.model.towers import Towers
from mmcs.progress import track
from mmcs.stream.drops import DropCounter
from mmcs.stream.locked import LockedFeatures


@torch.inference_mode()
def embed_suite(
    towers: Towers, suite: Suite, *, batch_size: int = 256, num_workers: int = 0, cache: bool = True
) -> tuple[Embedded, dict[str, int]]:
    """The suite's images and its captions in every language, embedded on the towers' device, and what was dropped by cause
    (which is printed, with the first sample of each cause).

    Args:
        cache: whether features of locked trunks are kept on disk.
        num_workers: processes that read and decode.

    Raises:
        DataError: nothing of the suite could be read.
    """
    locked = LockedFeatures(towers, cache_folder() / "features" if cache else None)
    decode = evaluation_decoder(towers.preprocess)
    fill_suite(suite, locked, decode, num_workers)
    was_training = towers.training
    towers.eval()
    device = towers.logit_scale.device
    dropped = DropCounter()
    ids: list[str] = []
    groups: list[str] = []
    images: list[Tensor] = []
    names: list[tuple[str, str, str, int, str]] = []
    texts: list[Tensor] = []
    loader = suite_loader(suite, locked, decode, batch_size, num_workers)
    for batch in track(loader, f"embedding {suite.name}", len(loader)):
        dropped.add(batch)
        if not len(batch["position"]):
            continue
        on_device = {key: _to(value, device) for key, value in batch.items()}
        images.append(embed_images(towers, on_device).float().cpu())
        texts.append(_in_pieces(towers, on_device, batch_size))
        ids += batch["identity"]
        groups += batch["groups"]
        columns = ("text_language", "text_name", "text_groups", "text_number")
        names += zip(*(batch[column] for column in columns), batch["texts"][0], strict=True)
    towers.train(was_training)
    if not images:
        raise DataError(f"suite {suite.name} ({suite.split}): {dropped.explained()}; nothing is left to evaluate.")
    if dropped.by_cause:
        print(f"suite {suite.name} ({suite.split}): {dropped.summary()}", flush=True)
    all_texts = torch.cat(texts)
    by_language = {}
    for language in suite.languages:
        rows = [i for i, name in enumerate(names) if name[0] == language]
        if rows:
            own = [names[i] for i in rows]
            by_language[language] = Texts(
                ids=[name for _, name, *_ in own],
                groups=[group for _, _, group, *_ in own],
                embeddings=all_texts[rows],
                captions=[caption for *_, caption in own],
                numbers=[number for *_, number, _ in own],
            )
    embedded = Embedded(suite.name, suite.split, ids, groups, torch.cat(images), by_language)
    return embedded, dict(dropped.by_cause)


class CaptionEncoder:
    """Texts that stand in no shard, such as switched or translated queries: N texts → (N, D) unit embeddings on the CPU.

    Args:
        cache: whether features of a locked text trunk are kept on disk.
    """

    def __init__(self, towers: Towers, cache: bool = True, batch_size: int = 256) -> None:
        self.towers = towers
        self.locked = LockedFeatures(towers, cache_folder() / "features" if cache else None)
        self.batch_size = batch_size

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], description: str | None = "embedding texts") -> Tensor:
        # Each text once, of like length together: a batch is as long as its longest.
        unique = sorted(dict.fromkeys(texts), key=lambda text: (len(text), text))
        place = {text: number for number, text in enumerate(unique)}
        self.locked.fill_texts(unique)
        stage = self.locked.text_stage()
        device = self.towers.logit_scale.device
        was_training = self.towers.training
        self.towers.eval()
        starts = range(0, len(unique), self.batch_size)
        found = []
        for start in starts if description is None else track(starts, description):
            batch = stage({"texts": [unique[start : start + self.batch_size]]})
            on_device = {key: _to(value, device) for key, value in batch.items()}
            found.append(embed_texts(self.towers, on_device)[0].float().cpu())
        self.towers.train(was_training)
        if not found:
            return torch.empty(0, self.towers.embed_dim)
        return torch.cat(found)[[place[text] for text in texts]]


def _in_pieces(towers: Towers, batch: dict[str, Any], size: int) -> Tensor:
    """(T, D) on the CPU: a batch of pictures has many times as many captions, in all languages."""
    key = "text_features" if "text_features" in batch else "tokens"
    pieces = batch[key][0].split(size)
    return torch.cat([embed_texts(towers, {key: [piece]})[0].float().cpu() for piece in pieces])


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return [tensor.to(device, non_blocking=True) for tensor in value]
    return value
