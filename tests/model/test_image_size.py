"""``model.image_size``: pictures of another size, as open_clip builds the tower for them, or a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from test_tuning import with_timm, written

from mmcs.errors import UserError
from mmcs.export.open_clip import write_folder
from mmcs.model.build import build_towers
from mmcs.model.checkpoint import load_model


@pytest.mark.parametrize("size", [64, [32, 64]])
def test_positional_embeddings_are_interpolated_as_open_clip_does(size: Any, own_model: str, tmp_path: Path) -> None:
    """Of weights in a file and in a folder; an export has the size."""
    model = {"model_cfg": json.loads(Path(own_model).read_text())}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(model))
    weights = tmp_path / "open_clip_pytorch_model.bin"
    torch.save(build_towers(own_model).clip.state_dict(), weights)
    forced = tuple(size) if isinstance(size, list) else size
    expected = open_clip.create_model(f"local-dir:{tmp_path}", force_image_size=forced).eval()
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    for towers in (
        build_towers(own_model, str(weights), image_size=size),
        build_towers(str(tmp_path), image_size=size),
    ):
        assert towers.preprocess.size == (height, width)
        with torch.no_grad():
            found = expected.encode_image(towers.normalise(images), normalize=True)
            torch.testing.assert_close(towers.embed_images(images), found)
    (tmp_path / "export").mkdir()
    write_folder(towers, tmp_path / "export", "")
    again = load_model(tmp_path / "export").towers
    assert again.preprocess.size == (height, width)
    with torch.no_grad():
        torch.testing.assert_close(again.embed_images(images), towers.embed_images(images))


def test_convolutional_towers_take_other_sizes(hf_model: str, tmp_path: Path) -> None:
    assert build_towers(hf_model, image_size=48).preprocess.size == (48, 48)
    assert build_towers(written("resnet", tmp_path), image_size=96).preprocess.size == (96, 96)
    assert build_towers(with_timm("fastvit_t8", 64, tmp_path), image_size=96).preprocess.size == (96, 96)


@pytest.mark.parametrize("size", [0, -32, 1.5, True, "64", [32], [32, 0], []])
def test_a_size_is_a_number_of_pixels(size: Any, own_model: str) -> None:
    with pytest.raises(UserError, match="image_size is a number of pixels"):
        build_towers(own_model, image_size=size)


def test_sizes_that_a_tower_cannot_take_are_refused(own_model: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="multiples of 16 pixels"):
        build_towers(own_model, image_size=40)
    with pytest.raises(UserError, match="multiples of 32 pixels"):
        build_towers(written("resnet", tmp_path), image_size=48)
    transformer = written("timm transformer", tmp_path)
    assert build_towers(transformer, image_size=160).preprocess.size == (160, 160), "its own"
    with pytest.raises(UserError, match=r"image_size is 192, but .*timm's test_vit.* a size of its own, 160"):
        build_towers(transformer, image_size=192)
