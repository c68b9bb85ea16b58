"""A suite that is evaluated on: shards whose samples carry captions in several languages, streamed without the switch.

The datamodule's validation and ``mmcs evaluate`` both read suites through ``suite_loader``.
"""

from __future__ import annotations

import functools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mmcs.common.language_tags import find_language, find_languages, language_tag, languages_of, tag_of
from mmcs.errors import DataError, UserError
from mmcs.evaluation.trec import NAME as FILE_NAME
from mmcs.model.towers import Preprocess
from mmcs.retrieval.languages import ENGLISH
from mmcs.stream.batch import stable_id
from mmcs.stream.decode import DecodeImage
from mmcs.stream.drops import DropCounter
from mmcs.stream.loader import StreamLoader
from mmcs.stream.locked import LockedFeatures
from mmcs.stream.mixture import Given, open_sources
from mmcs.stream.order import Place
from mmcs.stream.parse import ParseSample
from mmcs.stream.pipeline import BatchStage, SampleStage
from mmcs.stream.read import TEXT_EXTENSIONS, ReadSample
from mmcs.stream.remote import Access
from mmcs.stream.shard_sizes import sizes
from mmcs.stream.sources import Shard, expand, read_all
from mmcs.stream.transforms import eval_transform


@dataclass(frozen=True)
class Suite:
    """``name`` and ``split`` stand in every figure; ``languages`` are those evaluated, English first; ``access`` reaches shards
    that lie elsewhere. ``protocols`` are those that the suite is quoted with, ``notes`` what must be said beside its figures:
    both are its manifest's.
    """

    name: str
    split: str
    shards: list[Shard]
    sizes: list[int]
    languages: list[str]
    access: Access
    protocols: tuple[str, ...] = ("all_captions",)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """What results.json says of it: enough to find its pictures again."""
        return {
            "split": self.split,
            "shards": [shard.path for shard in self.shards],
            "reading": self.shards[0].reading if self.shards else {},
            "languages": self.languages,
            "protocols": list(self.protocols),
            "notes": list(self.notes),
        }


class CaptionsByLanguage:
    """Batch stage: the captions of all ``languages`` of the batch's samples as one list of T texts.

    Sets ``texts`` ([T captions]), ``text_language`` (T tags), ``text_group`` (T,) and ``text_id`` (T,) int64, the latter
    unique within a suite and language, ``text_name`` (T names for files) and ``text_number`` (the how-manieth caption of its
    sample each is, from 0).
    """

    def __init__(self, languages: Sequence[str]) -> None:
        self.languages = list(languages)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        texts, languages, groups, ids, names, numbers = [], [], [], [], [], []
        for i, captions in enumerate(batch.get("captions", ())):
            for language in self.languages:
                for k, caption in enumerate(captions.get(language, ())):
                    name = f"{batch['identity'][i]}#{k}"
                    texts.append(caption)
                    languages.append(language)
                    groups.append(batch["groups"][i])
                    ids.append(stable_id(name))
                    names.append(name)
                    numbers.append(k)
        as_ints = torch.tensor([stable_id(group) for group in groups], dtype=torch.int64)
        return {
            **{key: value for key, value in batch.items() if key not in ("caption", "captions")},
            "texts": [texts],
            "text_language": languages,
            "text_group": as_ints,
            "text_groups": groups,
            "text_id": torch.tensor(ids, dtype=torch.int64),
            "text_name": names,
            "text_number": numbers,
        }


def open_suites(
    suites: Mapping[str, Given],
    split: str,
    languages: Sequence[str] | None = None,
    access: Access | None = None,
    images: Sequence[str] | None = None,
) -> list[Suite]:
    """Opens suites by name.

    Args:
        suites: name → shards, as ``data.train_shards`` names them (several sources are one gallery; weights mean nothing).
        languages: those to evaluate, where a suite has them (``find_language``); None: all that it has. One that no suite
            has is named on standard error.
        images: extensions of pictures, the preferred first; None: the usual ones.

    Raises:
        UserError: a name that names no file; shards that do not exist; none of ``languages`` in a suite. DataError: a suite without captions.
    """
    opened = []
    access = access or Access()
    wanted = None if languages is None else list(dict.fromkeys(map(language_tag, languages)))
    served: set[str] = set()
    for name, patterns in suites.items():
        if not FILE_NAME.fullmatch(str(name)):
            raise UserError(f"the suite name {name!r} names files: use letters, digits, '_' and '-'.")
        shards = [shard for own, _ in open_sources(patterns, access, images, f"suite {name}") for shard in own]
        dropped = DropCounter()
        has = sorted(set(languages_of(captions_per_language(shards, access, dropped)).values()))
        if not has:
            raise DataError(f"suite {name} has no caption, nothing can be retrieved: {dropped.explained()}.")
        found = {language: language for language in has} if wanted is None else find_languages(wanted, has)
        if not found:
            raise UserError(
                f"suite {name} has captions in {', '.join(has)}, none of the languages asked for ({', '.join(wanted or ())})."
            )
        served.update(found)
        chosen = sorted(dict.fromkeys(found.values()), key=lambda language: language != ENGLISH)
        protocols, notes = _quoted(shards, access)
        opened.append(Suite(name, split, shards, sizes(shards, access), chosen, access, protocols, notes))
    missing = [language for language in wanted or () if language not in served]
    if opened and missing:
        _warn(f"no {split} suite has captions in {', '.join(missing)}; not evaluated")
    return opened


@functools.cache
def _warn(sentence: str) -> None:
    """Prints a warning, once per process: a configuration is checked before its suites are used."""
    print(f"mmcs: warning: {sentence}.", file=sys.stderr)


