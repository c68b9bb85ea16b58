"""Image-text shards: the stream that is trained on, and the suites that are validated on.

Only lists of stages stand here; what a stage does is written where its name is imported from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lightning import LightningDataModule

from mmcs.codeswitch.stage import ChooseCaption, ForgetCaptions, SwitchCaption
from mmcs.errors import DataError, UserError
from mmcs.evaluation.suites import Suite, SuiteLoader, evaluation_decoder, fill_suite, suite_loader
from mmcs.files import cache_folder
from mmcs.model.towers import Towers
from mmcs.stream.decode import DecodeImage
from mmcs.stream.loader import StreamLoader
from mmcs.stream.locked import LockedFeatures
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.pipeline import SampleStage
from mmcs.stream.read import TEXT_EXTENSIONS, ReadSample
from mmcs.stream.sources import expand, sizes
from mmcs.stream.transforms import train_transform


class ImageTextDataModule(LightningDataModule):
    """Streams WebDataset image-text shards through the caption switch.

    Args:
        towers: what the batches are for: image size, tokeniser, and which trunks are locked.
        captions: the stages that make texts: ``ChooseCaption`` and, unless captions stay English, ``SwitchCaption``.
        suites: what is validated on.
        seed: of the order and the augmentation.
        train_shards: a folder, a brace expansion, a glob, or a list of these.
        batch_size: samples per process and step. num_workers: loading processes per process.
        augment_scale: share of the image that a random crop keeps. Features of a locked image tower are cached, so there
            the evaluation's crop is taken, always the same.
        cache_features: keep on disk what locked trunks yield.
        text_language: language of the ``.txt`` of the shards (BCP 47).

    Raises:
        UserError: a value out of range, or shards that do not exist. DataError: no sample in them.
    """

    def __init__(
        self,
        towers: Towers,
        captions: tuple[ChooseCaption] | tuple[ChooseCaption, SwitchCaption],
        suites: Sequence[Suite],
        *,
        seed: int,
        train_shards: str | Sequence[str],
        batch_size: int,
        num_workers: int,
        augment_scale: Sequence[float],
        cache_features: bool,
        text_language: str = "en",
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise UserError(
                f"data.batch_size is at least 1 and data.num_workers at least 0; got {batch_size}, {num_workers}."
            )
        self.captions, self.suites, self.seed = captions, list(suites), seed
        self.batch_size, self.num_workers = batch_size, num_workers
        self.shards = expand(train_shards)
        self.sizes = sizes(self.shards)
        if not sum(self.sizes):
            raise DataError(f"the shards of data.train_shards ({train_shards}) hold no sample.")
        self.locked = LockedFeatures(towers, cache_folder() / "features" if cache_features else None)
        # A new text each epoch for ever would fill the disk: texts are kept where their number is bounded.
        self.texts_bounded = len(captions) == 1 or captions[0].variants > 0
        self.parse = ParseSample(
            {language for stage in captions for language in stage.reads}, text_language=text_language
        )
        self.decode = evaluation_decoder(towers.preprocess)
        augmentation = train_transform(towers.preprocess.size, scale=interval("data.augment_scale", augment_scale))
        self.augment = DecodeImage(augmentation, seed=seed)

    def train_dataloader(self) -> StreamLoader:
        """The stream of training batches; uint8 images are normalised on the device."""
        return StreamLoader(
            self.shards,
            self.sizes,
            [
                ReadSample(),
                self.parse,
                self.augment if self.locked.images is None else self.locked.image_stage(self.decode),
                *self.captions,
                ForgetCaptions(),
            ],
            batch_stages=[self.locked.text_stage(self.texts_bounded)],
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            shuffle=Shuffle(self.seed),
        )

    def val_dataloader(self) -> list[SuiteLoader]:
        """One stream per suite: every image, with its captions in all languages, in order and without the switch."""
        return [
            suite_loader(suite, self.locked, self.decode, self.batch_size, self.num_workers) for suite in self.suites
        ]

    def fill_features(self, epochs: int) -> None:
        """Computes what locked trunks yield for everything that ``epochs`` epochs and the validation will read."""
        self.locked.fill_images(self.shards, self.sizes, self.decode)
        if self.texts_bounded:
            self.locked.fill_texts(self._texts(epochs))
        for suite in self.suites:
            fill_suite(suite, self.locked, self.decode)

    def _texts(self, epochs: int) -> Iterator[str]:
        # A curriculum makes other texts of a version in every epoch.
        constant = len(self.captions) == 1 or self.captions[1].constant
        versions = min(epochs, self.captions[0].variants or epochs) if constant else epochs
        every = EveryVersion(self.captions, versions)
        stages: list[SampleStage] = [ReadSample(extensions=TEXT_EXTENSIONS), self.parse, every]
        for batch in StreamLoader(self.shards, self.sizes, stages, batch_size=256, place=Place()):
            for versions_of_sample in batch.get("versions", ()):
                yield from versions_of_sample


class EveryVersion:
    """Sample stage: the texts that the caption stages make of a sample in epochs 0 to ``versions`` - 1."""

    def __init__(self, captions: Sequence[Any], versions: int) -> None:
        self.captions = captions
        self.versions = versions

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        texts: dict[str, None] = {}
        for epoch in range(self.versions):
            version = {**sample, "epoch": epoch}
            for stage in self.captions:
                version = stage(version)
            texts.update(dict.fromkeys(version["texts"]))
        return {"identity": sample["identity"], "group": sample["group"], "versions": list(texts)}


def interval(key: str, values: Sequence[float]) -> tuple[float, float]:
    """``values`` as (low, high) with 0 < low <= high <= 1, or a UserError that names ``key``."""
    if len(values) != 2 or not 0 < values[0] <= values[1] <= 1:
        raise UserError(f"{key} is two shares [low, high] between 0 and 1; got {list(values)}.")
    return float(values[0]), float(values[1])
