"""Embeddings of suites, kept on disk: a model evaluated again on the same data embeds nothing.

The key is what they are a function of: the weights, the preprocessing and tokeniser, the bytes of the shards, the languages.
``mmcs evaluate`` uses it; what locked trunks yield is kept apart, by ``mmcs.stream.features``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mmcs.evaluation.embedding import embed_suite
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.suites import Suite
from mmcs.files import atomic_folder
from mmcs.model.identity import towers_identity
from mmcs.model.towers import Towers
from mmcs.stream.sources import Shard

FORMAT = 2  # 2: entities in captions are decoded, language tags normalised
TENSORS, NAMES = "embeddings.safetensors", "names.json"
ROOM = 8 << 30  # bytes; the entries used longest ago make room


class EmbeddingCache:
    """``embed_suite``, from disk where it was computed before.

    Args:
        folder: where entries live, one folder each; a damaged one is computed anew.
        room: bytes that all entries may take.
    """

    def __init__(self, folder: Path, room: int = ROOM) -> None:
        self.folder, self.room = folder, room

    def embed(
        self, towers: Towers, suite: Suite, *, cache: bool = True, num_workers: int = 0
    ) -> tuple[Embedded, dict[str, int]]:
        """As ``embed_suite``. A suite with shards that lie elsewhere is embedded every time: their bytes are not known."""
        if any(shard.remote or not Path(shard.path).is_file() for shard in suite.shards):
            return embed_suite(towers, suite, cache=cache, num_workers=num_workers)
        entry = self.folder / _key(towers, suite)
        found = _read(entry, suite)
        if found is not None:
            os.utime(entry)
            print(f"suite {suite.name} ({suite.split}): embeddings of {entry}", flush=True)
            return found
        shutil.rmtree(entry, ignore_errors=True)
        embedded, dropped = embed_suite(towers, suite, cache=cache, num_workers=num_workers)
        _write(entry, embedded, dropped)
        self._make_room(entry)
        return embedded, dropped

    def _make_room(self, newest: Path) -> None:
        entries = [path for path in self.folder.iterdir() if path.is_dir() and path != newest and path.name[0] != "."]
        entries.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        taken = _size(newest)
        for entry in entries:
            taken += _size(entry)
            if taken > self.room:
                shutil.rmtree(entry, ignore_errors=True)


def _key(towers: Towers, suite: Suite) -> str:
    parts: list[Any] = [FORMAT, towers_identity(towers), suite.name, suite.split]
    parts += [suite.languages, [(shard.label, shard.caption, shard.images, _digest(shard)) for shard in suite.shards]]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _digest(shard: Shard) -> str:
    with Path(shard.path).open("rb") as handle:
        return hashlib.file_digest(handle, "blake2b").hexdigest()


def _write(entry: Path, embedded: Embedded, dropped: dict[str, int]) -> None:
    tensors = {"image": embedded.images}
    names: dict[str, Any] = {"image": [embedded.image_ids, embedded.image_groups], "texts": {}, "dropped": dropped}
    for language, texts in embedded.texts.items():
        tensors[f"text.{language}"] = texts.embeddings.contiguous()
        names["texts"][language] = [texts.ids, texts.groups, texts.captions, texts.numbers]
    with atomic_folder(entry) as partial:
        save_file(tensors, partial / TENSORS)
        (partial / NAMES).write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


def _read(entry: Path, suite: Suite) -> tuple[Embedded, dict[str, int]] | None:
    if not entry.is_dir():
        return None
    try:
        tensors = load_file(entry / TENSORS)
        names = json.loads((entry / NAMES).read_text(encoding="utf-8"))
        texts = {
            language: Texts(ids, groups, tensors[f"text.{language}"], captions, numbers)
            for language, (ids, groups, captions, numbers) in names["texts"].items()
        }
        ids, groups = names["image"]
        return Embedded(suite.name, suite.split, ids, groups, tensors["image"], texts), names["dropped"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
