"""How pictures vary in training: what ``data.augment`` sets → the sample stages that do it.

The crop is ``transforms.py``'s, decoding ``decode.py``'s, mirroring ``flip.py``'s. Called by the datamodules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from mmcs.errors import UserError
from mmcs.stream.decode import DecodeImage
from mmcs.stream.flip import RandomFlip
from mmcs.stream.transforms import train_transform


@dataclass(frozen=True)
class Augment:
    """The defaults are open_clip's.

    Attributes:
        scale: the least and the largest share of the picture's area that a random crop keeps.
        flip: share of pictures that are mirrored (on the device).
        transform: takes the place of the crop: uint8 (3, h, w) -> uint8 (3, H, W) of the tower's size, such as a
            ``torchvision.transforms.v2.Compose``; it draws from torch's generator.

    Raises:
        UserError: a share out of range, or no callable.
    """

    scale: Sequence[float] = (0.9, 1.0)
    flip: float = 0.0
    transform: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        numbers = [value for value in self.scale if isinstance(value, int | float)]
        if len(self.scale) != 2 or len(numbers) != 2 or not 0 < numbers[0] <= numbers[1] <= 1:
            raise UserError(f"data.augment.scale is two shares [low, high] between 0 and 1; got {list(self.scale)}.")
        if not isinstance(self.flip, int | float) or not 0 <= self.flip <= 1:
            raise UserError(f"data.augment.flip is a share between 0 and 1; got {self.flip!r}.")
        if self.transform is not None and not callable(self.transform):
            raise UserError("data.augment.transform is a torchvision.transforms.v2 transform, named by its _target_.")

    def stages(self, size: tuple[int, int], seed: int) -> list[DecodeImage | RandomFlip]:
        """The sample stages for pictures of ``size`` (H, W); their draws depend on (seed, pass, identity)."""
        transform = self.transform or train_transform(size, scale=(self.scale[0], self.scale[1]))
        decode = DecodeImage(transform, seed=seed, size=size)
        return [decode, RandomFlip(self.flip, seed)] if self.flip else [decode]
