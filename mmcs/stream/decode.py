"""The third stage: an image file's bytes → a uint8 tensor, through the transform that is given.

Which pixels a transform keeps is decided in ``transforms.py``; normalising is left to the device.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mmcs.common.image_formats import image_formats, unidentified
from mmcs.common.library_error import words_of
from mmcs.errors import UserError
from mmcs.stream.drops import BadSample
from mmcs.stream.tar import IMAGE_EXTENSIONS

_JPEG = b"\xff\xd8\xff"
_JPEG_FAST = ("YCbCr", "RGB", "Gray")
#: Encoders write about ten scans of a progressive JPEG. Each is a pass over all pixels, however few bytes it takes.
_MOST_SCANS = 100
_FULL_SCANS = 16  # of a picture with the largest number of pixels


def image_file(sample: dict[str, Any]) -> bytes:
    """The encoded image among a sample's "files".

    Raises:
        BadSample: "no image"; the detail names the files that there are.
    """
    files = sample["files"]
    image = getattr(files, "image", None) or next((name for name in IMAGE_EXTENSIONS if name in files), None)
    if image is None:
        names = ", ".join(f".{name}" for name in getattr(files, "names", files))
        raise BadSample("no image", f"its files are {names or 'none'}")
    return files[image]


class DecodeImage:
    """Sample stage: "files" → "image", uint8 (3, H, W) RGB.

    As in open_clip, EXIF rotation is not applied and an alpha channel is dropped, not composited; the first frame of
    an animation counts. Other than there, conversion to RGB comes before resizing, and 16-bit greyscale is scaled to
    8 bits (open_clip's conversion saturates it to white).

    Args:
        transform: uint8 (3, h, w) → uint8 (3, H, W); what it draws from torch's generator depends on
            (seed, pass, identity) alone. One that has a method ``from_pixels`` is given the decoder's array (h, w, 3)
            and a ``random.Random`` there instead.
        seed: of those draws.
        size: the (H, W) that the transform must give, where one is wanted.
        max_pixels: of the stored image, checked in its header before anything is decoded, and with it the passes over
            them that a progressive JPEG asks for.
        max_aspect: longer side over shorter; beyond it, resizing the shorter side would need absurd memory.

    Raises:
        BadSample: "no image", "undecodable image" or "image too large".
        UserError: the transform gives something else.
    """

    def __init__(
        self,
        transform: Callable[[Tensor], Tensor],
        *,
        seed: int = 0,
        size: tuple[int, int] | None = None,
        max_pixels: int = 64 << 20,
        max_aspect: int = 200,
    ) -> None:
        self.transform = transform
        self.seed = seed
        self.size = size
        self.max_pixels = max_pixels
        self.max_aspect = max_aspect

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        content = image_file(sample)
        del sample["files"]
        pixels = self.decode(content)
        drawn_from = f"{self.seed}/{sample['pass']}/{sample['identity']}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(blake2b(drawn_from, digest_size=8).digest(), "little")
        from_pixels = getattr(self.transform, "from_pixels", None)
        sample["image"] = (
            self._transformed(pixels, number) if from_pixels is None else from_pixels(pixels, Random(number))
        )
        self._check_result(sample["image"])
        return sample

    def _transformed(self, pixels: np.ndarray, number: int) -> Tensor:
        generator = torch.default_generator
        kept = generator.get_state()
        generator.manual_seed(number)
        try:
            return self.transform(torch.from_numpy(pixels).permute(2, 0, 1))
        finally:
            generator.set_state(kept)

    def decode(self, content: bytes) -> np.ndarray:
        """uint8 (h, w, 3) RGB of an image file.

        Raises:
            BadSample: as the class says.
        """
        scans = 1
        if content.startswith(_JPEG):
            scans = jpeg_scans(content)
            try:
                height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
                self.check_size(width, height, scans)
                if colours in _JPEG_FAST:
                    return simplejpeg.decode_jpeg(content, "RGB")
            except BadSample:
                raise
            except Exception:
                pass  # slightly damaged, or of a kind that only PIL reads: its verdict counts, as in open_clip
        return self._decode_any(content, scans)

    def _decode_any(self, content: bytes, scans: int) -> np.ndarray:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the limit is checked right below, and what PIL repairs is no news
                with Image.open(io.BytesIO(content), formats=image_formats()) as image:
                    self.check_size(*image.size, scans)
                    if image.mode.startswith("I"):
                        return np.repeat(_eight_bits(np.asarray(image))[:, :, None], 3, axis=2)
                    return np.array(image.convert("RGB"))
        except Image.DecompressionBombError as error:
            raise BadSample("image too large", words_of(error)) from None
        except BadSample:
            raise
        except UnidentifiedImageError:
            raise BadSample("undecodable image", unidentified(content)) from None
        except Exception as error:  # PIL's decoders raise nearly anything on damaged files
            raise BadSample("undecodable image", words_of(error)) from error

    def check_size(self, width: int, height: int, scans: int) -> None:
        """Raises BadSample ("image too large") for what is not decoded; ``scans`` as ``jpeg_scans`` counts them."""
        shorter, longer = sorted((width, height))
        if shorter < 1 or width * height > self.max_pixels or longer > self.max_aspect * shorter:
            raise BadSample("image too large", f"{width} x {height} pixels")
        if scans > _MOST_SCANS or scans * width * height > _FULL_SCANS * self.max_pixels:
            raise BadSample("image too large", f"{scans} scans of {width} x {height} pixels")

    def _check_result(self, image: Any) -> None:
        if isinstance(image, Tensor) and image.dtype == torch.uint8:
            shape = tuple(image.shape)
            if len(shape) == 3 and shape == (3, *(self.size or shape[1:])):
                return
        what = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        height, width = self.size or ("H", "W")
        raise UserError(
            f"The image transform {type(self.transform).__name__} gives {what}, not torch.uint8 (3, {height}, {width}): "
            "end it with a resize to the model's size, and leave scaling to floats and normalising to the device."
        )


def jpeg_scans(content: bytes) -> int:
    """How many scans a JPEG may have: 1 where its header says so, else not fewer than a decoder will find."""
    position, components = 2, 0
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif 0xC0 <= marker <= 0xC1 and position + 10 <= len(content):  # a frame that is not progressive
            components = content[position + 9]
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        elif marker == 0xDA and content[position + 4 : position + 5] == bytes([components]):
            return 1  # all colours in one scan: decoders read no other
        elif marker == 0xDA:
            break
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return max(1, content.count(b"\xff\xda"))


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """16-bit greyscale (h, w), however PIL stores it → uint8."""
    return (np.clip(grey, 0, 0xFFFF) >> 8).astype(np.uint8)
