"""The first stage: a place in a shard → the bytes of the sample that lies there.

Shards are indexed when first touched and only the files that are asked for are read. What the bytes mean is decided
in ``parse.py`` and ``decode.py``.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from mmcs.stream.drops import BadSample
from mmcs.stream.sources import Shard
from mmcs.stream.tar import ShardIndex, index_shard

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "gif", "bmp")
TEXT_EXTENSIONS = ("txt", "json")
#: Bounds of what is held open at a time, per worker: about 100 MB of indices, and a tenth of the usual file limit.
_MOST_INDEXED = 1_000_000
_MOST_OPEN = 100


class ReadSample:
    """Sample stage: ``origin`` (Shard), ``ordinal``, ``promised`` (the shard's size) → identity and raw files.

    Sets "source", "shard", "key", "identity" (source/shard/key) and "files": {extension: bytes}. When the last
    promised sample of a shard is read and more follow, "surplus" holds the keys of those that no position reaches.

    Args:
        extensions: the files to read, by extension; without the image ones no image is touched.
        largest_image, largest_text: bytes; a larger file is not read.

    Raises:
        BadSample: missing, damaged or too large.
    """

    def __init__(
        self,
        *,
        extensions: Sequence[str] = (*IMAGE_EXTENSIONS, *TEXT_EXTENSIONS),
        largest_image: int = 64 << 20,
        largest_text: int = 4 << 20,
    ) -> None:
        self._limits = {name: largest_text if name in TEXT_EXTENSIONS else largest_image for name in extensions}
        self._forget()

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        shard: Shard = sample.pop("origin")
        number, promised = sample.pop("ordinal"), sample.pop("promised")
        sample |= {"source": shard.source, "shard": shard.name, "key": f"#{number}"}
        try:
            index = self._index(shard.path)
            if number == promised - 1 and len(index) > promised:
                sample["surplus"] = index.keys[promised:]
            if number >= len(index):
                raise BadSample(index.ending or "missing", f"the shard holds {len(index)} of {promised}")
            sample["key"] = index.keys[number]
            sample["identity"] = f"{shard.label}/{sample['key']}"
            if number in index.damage:
                raise BadSample(index.damage[number])
            sample["files"] = self._files(shard.path, index.members(number))
        except OSError as error:
            raise BadSample("unreadable archive", str(error)) from error
        return sample

    def _files(self, path: str, members: dict[str, tuple[int, int]]) -> dict[str, bytes]:
        files = {}
        for extension, (offset, size) in members.items():
            limit = self._limits.get(extension)
            if limit is None:
                continue
            if size > limit:
                raise BadSample("file too large", f".{extension} has {size:,} bytes, more than {limit:,}")
            content = os.pread(self._open(path), size, offset)
            if len(content) < size:  # the file was cut after it was indexed
                raise BadSample("truncated archive", f".{extension}")
            files[extension] = content
        return files

    def _index(self, path: str) -> ShardIndex:
        index = self._indices.get(path)
        if index is None:
            index = self._indices[path] = index_shard(path)
            self._indexed += len(index)
            while self._indexed > _MOST_INDEXED and len(self._indices) > 1:
                self._indexed -= len(self._indices.popitem(last=False)[1])
        else:
            self._indices.move_to_end(path)
        return index

    def _open(self, path: str) -> int:
        descriptor = self._descriptors.get(path)
        if descriptor is None:
            descriptor = self._descriptors[path] = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            if len(self._descriptors) > _MOST_OPEN:
                os.close(self._descriptors.popitem(last=False)[1])
        else:
            self._descriptors.move_to_end(path)
        return descriptor

    def _forget(self) -> None:
        self._indices: OrderedDict[str, ShardIndex] = OrderedDict()
        self._descriptors: OrderedDict[str, int] = OrderedDict()
        self._indexed = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"_limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __del__(self) -> None:
        for descriptor in getattr(self, "_descriptors", {}).values():
            os.close(descriptor)
