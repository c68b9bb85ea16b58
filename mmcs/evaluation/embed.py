"""Images and captions of shards as arrays on disk: streamed, embedded, appended; ready for a search engine such as FAISS.

    images.npy   image_ids.txt     texts.npy   texts.tsv     queries.npy     manifest.json

``mmcs embed`` calls it. What a killed run had done is kept (``unfinished``).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mmcs.errors import DataError
from mmcs.evaluation.embedding import CaptionEncoder
from mmcs.evaluation.suites import CaptionsByLanguage, caption_loader, evaluation_decoder
from mmcs.evaluation.trec import escape_id
from mmcs.evaluation.unfinished import GrowingRows, Unfinished, unfinished_folder
from mmcs.files import atomic_file
from mmcs.model.embed import embed_images
from mmcs.model.identity import towers_identity
from mmcs.model.towers import Towers
from mmcs.progress import track
from mmcs.stream.drops import DropCounter
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place
from mmcs.stream.pipeline import SampleStage
from mmcs.stream.read import IMAGE_EXTENSIONS, ReadSample
from mmcs.stream.remote import Access
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import Shard

FORMAT = 1
SAVED_EVERY = 20.0  # seconds: what a killed run may have to do again
IMAGES, TEXTS, QUERIES = "images", "texts", "queries"

Batch = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What is embedded.

    Attributes:
        shards: of images and captions; with none, ``queries`` alone are embedded.
        images: whether images are.
        languages: of the captions that are; none: no captions.
        queries: texts of the user's own; None: none.
    """

    shards: Sequence[Shard] = ()
    images: bool = True
    languages: Sequence[str] = ()
    queries: Sequence[str] | None = None


