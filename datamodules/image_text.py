"""Image-text shards: the stream that is trained on, and the suites that are validated on.

Only lists of stages stand here; what a stage does is written where its name is imported from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lightning import LightningDataModule

from mmcs.codeswitch.stage import ChooseCaption, ForgetCaptions, SwitchCaption
from mmcs.common.language_tags import language_tag
from mmcs.errors import UserError
from mmcs.evaluation.suites import Suite, SuiteLoader, evaluation_decoder, fill_suite, suite_loader
from mmcs.files import cache_folder
from mmcs.model.towers import Towers
from mmcs.stream.augment import Augment
from mmcs.stream.exclude import LeaveOut
from mmcs.stream.loader import StreamLoader
from mmcs.stream.locked import LockedFeatures
from mmcs.stream.mixture import Given, open_data
from mmcs.stream.order import Place, Shuffle
from mmcs.stream.parse import ParseSample
from mmcs.stream.pipeline import SampleStage
from mmcs.stream.read import TEXT_EXTENSIONS, ReadSample
from mmcs.stream.remote import Access


class ImageTextDataModule(LightningDataModule):
    """Streams WebDataset image-text shards through the caption switch.

    Args:
        towers: what the batches are for: image size, tokeniser, and which trunks are locked.
        captions: the stages that make texts: ``ChooseCaption`` and, unless captions stay English, ``SwitchCaption``.
        suites: what is validated on.
        seed: of the order and the augmentation.
        train_shards, samples_per_epoch: see ``mmcs.stream.mixture.open_data``.
        batch_size: samples per process and step. num_workers: loading processes per process.
        text_language: language of the ``.txt`` of the shards (BCP 47).
        image_extensions: of the pictures in the shards, the preferred first; None: the usual ones.
        exclude: lists of what is left out, see ``LeaveOut``.
        shuffle: see ``Shuffle``; its seed is ``seed``.
        augment: how pictures vary. Features of a locked image tower are cached, so there the evaluation's crop is taken,
            always the same.
        access: to shards that lie elsewhere.
        cache_features: keep on disk what locked trunks yield.

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
        train_shards: Given,
        batch_size: int,
        num_workers: int,
        text_language: str = "en",
        image_extensions: Sequence[str] | None = None,
        samples_per_epoch: int | None = None,
        exclude: str | Sequence[str] | None = None,
        shuffle: Shuffle | None = None,
        augment: Augment | None = None,
        access: Access | None = None,
        cache_features: bool = True,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise UserError(
                f"data.batch_size is at least 1 and data.num_workers at least 0; got {batch_size}, {num_workers}."
            )
        text_language = language_tag(text_language)
        self.captions, self.suites, self.access = captions, list(suites), access or Access()
        self.batch_size, self.num_workers = batch_size, num_workers
        self.shuffle = replace(shuffle or Shuffle(), seed=seed)
        self.locked = LockedFeatures(towers, cache_folder() / "features" if cache_features else None)
        # What is computed beforehand is computed for every sample there is, so all of them must be known.
        self.data = open_data(
            train_shards, samples_per_epoch, self.access, counted=self.locked.any, images=image_extensions
        )
        # A new text each epoch for ever would fill the disk: texts are kept where their number is bounded.
        self.texts_bounded = len(captions) == 1 or captions[0].variants > 0
        reads = {language for stage in captions for language in stage.reads}
        self.parse: list[SampleStage] = [ParseSample(reads, text_language=text_language)]
        if exclude:
            self.parse.append(LeaveOut(exclude, text_language=text_language))
        self.decode = evaluation_decoder(towers.preprocess)
        augment = augment or Augment()
        if self.locked.images is not None and (augment.flip or augment.transform):
            raise UserError(
                "data.augment.flip and .transform would change nothing: the image tower is locked and its features are "
                "cached; leave them out, or set data.cache_features=false."
            )
        self.augment = augment.stages(towers.preprocess.size, seed)

    def train_dataloader(self) -> StreamLoader:
        """The stream of training batches; uint8 images are normalised (and mirrored) on the device."""
        return StreamLoader(
            self.data.shards,
            self.data.sizes,
            [
                ReadSample(access=self.access, reach=self.shuffle.reach),
                *self.parse,
                *(self.augment if self.locked.images is None else [self.locked.image_stage(self.decode)]),
                *self.captions,
                ForgetCaptions(),
            ],
            batch_stages=[*self.locked.image_features(), self.locked.text_stage(self.texts_bounded)],
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            shuffle=self.shuffle,
            mixture=self.data.mixture,
        )

    def val_dataloader(self) -> list[SuiteLoader]:
        """One stream per suite: every image, with its captions in all languages, in order and without the switch."""
        return [
            suite_loader(suite, self.locked, self.decode, self.batch_size, self.num_workers) for suite in self.suites
        ]

    def fill_features(self, epochs: int) -> None:
        """Computes what locked trunks yield for everything that ``epochs`` epochs and the validation will read."""
        data, workers = self.data, self.num_workers
        self.locked.fill_images(data.shards, data.sizes, self.decode, access=self.access, num_workers=workers)
        if self.texts_bounded:
            self.locked.fill_texts(self._texts(epochs))
        for suite in self.suites:
            fill_suite(suite, self.locked, self.decode, workers)

    def _texts(self, epochs: int) -> Iterator[str]:
        mixture = self.data.mixture
        pairs = ((e, e) for e in range(epochs)) if mixture is None else mixture.passes(self.data.sizes, epochs)
        if len(self.captions) == 1 or self.captions[1].constant:
            # The version alone decides; a curriculum makes other texts of a version in every epoch.
            passes = epochs if mixture is None else mixture.most_passes(self.data.sizes, epochs)
            pairs = ((number, number) for number in range(min(passes, self.captions[0].variants or passes)))
        stages: list[SampleStage] = [
            ReadSample(access=self.access, extensions=TEXT_EXTENSIONS),
            *self.parse,
            EveryVersion(self.captions, sorted(set(pairs))),
        ]
        for batch in StreamLoader(self.data.shards, self.data.sizes, stages, batch_size=256, place=Place()):
            for versions_of_sample in batch.get("versions", ()):
                yield from versions_of_sample


class EveryVersion:
    """Sample stage: the texts that the caption stages make of a sample in all (epoch, pass) of ``pairs``."""

    def __init__(self, captions: Sequence[Any], pairs: Sequence[tuple[int, int]]) -> None:
        self.captions = captions
        self.pairs = pairs

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        texts: dict[str, None] = {}
        for epoch, number in self.pairs:
            version = {**sample, "epoch": epoch, "pass": number}
            for stage in self.captions:
                version = stage(version)
            texts.update(dict.fromkeys(version["texts"]))
        return {"identity": sample["identity"], "group": sample["group"], "versions": list(texts)}