def seen_of_suites(seen: Sequence[str], suites: Sequence[Suite]) -> list[str]:
    """The seen languages in canonical spelling, and the suites' languages that are variants of one.

    >>> seen_of_suites(["DE", "iw"], [])
    ['de', 'he']
    """
    tags = [tag_of(language) or language for language in seen]
    measured = (language for suite in suites for language in suite.languages)
    return list(dict.fromkeys([*tags, *(language for language in measured if find_language(language, tags))]))


def _quoted(shards: Sequence[Shard], access: Access) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Protocols and notes of the folders' manifests, each once; all captions where they name none."""
    protocols: list[str] = []
    notes: list[str] = []
    for folder in dict.fromkeys(shard.folder for shard in shards):
        own = _manifest(folder, access).get("evaluation")
        if isinstance(own, dict):
            protocols += map(str, own.get("protocols", ()))
            notes += map(str, own.get("notes", ()))
    return tuple(dict.fromkeys(protocols)) or Suite.protocols, tuple(dict.fromkeys(notes))


def captions_per_language(
    shards: Sequence[Shard], access: Access, dropped: DropCounter | None = None
) -> dict[str, int]:
    """Number of captions per language (canonical tags): from the folders' ``manifest.json`` where they have one, else by
    reading, which counts in ``dropped`` what cannot be used.
    """
    counts: dict[str, int] = {}
    for folder in dict.fromkeys(shard.folder for shard in shards):
        own = [shard for shard in shards if shard.folder == folder]
        for language, count in (_from_manifest(folder, access) or _by_reading(own, access, dropped)).items():
            if count:
                counts[language] = counts.get(language, 0) + count
    return counts


def _from_manifest(folder: str, access: Access) -> dict[str, int] | None:
    captions = _manifest(folder, access).get("captions")
    if not isinstance(captions, dict) or not all(isinstance(count, int) for count in captions.values()):
        return None
    counts: Counter[str] = Counter()
    for key, count in captions.items():
        language = tag_of(key)
        if language is not None:
            counts[language] += count
    return dict(counts)


def _manifest(folder: str, access: Access) -> dict[str, Any]:
    """A folder's ``manifest.json``; empty where there is none that can be read."""
    (content,) = read_all([f"{folder}/manifest.json"], access)
    try:
        manifest = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def captions_by_language(patterns: str, access: Access | None = None) -> dict[str, list[str]]:
    """All captions of some shards per language, in the order of the stream; pictures are not read.

    Raises:
        UserError: shards that do not exist.
    """
    access = access or Access()
    found: dict[str, list[str]] = {}
    for language, texts in _captions(expand(patterns, access), access):
        found.setdefault(language, []).extend(texts)
    return found


def _by_reading(shards: Sequence[Shard], access: Access, dropped: DropCounter | None) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for language, texts in _captions(shards, access, dropped):
        counts[language] += len(texts)
    return dict(counts)


def _captions(
    shards: Sequence[Shard], access: Access, dropped: DropCounter | None = None
) -> Iterator[tuple[str, list[str]]]:
    """(language, captions) of each sample; pictures are not read."""
    for batch in caption_loader(shards, sizes(shards, access), access):
        if dropped is not None:
            dropped.add(batch)
        for captions in batch.get("captions", ()):
            yield from captions.items()


def caption_loader(
    shards: Sequence[Shard],
    sizes_: Sequence[int],
    access: Access,
    languages: Sequence[str] | None = None,
    num_workers: int = 0,
) -> StreamLoader:
    """The stream of captions alone, in ``languages`` (None: all): no picture is touched."""
    stages: list[SampleStage] = [ReadSample(access=access, extensions=TEXT_EXTENSIONS), ParseSample(languages)]
    return StreamLoader(shards, sizes_, stages, batch_size=256, num_workers=num_workers, place=Place())


def evaluation_decoder(preprocess: Preprocess) -> DecodeImage:
    """The image stage of evaluation: what open_clip's evaluation transform keeps of an image."""
    return DecodeImage(
        eval_transform(
            preprocess.size,
            interpolation=preprocess.interpolation,
            resize_mode=preprocess.resize_mode,
            fill_color=preprocess.fill_color,
        )
    )


class SuiteLoader:
    """The batches of ``loader`` through ``stages``, here and not in the workers: a sample has as many texts as it has
    captions, so parts of a batch can only be joined before these are listed.
    """

    def __init__(self, loader: StreamLoader, stages: Sequence[BatchStage]) -> None:
        self.loader = loader
        self.stages = list(stages)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.loader:
            for stage in self.stages:
                batch = stage(batch)
            yield batch


def suite_loader(
    suite: Suite, locked: LockedFeatures, decode: DecodeImage, batch_size: int, num_workers: int
) -> SuiteLoader:
    """A suite's stream: shard -> read -> parse -> image -> batch -> captions by language -> texts."""
    stages: list[SampleStage] = [
        ReadSample(access=suite.access),
        ParseSample(suite.languages),
        locked.image_stage(decode),
    ]
    loader = StreamLoader(
        suite.shards,
        suite.sizes,
        stages,
        batch_stages=locked.image_features(),
        batch_size=batch_size,
        num_workers=num_workers,
    )
    return SuiteLoader(loader, [CaptionsByLanguage(suite.languages), locked.text_stage()])


def fill_suite(suite: Suite, locked: LockedFeatures, decode: DecodeImage, num_workers: int = 0) -> None:
    """Computes what locked trunks yield for a suite."""
    locked.fill_images(suite.shards, suite.sizes, decode, access=suite.access, num_workers=num_workers)
    by_language = CaptionsByLanguage(suite.languages)
    loader = caption_loader(suite.shards, suite.sizes, suite.access, suite.languages)
    locked.fill_texts(text for batch in loader for text in by_language(batch)["texts"][0])
