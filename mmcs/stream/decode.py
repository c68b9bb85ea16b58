"""The third stage: an image file's bytes → a uint8 tensor, through the transform that is given.

Which pixels a transform keeps is decided in ``transforms.py``; normalising is left to the device.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from mmcs.stream.drops import BadSample
from mmcs.stream.read import IMAGE_EXTENSIONS

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # no other decoder of PIL is ever run on what comes in
_JPEG = b"\xff\xd8\xff"
_JPEG_FAST = ("YCbCr", "RGB", "Gray")


def image_file(sample: dict[str, Any]) -> bytes:
    """The encoded image among a sample's "files".

    Raises:
        BadSample: "no image".
    """
    files = sample["files"]
    content = next((files[extension] for extension in IMAGE_EXTENSIONS if extension in files), None)
    if content is None:
        raise BadSample("no image")
    return content


class DecodeImage:
    """Sample stage: "files" → "image", uint8 (3, H, W) RGB.

    As in open_clip, EXIF rotation is not applied and an alpha channel is dropped, not composited; the first frame of
    an animation counts. Other than there, conversion to RGB comes before resizing, and 16-bit greyscale is scaled to
    8 bits (open_clip's conversion saturates it to white).

    Args:
        transform: uint8 (3, h, w) → uint8 (3, H, W); what it draws from torch's generator depends on
            (seed, epoch, identity) alone.
        seed: of those draws.
        max_pixels: of the stored image, checked in its header before anything is decoded.
        max_aspect: longer side over shorter; beyond it, resizing the shorter side would need absurd memory.

    Raises:
        BadSample: "no image", "undecodable image" or "image too large".
    """

    def __init__(
        self,
        transform: Callable[[Tensor], Tensor],
        *,
        seed: int = 0,
        max_pixels: int = 64 << 20,
        max_aspect: int = 200,
    ) -> None:
        self.transform = transform
        self.seed = seed
        self.max_pixels = max_pixels
        self.max_aspect = max_aspect

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        content = image_file(sample)
        del sample["files"]
        image = torch.from_numpy(self.decode(content)).permute(2, 0, 1)
        drawn_from = f"{self.seed}/{sample['epoch']}/{sample['identity']}".encode()
        generator = torch.default_generator
        kept = generator.get_state()
        generator.manual_seed(int.from_bytes(blake2b(drawn_from, digest_size=8).digest(), "little"))
        try:
            sample["image"] = self.transform(image)
        finally:
            generator.set_state(kept)
        return sample

    def decode(self, content: bytes) -> np.ndarray:
        """uint8 (h, w, 3) RGB of an image file.

        Raises:
            BadSample: as the class says.
        """
        if content.startswith(_JPEG):
            try:
                height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
                self._check_size(width, height)
                if colours in _JPEG_FAST:
                    return simplejpeg.decode_jpeg(content, "RGB")
            except ValueError:
                pass  # slightly damaged, or of a kind that only PIL reads: its verdict counts, as in open_clip
        return self._decode_any(content)

    def _decode_any(self, content: bytes) -> np.ndarray:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit is checked right below
                image = Image.open(io.BytesIO(content), formats=_FORMATS)
            self._check_size(*image.size)
            if image.mode.startswith("I"):
                return np.repeat(_eight_bits(np.asarray(image))[:, :, None], 3, axis=2)
            return np.array(image.convert("RGB"))
        except Image.DecompressionBombError as error:
            raise BadSample("image too large", str(error)) from None
        except BadSample:
            raise
        except Exception as error:  # PIL's decoders raise nearly anything on damaged files
            raise BadSample("undecodable image", f"{type(error).__name__}: {error}") from error

    def _check_size(self, width: int, height: int) -> None:
        shorter, longer = sorted((width, height))
        if shorter < 1 or width * height > self.max_pixels or longer > self.max_aspect * shorter:
            raise BadSample("image too large", f"{width} x {height} pixels")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """16-bit greyscale (h, w), however PIL stores it → uint8."""
    return (np.clip(grey, 0, 0xFFFF) >> 8).astype(np.uint8)
