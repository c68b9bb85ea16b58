"""The first stage: a place in a shard → the bytes of the sample that lies there.

Shards are indexed when first touched and only the files that are asked for are read; a shard that lies elsewhere is
fetched whole, ahead of time where the order tells what comes (``remote.py``). What the bytes mean is decided in
``parse.py`` and ``decode.py``.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from mmcs.stream.drops import BadSample, Drop
from mmcs.stream.order import Shuffle
from mmcs.stream.remote import Access, Fetcher
from mmcs.stream.sources import Shard
from mmcs.stream.tar import DOTS, IMAGE_EXTENSIONS, TEXT_EXTENSIONS, ShardIndex, index_shard

#: Bounds of what is held open at a time, per worker: about 100 MB of indices, and a tenth of the usual file limit.
_MOST_INDEXED = 1_000_000
_MOST_OPEN = 100


class Files(dict[str, bytes]):
    """The files of a sample that were read, by extension.

    Attributes:
        image: the extension of its picture; None: it has none, or none was asked for.
        names: the extensions of all files that the sample has.
    """

    def __init__(self, image: str | None, names: Sequence[str]) -> None:
        super().__init__()
        self.image = image
        self.names = names


class _Open:
    """A shard in use: its index, a descriptor to read from, and when each lane last read from it."""

    def __init__(self, shard: Shard, descriptor: int) -> None:
        self.fetched = shard.remote
        self.descriptor = descriptor
        self.index = index_shard(descriptor)
        self.last_read: dict[int, int] = {}

    def __del__(self) -> None:
        os.close(self.descriptor)


class ReadSample:
    """Sample stage: ``origin`` (Shard), ``ordinal``, ``promised`` (the shard's size) → identity and raw files.

    Sets "source", "shard", "key", "identity" (source/shard/key), "files" (``Files``: of several pictures the preferred one),
    and "caption_field" and "caption_lines" where the shard has them. With the last sample of a shard, "surplus" holds a
    ``Drop`` for each sample that no position reaches.

    Args:
        access: how shards that lie elsewhere are reached.
        extensions: the files to read, by extension, the preferred picture first; without the image ones no image is
            touched. A shard's own ``images`` come in the place of the image ones.
        reach: a lane that has read so many samples since it touched a shard is done with it (``Shuffle.reach``).
        largest_image, largest_text: bytes; a larger file is not read.

    Raises:
        BadSample: missing, damaged, too large, or not to be had.
        DataError: a host from which nothing can be had at all.
    """

    _epoch: int

    def __init__(
        self,
        *,
        access: Access | None = None,
        extensions: Sequence[str] = (*IMAGE_EXTENSIONS, *TEXT_EXTENSIONS),
        reach: int = Shuffle().reach,
        largest_image: int = 64 << 20,
        largest_text: int = 4 << 20,
    ) -> None:
        self._texts = tuple(name for name in extensions if name in TEXT_EXTENSIONS)
        self._images = tuple(name for name in extensions if name not in TEXT_EXTENSIONS)
        self._largest_text, self._largest_image = largest_text, largest_image
        self._access = access or Access()
        self._reach = reach
        self._forget()

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        shard: Shard = sample.pop("origin")
        number, promised, lane = sample.pop("ordinal"), sample.pop("promised"), sample.pop("lane", 0)
        sample.pop("following", None)
        sample |= {"source": shard.source, "shard": shard.name, "key": f"#{number}"}
        try:
            held = self._held(shard)
            index = held.index
            self._reads[lane] += 1
            held.last_read[lane] = self._reads[lane]
            if shard.estimated and len(index):  # no matter how many it was taken to hold: pass for pass all are read
                number = (sample["pass"] * promised + number) % len(index)
                promised = len(index)
            if number == promised - 1:
                sample["surplus"] = self.surplus(shard, promised)
            if number >= len(index):
                raise BadSample(index.ending or "missing", f"the shard holds {len(index)} of {promised}")
            sample["key"] = index.keys[number]
            sample["identity"] = f"{shard.label}/{sample['key']}"
            cause = index.damage.get(number)
            if cause is not None and not (cause == DOTS and self._wants_dots(shard)):
                raise BadSample(cause, index.details.get(number, ""))
            sample["files"] = self._files(held, number, shard)
        except OSError as error:
            raise BadSample("unreadable archive", str(error)) from error
        if shard.caption is not None:
            sample["caption_field"] = shard.caption
        if shard.caption_lines:
            sample["caption_lines"] = True
        return sample

    def surplus(self, shard: Shard, promised: int) -> list[Drop]:
        """The samples of a shard that no position reaches where it was taken to hold ``promised``.

        Raises:
            OSError: it cannot be read.
        """
        index = self._held(shard).index
        found = [
            Drop(index.damage.get(number, "not in sizes.json"), shard.label, key, index.details.get(number, ""))
            for number, key in enumerate(index.keys[promised:], promised)
        ]
        return found + [Drop(DOTS, shard.label, *lost) for lost in index.lost if not self._wants_dots(shard)]

    def upcoming(self, samples: Iterable[dict[str, Any]]) -> None:
        """Begins to fetch the shards of samples that are read next, side by side and in the background."""
        for sample in samples:
            if sample["epoch"] != self._epoch:  # what could not be had is tried again in each epoch
                self._epoch = sample["epoch"]
                self._fetcher.forget_failures()
            for shard in (sample["origin"], sample.get("following")):
                if shard is not None and shard.remote and shard.path not in self._open:
                    self._fetcher.begin(shard.path)

    def index(self, shard: Shard) -> ShardIndex:
        """Where the samples of a shard lie.

        Raises:
            OSError: it cannot be read.
        """
        return self._held(shard).index

    def length(self, shard: Shard) -> int:
        """Bytes of a shard. Raises OSError as ``index`` does."""
        return os.fstat(self._held(shard).descriptor).st_size

    def _files(self, held: _Open, number: int, shard: Shard) -> Files:
        members = held.index.members(number)
        image = next((name for name in self._images_of(shard) if name in members), None)
        files = Files(image, list(members))
        for extension, (offset, size) in members.items():
            caption = f".{extension}" == shard.caption
            if extension != image and not caption and extension not in self._texts:
                continue
            limit = self._largest_image if extension == image and not caption else self._largest_text
            if size > limit:
                raise BadSample("file too large", f".{extension} has {size:,} bytes, more than {limit:,}")
            content = os.pread(held.descriptor, size, offset)
            if len(content) < size:  # the file was cut after it was indexed
                raise BadSample("truncated archive", f".{extension}")
            files[extension] = content
        return files

    def _images_of(self, shard: Shard) -> Sequence[str]:
        return shard.images if shard.images and self._images else self._images

    def _wants_dots(self, shard: Shard) -> bool:
        """Whether a picture or caption is named by an extension with a dot in it: then keys end at the first dot on purpose."""
        return any("." in name for name in (*(shard.images or ()), (shard.caption or "")[1:]))

    def _held(self, shard: Shard) -> _Open:
        held = self._open.get(shard.path)
        if held is not None:
            self._open.move_to_end(shard.path)
            return held
        self._release()
        path = shard.path
        held = _Open(shard, self._fetcher.open(path) if shard.remote else os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        self._open[path] = held
        self._indexed += len(held.index)
        while len(self._open) > 1 and self._indexed > _MOST_INDEXED:
            self._close(next(iter(self._open)))
        return held

    def _release(self) -> None:
        """Lets go of shards that were fetched and are read to their end, and of local ones beyond the bound."""
        done = [
            path
            for path, held in self._open.items()
            if held.fetched and all(self._reads[lane] - last > self._reach for lane, last in held.last_read.items())
        ]
        local = [path for path, held in self._open.items() if not held.fetched]
        for path in (*done, *local[: len(local) - _MOST_OPEN + 1 if len(local) >= _MOST_OPEN else 0]):
            self._close(path)

    def _close(self, path: str) -> None:
        self._indexed -= len(self._open.pop(path).index)

    def _forget(self) -> None:
        self._fetcher = Fetcher(self._access)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._reads: Counter[int] = Counter()
        self._indexed = 0
        self._epoch = -1

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_texts", "_images", "_largest_text", "_largest_image", "_access", "_reach")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()