@torch.inference_mode()
def embed_shards(
    towers: Towers, wanted: Wanted, out: Path, *, model: str, batch_size: int = 256, num_workers: int = 0
) -> dict[str, Any]:
    """Writes the folder ``out``; a run that was killed is taken up again by the same call.

    Images that have no caption are embedded, and captions whose image is damaged: each is a stream of its own.

    Args:
        towers: on the device that is to be used.
        model: what to call it in the manifest.
        batch_size: samples at a time.
        num_workers: processes that read and decode; the order of rows is that of the shards, whatever it is.

    Returns:
        the manifest.

    Raises:
        UserError: ``out`` exists, or was begun with something else. DataError: nothing could be embedded, or what was is
        not finite.
    """
    towers.eval()
    fingerprint = towers_identity(towers)
    encode = CaptionEncoder(towers, cache=False, batch_size=batch_size)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "model": model,
        "fingerprint": fingerprint,
        "width": towers.embed_dim,
        "dtype": "float16",
        "preprocess": vars(towers.preprocess),
        "context_length": towers.tokenizer.context_length,
        "shards": [shard.label for shard in wanted.shards],
    }
    access = Access()
    counts = sizes(wanted.shards, access)
    key = {
        "model": fingerprint,
        "batch size": batch_size,
        "shards": [
            [shard.label, shard.path, size, shard.reading] for shard, size in zip(wanted.shards, counts, strict=True)
        ],
        "choice of images, languages or queries": [
            wanted.images,
            list(wanted.languages),
            None if wanted.queries is None else hashlib.blake2b("\n".join(wanted.queries).encode()).hexdigest(),
        ],
    }
    with unfinished_folder(out, key) as folder:
        if counts and wanted.images:
            images = _image_loader(towers, wanted.shards, counts, access, batch_size, num_workers)
            manifest[IMAGES] = _write(folder, images, _ImageRows(towers))
        if counts and wanted.languages:
            captions = caption_loader(wanted.shards, counts, access, wanted.languages, num_workers)
            manifest[TEXTS] = _write(folder, captions, _TextRows(encode, wanted.languages))
        if wanted.queries is not None:
            _save(folder.path / f"{QUERIES}.npy", _finite(encode(wanted.queries), QUERIES))
            manifest[QUERIES] = {"rows": len(wanted.queries)}
        text = json.dumps(manifest, ensure_ascii=False, indent=1)
        (folder.path / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return manifest


def _image_loader(
    towers: Towers, shards: Sequence[Shard], counts: Sequence[int], access: Access, batch_size: int, num_workers: int
) -> StreamLoader:
    """The stream of images alone: shard -> read -> decode -> batch."""
    stages: list[SampleStage] = [
        ReadSample(access=access, extensions=IMAGE_EXTENSIONS),
        evaluation_decoder(towers.preprocess),
    ]
    return StreamLoader(shards, counts, stages, batch_size=batch_size, num_workers=num_workers, place=Place())


class _Rows(Protocol):
    """What a stream is made into.

    Attributes:
        name, lines: of the array and of its text file.
        what: in words.
        width: of the embeddings.
        counts: of what, beside rows; all 0.
    """

    name: str
    lines: str
    what: str
    width: int
    counts: dict[str, int]

    def __call__(self, batch: Batch) -> tuple[Tensor, list[str], Sequence[str]]:
        """Embeddings (R, D), R lines, and which of ``counts`` each of them adds to."""
        ...


class _ImageRows:
    """A batch's images; their lines are ids."""

    name, lines, what = IMAGES, "image_ids.txt", "images"

    def __init__(self, towers: Towers) -> None:
        self.towers, self.width = towers, towers.embed_dim
        self.counts: dict[str, int] = {}

    def __call__(self, batch: Batch) -> tuple[Tensor, list[str], Sequence[str]]:
        images = batch["image"].to(self.towers.logit_scale.device, non_blocking=True)
        return embed_images(self.towers, {"image": images}), [escape_id(one) for one in batch["identity"]], ()


class _TextRows:
    """The captions of a batch in the chosen languages; their lines are id, language and text."""

    name, lines = TEXTS, "texts.tsv"

    def __init__(self, encode: CaptionEncoder, languages: Sequence[str]) -> None:
        self.encode, self.width = encode, encode.towers.embed_dim
        self.what = f"captions in {', '.join(languages)}"
        self.counts = dict.fromkeys(languages, 0)
        self.by_language = CaptionsByLanguage(languages)

    def __call__(self, batch: Batch) -> tuple[Tensor, list[str], Sequence[str]]:
        own = self.by_language(batch)
        (texts,) = own["texts"]
        columns = zip(own["text_name"], own["text_language"], texts, strict=True)
        lines = [f"{escape_id(name)}\t{language}\t{' '.join(text.split())}" for name, language, text in columns]
        return self.encode(texts, None), lines, own["text_language"]


def _write(folder: Unfinished, loader: StreamLoader, embed: _Rows) -> dict[str, Any]:
    """Appends what ``loader`` gives, behind what stands there already; what the manifest says of it."""
    before = folder.parts.get(embed.name, {"mark": None, "batches": 0, "counts": {}})
    rows = GrowingRows(folder.path, embed.name, embed.width, embed.lines, before["mark"])
    dropped, counts = DropCounter(), Counter({**embed.counts, **before["counts"]})
    done, total = before["batches"], len(loader)
    if done:
        dropped.merge(before["dropped"])
        loader.load_state_dict(before["loader"])
        print(f"{embed.name}: {rows.rows:,} rows of a run before are kept", flush=True)
    saved = time.monotonic()
    for batch in track(loader, f"embedding {embed.name}", total - done) if done < total else ():
        dropped.add(batch)
        if len(batch["position"]):
            embeddings, lines, counted = embed(batch)
            rows.append(_finite(embeddings, embed.what), lines)
            counts.update(counted)
        done += 1
        if time.monotonic() - saved > SAVED_EVERY or done == total:
            state = {"mark": rows.mark(), "batches": done, "counts": dict(counts)}
            folder.save(embed.name, {**state, "dropped": dropped.state_dict(), "loader": loader.state_dict()})
            saved = time.monotonic()
    rows.close()
    if dropped.by_cause:
        print(f"{embed.name}: {dropped.summary()}", flush=True)
    if not rows.rows:
        raise DataError(f"there are no {embed.what} to embed: {dropped.explained()}.")
    languages = {"languages": dict(counts)} if counts else {}
    return {"rows": rows.rows, **languages, "samples": dropped.seen, "dropped": dict(dropped.by_cause)}


def _finite(embeddings: Tensor, what: str) -> np.ndarray:
    if not torch.isfinite(embeddings).all():
        raise DataError(
            f"embeddings of {what} are not finite: the model has diverged; nothing can be searched in them."
        )
    return embeddings.float().cpu().numpy()


def _save(target: Path, rows: np.ndarray) -> None:
    with atomic_file(target) as path, path.open("wb") as handle:
        np.save(handle, rows.astype("<f2"))
