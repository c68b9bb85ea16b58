"""The two transforms against open_clip's own, pixel by pixel."""

from __future__ import annotations

import io
from random import Random

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image, ImageDraw
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
    ours = transform.from_pixels(image.permute(1, 2, 0).numpy(), Random(0))
    top, left, h, w = transform._crop(height, width, Random(0))
    pil = Image.open(io.BytesIO(data))
    theirs = pil_functional.resized_crop(pil, top, left, h, w, [224, 224], v2.InterpolationMode.BICUBIC)
    assert psnr(ours, np.asarray(theirs)) > 50
    assert ours.shape == (3, 224, 224)


@pytest.mark.parametrize("scale", [(0.9, 1.0), (0.2, 1.0)])
@pytest.mark.parametrize(("height", "width"), [(300, 400), (100, 640)])
def test_training_crops_are_distributed_as_torchvisions(scale, height, width):
    """Means and quartiles of top, left, height and width over many crops."""
    torch.manual_seed(0)
    draw = Random(0)
    ours = np.array([train_transform(224, scale=scale)._crop(height, width, draw) for _ in range(1000)], float)
    theirs_from = v2.RandomResizedCrop(224, scale=scale)
    image = torch.empty((3, height, width), dtype=torch.uint8)
    crops = [theirs_from.make_params([image]) for _ in range(1000)]
    theirs = np.array([[crop[name] for name in ("top", "left", "height", "width")] for crop in crops], float)
    reach = np.array([height, width, height, width])
    assert (np.abs(ours.mean(0) - theirs.mean(0)) / reach < 0.03).all()
    assert (np.abs(np.quantile(ours, [0.25, 0.75], 0) - np.quantile(theirs, [0.25, 0.75], 0)) / reach < 0.06).all()


def photo(width: int, height: int) -> Image.Image:
    """Grain at every scale, as photographs have it."""
    draw = np.random.default_rng(7)
    total = np.full((height, width, 3), 120.0)
    for grain in (64, 16, 4, 1):
        cells = draw.normal(size=(-(-height // grain), -(-width // grain), 3)) * 8 * grain**0.4
        total += cells.repeat(grain, 0).repeat(grain, 1)[:height, :width]
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def graphic(width: int, height: int) -> Image.Image:
    """Hard edges between saturated colours: the hardest there is for a decoder's chroma."""
    draw = np.random.default_rng(8)
    image = Image.new("RGB", (width, height), (255, 0, 0))
    pen = ImageDraw.Draw(image)
    for left, top, w, h in draw.integers(0, (width, height, 60, 60), (60, 4)).tolist():
        pen.rectangle((left, top, left + w, top + h), fill=tuple(draw.choice([0, 255], 3).tolist()))
    return image


KINDS = {
    "jpeg 4:2:0": ("JPEG", "RGB", {"quality": 90, "subsampling": 2}),
    "jpeg 4:2:2": ("JPEG", "RGB", {"quality": 90, "subsampling": 1}),
    "jpeg 4:4:4": ("JPEG", "RGB", {"quality": 75, "subsampling": 0}),
    "jpeg grey": ("JPEG", "L", {}),
    "jpeg progressive": ("JPEG", "RGB", {"progressive": True, "quality": 85}),
    "jpeg cmyk": ("JPEG", "CMYK", {}),
    "png": ("PNG", "RGB", {}),
    "png alpha": ("PNG", "RGBA", {}),
    "png palette": ("PNG", "P", {}),
    "png one bit": ("PNG", "1", {}),
    "webp": ("WEBP", "RGB", {"quality": 80}),
    "webp alpha": ("WEBP", "RGBA", {"lossless": True}),
    "gif": ("GIF", "P", {}),
    "bmp": ("BMP", "RGB", {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [photo, graphic])
@pytest.mark.parametrize(("width", "height"), [(320, 256), (640, 480)])
def test_a_training_picture_is_open_clips_for_the_same_crop(kind, make, width, height, monkeypatch):
    """From the file on: its own path (webdataset's "pilrgb", then its transform) with its crop replaced by ours."""
    form, mode, options = KINDS[kind]
    image = make(width, height).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    transform = train_transform(224)
    ours = transform.from_pixels(DecodeImage(transform).decode(buffer.getvalue()), Random(3))
    crop = transform._crop(height, width, Random(3))
    theirs = image_transform(224, is_train=True)
    theirs.transforms = theirs.transforms[:-1]  # without normalising
    monkeypatch.setattr(theirs.transforms[0], "get_params", lambda *_: crop, raising=True)
    pil = Image.open(buffer)
    pil.load()
    expected = theirs(pil.convert("RGB")) * 255
    assert psnr(ours, expected.round().permute(1, 2, 0).numpy()) > 50


def test_a_16_bit_picture_is_the_same_picture_in_8_bits():
    """There open_clip's conversion saturates: nearly all of it turns white."""
    grey = np.asarray(photo(320, 256).convert("L"))
    files = []
    for values in (grey, grey.astype(np.uint16) * 257):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        files.append(buffer.getvalue())
    transform = train_transform(224)
    eight, sixteen = (transform.from_pixels(DecodeImage(transform).decode(data), Random(3)) for data in files)
    assert psnr(sixteen, eight.permute(1, 2, 0).numpy()) > 50


def test_unknown_names_list_the_known():
    with pytest.raises(UserError, match="shortest, longest, squash"):
        eval_transform(224, resize_mode="widest")
    with pytest.raises(UserError, match="bicubic, bilinear, random"):
        eval_transform(224, interpolation="nearest")
