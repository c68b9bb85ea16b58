"""What locked towers yield, computed once and kept: fills the feature stores, and the stages that read them.

Where a tower is not locked its ordinary stage stands in the list (decoding, tokenising). Stores are ``features.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcs.progress import track
from mmcs.stream.decode import DecodeImage, image_file
from mmcs.stream.features import FeatureStore, digest, fill
from mmcs.stream.loader import StreamLoader
from mmcs.stream.order import Place
from mmcs.stream.pipeline import BatchStage, SampleStage
from mmcs.stream.read import IMAGE_EXTENSIONS, ReadSample
from mmcs.stream.remote import Access
from mmcs.stream.sources import Shard

if TYPE_CHECKING:
    from mmcs.model.towers import Towers
    from mmcs.stream.tokenise import Tokenise


class KnowImage:
    """Sample stage: the image's bytes -> "image_digest", by which ``LookUpImages`` finds the features of the locked image trunk.

    Raises:
        BadSample: as ``decode`` raises it; what cannot be decoded has no features.
    """

    def __init__(self, store: FeatureStore, decode: DecodeImage) -> None:
        self.store = store
        self.decode = decode

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        one = digest(image_file(sample))
        if one not in self.store and self.store.missing([one]):  # which looks again: another process may have added it
            self.decode(dict(sample))
            raise RuntimeError(f"the features of {sample['identity']} were not computed before they were read")
        sample.pop("files")
        return {**sample, "image_digest": one}


class LookUpImages:
    """Batch stage: "image_digest" (B) -> "image_features" (B, F) float32. A batch at a time: one by one costs ten times as much."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        features = torch.from_numpy(self.store.lookup(batch["image_digest"]))
        return {**{key: value for key, value in batch.items() if key != "image_digest"}, "image_features": features}


class LookUpTexts:
    """Batch stage: "texts" (per view B captions) -> "text_features" (per view (B, F)) of the locked text trunk."""

    def __init__(self, store: FeatureStore, width: int) -> None:
        self.store = store
        self.width = width

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        rows = [self.store.lookup([digest(text) for text in view]).reshape(-1, self.width) for view in batch["texts"]]
        return {**batch, "text_features": [torch.from_numpy(view) for view in rows]}


class LockedFeatures:
    """The feature stores of one pair of towers: how to fill them, and the stages that read them.

    ``images`` and ``texts`` are None where that trunk is not wholly locked, or where nothing is to be cached.

    Args:
        folder: where the stores live; None: nothing is cached.
    """

    def __init__(self, towers: Towers, folder: Path | None) -> None:
        self.towers = towers
        self.images = self.texts = None
        if folder is not None and towers.image_locked:
            self.images = FeatureStore(folder, f"image-{towers.image_fingerprint()}")
        if folder is not None and towers.text_locked:
            self.texts = FeatureStore(folder, f"text-{towers.text_fingerprint()}")

    @property
    def any(self) -> bool:
        """Whether anything is computed beforehand."""
        return self.images is not None or self.texts is not None

    def image_stage(self, decode: DecodeImage) -> KnowImage | DecodeImage:
        """The sample stage that brings images to the towers."""
        return decode if self.images is None else KnowImage(self.images, decode)

    def image_features(self) -> list[BatchStage]:
        """The batch stage behind it, where features are read."""
        return [] if self.images is None else [LookUpImages(self.images)]

    def text_stage(self, cached: bool = True) -> LookUpTexts | Tokenise:
        """The batch stage that brings texts to the towers; ``cached``: whether they are among those filled in."""
        if self.texts is None or not cached:
            return self.towers.tokenise
        return LookUpTexts(self.texts, self._encode_texts([""]).shape[1])

    def fill_images(
        self,
        shards: Sequence[Shard],
        sizes: Sequence[int],
        decode: DecodeImage,
        *,
        access: Access | None = None,
        num_workers: int = 0,
    ) -> None:
        """Encodes the images of ``shards`` that are not there yet; ranks share the work and wait for each other.

        Args:
            access: to shards that lie elsewhere.
            num_workers: processes per rank that read and decode.
        """
        if self.images is None:
            return
        store, first = self.images, Place.here().rank == 0
        size = self.towers.preprocess.size
        stages: list[SampleStage] = [
            ReadSample(access=access, extensions=IMAGE_EXTENSIONS),
            DecodeMissing(store, decode, size),
        ]
        len(store)  # reads the index, before there are workers: they share it
        loader = StreamLoader(shards, sizes, stages, batch_size=256, num_workers=num_workers)  # a rank's own positions
        batches = track(loader, "image features", len(loader)) if first else loader
        on_cpu = self.towers.logit_scale.device.type == "cpu"
        batch_size = 8 if on_cpu else 256  # what caches hold, and what fills a GPU
        fill(
            store,
            _decoded(batches),
            self._encode_images,
            batch_size=batch_size,
            pool_size=batch_size,  # encoded while the workers decode on
            part_size=512 if on_cpu else 4096,
        )
        _wait()

    def fill_texts(self, texts: Iterable[str]) -> None:
        """Encodes the captions that are not there yet; ranks share the work and wait for each other."""
        if self.texts is None:
            return
        place = Place.here()
        items = [(digest(text), text) for text in dict.fromkeys(texts)]
        mine = [item for item in items if int.from_bytes(item[0][:8], "little") % place.world_size == place.rank]
        fill(self.texts, mine, self._encode_texts, description="text features" if place.rank == 0 else None)
        _wait()

    @torch.inference_mode()
    def _encode_images(self, images: list[torch.Tensor]) -> np.ndarray:
        # Channels last: half as much time again for convolutions on a CPU, and what tensor cores want.
        batch = torch.stack(images).to(self.towers.logit_scale.device, memory_format=torch.channels_last)
        return self.towers.image_features(batch).float().cpu().numpy()

    @torch.inference_mode()
    def _encode_texts(self, texts: list[str]) -> np.ndarray:
        tokens = self.towers.tokenise.encode(texts).to(self.towers.logit_scale.device)
        return self.towers.text_features(tokens).float().cpu().numpy()


class DecodeMissing:
    """Sample stage: "digest" of the image's bytes, and "image" uint8 (3, H, W), blank where ``store`` has its features:
    "decoded" tells.

    Args:
        size: H, W.
    """

    def __init__(self, store: FeatureStore, decode: DecodeImage, size: tuple[int, int]) -> None:
        self.store = store
        self.decode = decode
        self.size = size

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        one = digest(image_file(sample))
        known = one in self.store
        image = torch.zeros(3, *self.size, dtype=torch.uint8) if known else self.decode(sample)["image"]
        return {"digest": one, "decoded": not known, "image": image}


def _decoded(batches: Iterable[dict[str, Any]]) -> Iterator[tuple[bytes, torch.Tensor]]:
    """(digest, image) of what was decoded; what could not be is counted where it is trained or evaluated on."""
    for batch in batches:
        for i, one in enumerate(batch.get("digest", ())):
            if batch["decoded"][i]:
                yield one, batch["image"][i]


def _wait() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
