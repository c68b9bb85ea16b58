"""Pictures of a suite as a page shows them: found in its shards, made small, on white, inside the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from mmcs.evaluation.pictures import Pictures as ShardPictures
from mmcs.prepare.images import ImageError, load, open_image, render_svg, to_rgb
from mmcs.report.runs import Run
from mmcs.stream.sources import expand

Pictures = Callable[[str], "bytes | None"]  # image id → an encoded image, None where there is none

SIDE = 112  # pixels of the longer side: sharp on a phone, where five stand beside each other
_QUALITY = 70


def pictures_of(suite: str, runs: Sequence[Run]) -> Pictures | None:
    """The pictures of a suite out of the shards that one of the runs was evaluated on; None where these are not here."""
    for run in runs:
        shards = run.results.get("suites", {}).get(suite, {}).get("shards", ())
        if shards and all(Path(shard).is_file() for shard in shards):
            return ShardPictures(expand(shards))
    return None


def thumbnail(data: bytes | None) -> str | None:
    """A data URI of the picture made small (WebP), None where there is none or it cannot be decoded.

    Args:
        data: an encoded raster image or an SVG; what is transparent becomes white.
    """
    if data is None:
        return None
    try:
        data = render_svg(data, SIDE) if data.lstrip().startswith((b"<svg", b"<?xml")) else data
        with open_image(data) as image:
            image.draft(
                None, (2 * SIDE, 2 * SIDE)
            )  # a JPEG is decoded at a half, quarter or eighth where that suffices
            picture = to_rgb(load(image))
    except ImageError:
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=_QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
