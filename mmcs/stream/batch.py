"""Samples → a batch, and the parts of a batch that several workers made → the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate


def stable_id(text: str) -> int:
    """64-bit number of a group's name or of a text, signed; equal on every machine."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little", signed=True)


def _ids(texts: Sequence[str]) -> Tensor:
    return torch.tensor([stable_id(text) for text in texts], dtype=torch.int64)


class Collate:
    """A list of B samples → a batch.

    A batch holds "position" int64 (B,), "groups" (names) and "group" int64 (B,) of ``stable_id``, "texts" per view (V
    lists of B) and "text_id" (V times int64 (B,)), "caption" int64 (B,) (of the caption before any switch, which is
    "english"), and every other key of the samples: stacked to (B, …) where the values are tensors or arrays ("image",
    "image_features"), else as a list of B. The loader adds "epoch" and "dropped". By the ids a loss knows which samples
    say the same, whichever process holds them.
    """

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = {}
        for key in samples[0]:
            if key not in ("position", "epoch", "pass", "group", "files"):
                values = [sample[key] for sample in samples]
                per_view = key == "texts"
                batch[key] = [list(view) for view in zip(*values, strict=True)] if per_view else _stack(values)
        batch["position"] = torch.tensor([sample["position"] for sample in samples])
        if "group" in samples[0]:
            batch["groups"] = [sample["group"] for sample in samples]
            batch["group"] = _ids(batch["groups"])
        if "texts" in batch:
            batch["text_id"] = [_ids(view) for view in batch["texts"]]
        if "english" in batch:
            batch["caption"] = _ids(batch["english"])
        return batch


def merge(parts: Sequence[dict[str, Any]], pad_id: int = 0) -> dict[str, Any]:
    """One batch out of parts of it, in the order of positions; parts without samples give their "dropped" only.

    Token tensors of different widths (trimmed to their part's longest) are filled up with ``pad_id`` on the right.
    """
    dropped = sorted(drop for part in parts for drop in part["dropped"])
    full = [part for part in parts if len(part["position"])]
    if len(full) < 2:
        return {**(full[0] if full else parts[0]), "dropped": dropped}
    rows = torch.argsort(torch.argsort(torch.cat([part["position"] for part in full])))
    batch: dict[str, Any] = {}
    for key, first in full[0].items():
        if key == "dropped":
            continue
        values = [part[key] for part in full]
        if _is_per_view(key, first):
            batch[key] = [_merged(list(view), rows, pad_id) for view in zip(*values, strict=True)]
        else:
            batch[key] = _merged(values, rows, pad_id)
    return batch | {"dropped": dropped}


def empty_like(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch of no samples with the keys, types and inner shapes of ``batch``."""
    return {
        key: [view[:0] for view in value]
        if _is_per_view(key, value)
        else value[:0]
        if isinstance(value, Tensor | list)
        else value
        for key, value in batch.items()
    }


def _is_per_view(key: str, value: Any) -> bool:
    """A list over views: "texts", or tensors (of samples, ``Collate`` has made one tensor)."""
    return isinstance(value, list) and (key == "texts" or (bool(value) and isinstance(value[0], Tensor)))


def _stack(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, np.ndarray):
        return default_collate([torch.from_numpy(value) for value in values])
    if not isinstance(first, Tensor):
        return values
    # In a worker the batch is made where the main process reads it, which saves a copy. Pictures come from the resize
    # with interleaved colours and stay so: a plain copy of bytes, and the layout that convolutions want.
    if first.dim() == 3 and all(_is_interleaved(value) for value in values):
        return default_collate([value.permute(1, 2, 0) for value in values]).permute(0, 3, 1, 2)
    return default_collate(values)


def _is_interleaved(image: Tensor) -> bool:
    return not image.is_contiguous() and image.permute(1, 2, 0).is_contiguous()


def _merged(values: list[Any], rows: Tensor, pad_id: int) -> Any:
    """The entries of all parts, the i-th of them at row ``rows[i]``; what is no tensor or list is equal in all parts."""
    first = values[0]
    if isinstance(first, Tensor):
        if first.dim() == 4 and not first.is_contiguous():  # pictures of interleaved colours: see ``_stack``
            return _merged([value.permute(0, 2, 3, 1).contiguous() for value in values], rows, pad_id).permute(
                0, 3, 1, 2
            )
        if len({value.shape[1:] for value in values}) == 1:
            entries = [entry for value in values for entry in value.unbind()]
            return torch.stack([entries[i] for i in torch.argsort(rows).tolist()])  # index_copy_ takes 8 times as long
        whole = first.new_full((len(rows), max(value.shape[1] for value in values)), pad_id)
        for value, where in zip(values, rows.split([len(value) for value in values]), strict=True):
            whole[where, : value.shape[1]] = value
        return whole
    if isinstance(first, list):
        entries = [entry for value in values for entry in value]
        return [entries[i] for i in torch.argsort(rows).tolist()]
    return first
