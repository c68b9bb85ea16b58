"""Options of commands that walk over shards: where captions and pictures are found, as ``data.train_shards`` names them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmcs.stream.sources import Reading


def add_reading(
    parser: argparse.ArgumentParser, of: str = "the shards", *, pictures: bool = True, language: bool = True
) -> None:
    """Adds the options that ``reading_of`` reads; without ``pictures`` or ``language``, not those of them."""
    parser.add_argument(
        "--caption",
        metavar="FIELD",
        help=f"where the captions of {of} are: a key of the .json (text, captions.blip2) or a file (.cap); default: the .txt",
    )
    parser.add_argument("--caption-lines", action="store_true", help="each line of such a text is a caption of its own")
    if language:
        parser.add_argument(
            "--text-language",
            default="en",
            metavar="TAG",
            help="of these captions, as data.text_language (default: en)",
        )
    if pictures:
        parser.add_argument(
            "--image-extensions",
            metavar="A,B",
            help="extensions of the pictures, the preferred first, such as input.jpg,img (as data.image_extensions)",
        )


def reading_of(args: argparse.Namespace) -> Reading:
    """What a user asked for.

    Raises:
        UserError: a text language that is none, or another value that makes no sense.
    """
    from mmcs.common.language_tags import language_tag
    from mmcs.stream.sources import Reading

    images = getattr(args, "image_extensions", None)
    return Reading(
        caption=args.caption,
        caption_lines=args.caption_lines,
        images=images.split(",") if images else None,
        text_language=language_tag(getattr(args, "text_language", "en")),
    )
