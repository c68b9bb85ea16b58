"""WiSE-FT: the line between two weights, and the choice on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tuned import embeddings, lora

from mmcs.errors import UserError
from mmcs.model.build import build_towers
from mmcs.model.lora import merged
from mmcs.model.wise_ft import check_alphas, choose, interpolate


def ends(model: dict[str, Any]) -> tuple[Any, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Towers, their weights at the start, and others."""
    towers = build_towers(**model)
    start = {name: value.clone() for name, value in towers.trainable_state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    tuned = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value + 3
        for name, value in start.items()
    }
    return towers, start, tuned


def test_the_ends_of_the_line_are_exact_and_between_them_all_weights_are_mixed(hf_model: str) -> None:
    _, start, tuned = ends({"name": hf_model})
    for alpha, end in ((0.0, start), (1.0, tuned)):
        for name, value in interpolate(start, tuned, alpha).items():
            assert torch.equal(value, end[name] if value.is_floating_point() else tuned[name]), name
    for name, value in interpolate(start, tuned, 0.3).items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.7 * start[name] + 0.3 * tuned[name])


def test_of_adapters_it_is_the_merged_weights_that_lie_on_the_line(own_model: str) -> None:
    towers, start, tuned = ends({"name": own_model, "lora": lora()})
    plain = {}
    for alpha in (0.0, 0.3, 1.0):
        towers.load_trainable_state_dict(interpolate(start, tuned, alpha))
        plain[alpha] = merged(towers).clip.state_dict()
    for name, value in plain[0.3].items():
        torch.testing.assert_close(value, 0.7 * plain[0.0][name] + 0.3 * plain[1.0][name], atol=1e-6, rtol=1e-5)
    towers.load_trainable_state_dict(interpolate(start, tuned, 0.0))
    torch.testing.assert_close(embeddings(towers), embeddings(build_towers(own_model)), atol=1e-6, rtol=0)


def test_the_best_by_the_monitored_figure_is_chosen_and_all_are_told(tmp_path: Path, capsys: Any) -> None:
    en, other = "val/set/en/image_retrieval_recall@10", "val/set/non_english/image_retrieval_recall@10"

    def measure(alpha: float) -> dict[str, float]:
        return {en: 0.9 - 0.1 * alpha, other: {0.0: 0.2, 0.5: 0.4, 0.75: 0.4, 1.0: 0.3}[alpha]}

    best, figure = choose([0, 0.5, 0.75, 1], measure, monitor=other, folder=tmp_path)
    assert (best, figure) == (0.75, 0.4), "of equals the nearest to what was trained"
    told = json.loads((tmp_path / "wise_ft.json").read_text())
    assert told["best"] == 0.75 and told["monitor"] == other
    assert [(point["alpha"], point[other]) for point in told["points"]] == [(0, 0.2), (0.5, 0.4), (0.75, 0.4), (1, 0.3)]
    assert (tmp_path / "wise_ft.png").read_bytes().startswith(b"\x89PNG")
    assert "0.75 *" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("alphas", "validated", "sentence"),
    [
        ([0, 2], True, "from 0"),
        ([], True, "from 0"),
        ("all", True, "from 0"),
        (0.5, True, "from 0"),
        ([0.5], False, "eval.val"),
    ],
)
def test_mistakes_get_one_sentence(alphas: Any, validated: bool, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_alphas(alphas, validated)
    check_alphas(None, False)
