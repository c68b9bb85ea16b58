"""Pictures and shards for the stream's tests, written with PIL and webdataset's own writer."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image

from mmcs.stream.sources import Shard


def jpeg(seed: int, width: int = 40, height: int = 32) -> bytes:
    """A smooth random picture."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_shard(path: Path, keys: Sequence[str], with_images: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path)) as tar:
        for number, key in enumerate(keys):
            sample = {
                "__key__": key,
                "txt": f"caption {key}",
                "json": json.dumps({"captions": {"de": [f"Satz {key}"]}}),
            }
            if with_images:
                sample["jpg"] = jpeg(number)
            tar.write(sample)


def shard_of(path: Path, members: dict[str, bytes]) -> Shard:
    """A shard of any files, with no sizes.json."""
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return Shard("s", path.stem, str(path))
