"""Pictures of a suite as a page shows them: found in its shards, made small, on white, inside the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from mmcs.common.language_tags import find_language
from mmcs.evaluation.pictures import Pictures as ShardPictures
from mmcs.evaluation.ranking import TASKS
from mmcs.prepare.images import ImageError, decode, is_svg, open_image, render_svg
from mmcs.report.runs import Run
from mmcs.stream.sources import Reading

Pictures = Callable[[str], "bytes | None"]  # image id → an encoded image, None where there is none

SIDE = 112  # pixels of the longer side: sharp on a phone, where five stand beside each other
_QUALITY = 70


class EvaluatedPictures:
    """Pictures out of shards, as long as these still say of them what they said when they were evaluated.

    Shards may have been made anew since, and their keys stand for other pictures then.

    Args:
        pictures: of the shards.
        asked: image id → language and text of a caption that was evaluated.

    Attributes:
        changed: ids of images whose shard says something else now, or nothing; of these there is no picture.
    """

    def __init__(self, pictures: ShardPictures, asked: Mapping[str, tuple[str, str]]) -> None:
        self.pictures, self.asked = pictures, asked
        self.changed: set[str] = set()

    def __call__(self, image_id: str) -> bytes | None:
        language, text = self.asked.get(image_id, ("", ""))
        captions = self.pictures.captions(image_id)
        own = captions.get(find_language(language, captions) or "", ())
        if text not in (" ".join(caption.split()) for caption in own):  # as queries are written
            self.changed.add(image_id)
            return None
        return self.pictures(image_id)


def pictures_of(suite: str, split: str, runs: Sequence[Run]) -> EvaluatedPictures | None:
    """The pictures of a suite out of the shards that one of the runs was evaluated on; None where these are not here."""
    for run in runs:
        about = run.results.get("suites", {}).get(suite, {})
        shards = about.get("shards", ())
        if shards and all(Path(shard).is_file() for shard in shards):
            asked: dict[str, tuple[str, str]] = {}
            for (*place, language, task), queries in run.queries.items():
                if (*place, task) == (suite, split, TASKS[0]):
                    for name, text in zip(queries.ids, queries.texts, strict=True):
                        asked.setdefault(name.rpartition("#")[0], (language, text))
            return EvaluatedPictures(ShardPictures(Reading(**about.get("reading", {})).expand(shards)), asked)
    return None


def thumbnail(data: bytes | None) -> str | None:
    """A data URI of the picture made small (WebP), None where there is none or it cannot be decoded.

    Args:
        data: an encoded raster image or an SVG; what is transparent becomes white.
    """
    if data is None:
        return None
    try:
        data = render_svg(data, SIDE) if is_svg(data) else data
        with open_image(data) as image:
            picture, _ = decode(image, SIDE)
    except ImageError:
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=_QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
