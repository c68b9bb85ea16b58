"""What becomes of a decoded image: open_clip's own augmentation and evaluation transform, on uint8 tensors.

Both map uint8 (3, h, w) to uint8 (3, H, W) with antialiased resizing. Any transform of torchvision v2 that does so
can stand in their place. Normalising is not done here but on the device.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from mmcs.errors import UserError

_INTERPOLATIONS = {
    "bicubic": v2.InterpolationMode.BICUBIC,
    "bilinear": v2.InterpolationMode.BILINEAR,
    "random": v2.InterpolationMode.BICUBIC,  # open_clip's name for "any while training", bicubic in evaluation
}
RESIZE_MODES = ("shortest", "longest", "squash")


def train_transform(
    size: int | tuple[int, int],
    *,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> nn.Module:
    """open_clip's default augmentation: a crop of a random share of the area (``scale``) and shape (``ratio``, width over
    height, its logarithm uniform), resized to ``size`` (H, W or one number for both), bicubic.

    Crops are distributed as those of torchvision's ``RandomResizedCrop``.
    """
    return _RandomResizedCrop(_pair(size), scale, ratio)


def eval_transform(
    size: int | tuple[int, int],
    *,
    interpolation: str = "bicubic",
    resize_mode: str = "shortest",
    fill_color: int = 0,
) -> nn.Module:
    """open_clip's evaluation transform; the names and values are those of a model's ``preprocess_cfg``.

    Args:
        size: (H, W), or one number for both.
        interpolation: "bicubic", "bilinear" or "random" (bicubic).
        resize_mode: "shortest" (resize the shorter side, crop the centre), "longest" (resize the longer side, pad
            with ``fill_color``) or "squash" (give up the aspect ratio).

    Raises:
        UserError: an unknown name.
    """
    for name, value, known in (
        ("interpolation", interpolation, _INTERPOLATIONS),
        ("resize_mode", resize_mode, RESIZE_MODES),
    ):
        if value not in known:
            raise UserError(f"{name} {value!r} is not known; it is one of {', '.join(known)}.")
    return _EvalTransform(_pair(size), _INTERPOLATIONS[interpolation], resize_mode, fill_color)


class _RandomResizedCrop(nn.Module):
    _TRIES = 10  # as in torchvision, before the largest central crop of an allowed shape is taken

    def __init__(self, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]) -> None:
        super().__init__()
        self.size = size
        self.scale = scale
        self.ratio = ratio

    def forward(self, image: Tensor) -> Tensor:
        return self.from_pixels(image.permute(1, 2, 0).numpy(), Random(int(torch.randint(1 << 62, ()))))

    def from_pixels(self, pixels: np.ndarray, draw: Random) -> Tensor:
        """The same of what a decoder gives, uint8 (h, w, 3), with draws from ``draw``.

        Right behind a decoder nothing else is in the processor's caches, and each small tensor call costs some 20 µs.
        """
        height, width = pixels.shape[:2]
        top, left, h, w = self._crop(height, width, draw)
        crop = np.ascontiguousarray(pixels[top : top + h, left : left + w])
        rows = torch.from_numpy(crop.reshape(1, h, w, 3)).permute(0, 3, 1, 2)
        return _interpolate(rows, self.size, v2.InterpolationMode.BICUBIC)

    def _crop(self, height: int, width: int, draw: Random) -> tuple[int, int, int, int]:
        """Top, left, height and width of a crop."""
        narrowest, widest = (math.log(ratio) for ratio in self.ratio)
        for _ in range(self._TRIES):
            area = height * width * draw.uniform(*self.scale)
            ratio = math.exp(draw.uniform(narrowest, widest))
            h, w = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < h <= height and 0 < w <= width:
                return draw.randrange(height - h + 1), draw.randrange(width - w + 1), h, w
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        h, w = min(height, round(width / ratio)), min(width, round(height * ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def extra_repr(self) -> str:
        return f"{self.size}, scale={self.scale}, ratio={self.ratio}"


class _EvalTransform(nn.Module):
    def __init__(
        self, size: tuple[int, int], interpolation: v2.InterpolationMode, resize_mode: str, fill_color: int
    ) -> None:
        super().__init__()
        self.size = size
        self.interpolation = interpolation
        self.resize_mode = resize_mode
        self.fill_color = fill_color
        if resize_mode == "shortest" and size[0] != size[1]:
            self.interpolation = v2.InterpolationMode.BICUBIC  # open_clip passes no other on for oblong sizes

    def forward(self, image: Tensor) -> Tensor:
        target = self._resized(*image.shape[-2:])
        image = _resize(image, target, self.interpolation)
        height, width = self.size
        down, right = max(0, height - target[0]), max(0, width - target[1])
        if down or right:
            padding = [right // 2, down // 2, (right + 1) // 2, (down + 1) // 2]
            image = functional.pad(image, padding, fill=self.fill_color)
        return functional.center_crop(image, [height, width])

    def _resized(self, h: int, w: int) -> tuple[int, int]:
        """Height and width of the whole image after resizing, rounded as open_clip (and torchvision there) does."""
        height, width = self.size
        if self.resize_mode == "squash":
            return height, width
        if self.resize_mode == "shortest" and height == width:
            return (height, int(height * w / h)) if h <= w else (int(width * h / w), width)
        ratios = (h / height, w / width)
        ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
        return max(1, round(h / ratio)), max(1, round(w / ratio))

    def extra_repr(self) -> str:
        return f"{self.size}, {self.interpolation.value}, {self.resize_mode}, fill_color={self.fill_color}"


def _resize(image: Tensor, size: tuple[int, int], interpolation: v2.InterpolationMode) -> Tensor:
    """Antialiased; rows of interleaved colours, as decoders give them, are what torch resizes fastest."""
    return _interpolate(image.unsqueeze(0).contiguous(memory_format=torch.channels_last), size, interpolation)


def _interpolate(rows: Tensor, size: tuple[int, int], interpolation: v2.InterpolationMode) -> Tensor:
    # Not torchvision's ``resize``: on uint8 it comes to this very call, some 40 µs later.
    return nn.functional.interpolate(rows, size=list(size), mode=interpolation.value, antialias=True)[0]


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
