"""From a batch to embeddings: pictures that are mirrored on their device."""

from __future__ import annotations

import pytest
import torch
from tiny_models import write_own_model

from mmcs.model.build import build_towers
from mmcs.model.embed import embed_images


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_marked_pictures_are_mirrored_and_no_others(tmp_path, layout):
    towers = build_towers(write_own_model(tmp_path))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8).contiguous(memory_format=layout)
    kept, flip = images.clone(), [True, False, False, True]
    mirrored = torch.stack([image.flip(-1) if marked else image for image, marked in zip(images, flip, strict=True)])
    plain = embed_images(towers, {"image": images})
    torch.testing.assert_close(embed_images(towers, {"image": images, "flip": flip}), towers.embed_images(mirrored))
    assert torch.equal(embed_images(towers, {"image": images, "flip": [False] * 4}), plain)
    assert torch.equal(images, kept), "the batch stays as it was"
    assert embed_images(towers, {"image": images[:0], "flip": []}).shape == (0, plain.shape[1])
