"""The two transforms against open_clip's own, pixel by pixel."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image
from stream_shards import jpeg
from torchvision.transforms import functional as pil_functional
from torchvision.transforms import v2

from mmcs.errors import UserError
from mmcs.stream.decode import DecodeImage
from mmcs.stream.transforms import eval_transform, train_transform

SHAPES = [(300, 400), (480, 361), (224, 224), (97, 640), (50, 40), (225, 223)]


def psnr(ours: torch.Tensor, theirs: np.ndarray) -> float:
    difference = ours.permute(1, 2, 0).numpy().astype(float) - theirs
    return 10 * np.log10(255**2 / max((difference**2).mean(), 1e-9))


@pytest.mark.parametrize("size", [224, (224, 160)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "random"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_evaluation_is_open_clips(size, interpolation, mode):
    theirs = image_transform(
        size, is_train=False, mean=0.0, std=1.0, resize_mode=mode, interpolation=interpolation, fill_color=9
    )
    theirs.transforms = theirs.transforms[:-1]  # without normalising
    ours = eval_transform(size, interpolation=interpolation, resize_mode=mode, fill_color=9)
    decode = DecodeImage(ours)
    for height, width in SHAPES:
        data = jpeg(height, width, height)
        image = torch.from_numpy(decode.decode(data)).permute(2, 0, 1)
        expected = (theirs(Image.open(io.BytesIO(data))) * 255).round().permute(1, 2, 0).numpy()
        assert psnr(ours(image), expected) > 50, (height, width)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_training_crop_is_pils_resize_of_the_same_crop(height, width):
    transform = train_transform(224)
    data = jpeg(height, width, height)
    image = torch.from_numpy(DecodeImage(transform).decode(data)).permute(2, 0, 1)
    torch.manual_seed(0)
    ours = transform(image)
    torch.manual_seed(0)
    top, left, h, w = transform._crop(height, width)
    pil = Image.open(io.BytesIO(data))
    theirs = pil_functional.resized_crop(pil, top, left, h, w, [224, 224], v2.InterpolationMode.BICUBIC)
    assert psnr(ours, np.asarray(theirs)) > 50
    assert ours.shape == (3, 224, 224)


@pytest.mark.parametrize("scale", [(0.9, 1.0), (0.2, 1.0)])
@pytest.mark.parametrize(("height", "width"), [(300, 400), (100, 640)])
def test_training_crops_are_distributed_as_torchvisions(scale, height, width):
    """Means and quartiles of top, left, height and width over many crops."""
    torch.manual_seed(0)
    ours = np.array([train_transform(224, scale=scale)._crop(height, width) for _ in range(1000)], float)
    theirs_from = v2.RandomResizedCrop(224, scale=scale)
    image = torch.empty((3, height, width), dtype=torch.uint8)
    crops = [theirs_from.make_params([image]) for _ in range(1000)]
    theirs = np.array([[crop[name] for name in ("top", "left", "height", "width")] for crop in crops], float)
    reach = np.array([height, width, height, width])
    assert (np.abs(ours.mean(0) - theirs.mean(0)) / reach < 0.03).all()
    assert (np.abs(np.quantile(ours, [0.25, 0.75], 0) - np.quantile(theirs, [0.25, 0.75], 0)) / reach < 0.06).all()


def test_unknown_names_list_the_known():
    with pytest.raises(UserError, match="shortest, longest, squash"):
        eval_transform(224, resize_mode="widest")
    with pytest.raises(UserError, match="bicubic, bilinear, random"):
        eval_transform(224, interpolation="nearest")
