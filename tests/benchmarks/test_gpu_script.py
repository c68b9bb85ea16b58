"""The GPU's benchmark, as far as it can be tried without one: what it says, what it counts, and a whole run at tiny shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_jobs, random_models

ROOT = Path(__file__).parents[2]


def script(*arguments):
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


def test_without_a_gpu_it_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path / "out.json")])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 2
    told = capsys.readouterr().err
    assert "--device cpu" in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [0, 7, 8, 15, 16, 17, 100, 127, 128, 500, 5000])
def test_the_largest_batch_is_found_to_an_eighth_and_never_above_the_limit(limit):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= limit

    found = gpu_jobs.largest(fits, start=8, most=1024)
    assert found <= min(limit, 1024) and max(tried) <= 1024
    assert found > min(limit, 1024) * 8 / 9 - 1 or (limit < 8 and found == 0)
    assert len(tried) <= 8 + 3


def test_what_does_not_fit_in_memory_is_a_dash_and_not_a_figure(monkeypatch):
    def too_large(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("open_clip.loss.ClipLoss.forward", too_large)
    plan = gpu.Plan.of("cpu", quick=True)
    time, *_ = gpu.losses(plan, {})
    assert time["ours"] > 0 and time["peer"] is None and time["ratio"] is None
    assert time["peer_name"] == "open_clip ClipLoss, float32; out of memory: peer"
    assert gpu.paragraph({**gpu.machine("cpu"), "failed": [], "rows": [time]}).splitlines()[-1].count("—") == 2


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 GiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"), False),
    ],
    ids=["torch", "cublas", "another"],
)
def test_want_of_memory_ends_the_search_and_other_errors_end_the_job(monkeypatch, error, lacks):
    def ours(setting):
        if setting.batch_size > 8:
            raise error

    monkeypatch.setattr(gpu_jobs, "ours", ours)
    job = ("largest_of_ours", {"setting": {"model": "", "device": "cpu", "batch_size": 8, "steps": 1}, "most": 64})
    if lacks:
        assert gpu_jobs.do(*job) == {"batch": 8}
    else:
        with pytest.raises(RuntimeError, match="mat1"):
            gpu_jobs.do(*job)


def test_a_row_is_of_medians_and_its_ratio_says_which_is_better():
    faster = gpu.row("a", [2.0, 30.0, 4.0], [1.0, 10.0, 1.0], "1/s", "peer", more=True)
    assert (faster["ours"], faster["peer"], faster["ratio"]) == (4.0, 1.0, 3.0)
    assert gpu.row("a", [2.0], [8.0], "s", "peer")["ratio"] == 4.0
    assert gpu.row("a", [2.0, None], [8.0, 8.0], "s", "peer")["ours"] is None


def test_operations_are_counted_forward_and_backward(tmp_path):
    """Against a count by hand of what dominates: per layer and token 12 w² weights and two products of its w numbers with those
    of every token, two operations each, three times (once forward, twice backward).
    """
    width, layers, tokens = 128, 8, 77
    model = random_models.write_models(tmp_path, tiny=True)["ViT-B-16"]
    config = json.loads(model.read_text())
    config["text_cfg"] |= {"width": width, "layers": layers}
    model.write_text(json.dumps(config))
    setting = {"model": str(model), "device": "cpu", "batch_size": 4, "steps": 1}
    counted = gpu_jobs.do("flops", {"setting": setting})["per_sample"]
    by_hand = 3 * 2 * (12 * width**2 + 2 * width * tokens) * layers * tokens
    assert by_hand < counted < 1.05 * by_hand  # the image tower, and logits that attention makes again backward


def test_a_job_is_a_process_of_its_own_that_prints_what_it_measured():
    command = [sys.executable, "-m", "benchmarks.gpu_jobs", "peak", json.dumps({"device": "cpu", "size": 64})]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    assert json.loads(ran.stdout.splitlines()[-1])["tflops"] > 0


@pytest.mark.slow
def test_a_trial_on_a_cpu_measures_all_parts(tmp_path):
    ran = script("--device", "cpu", "--quick", "--out", str(tmp_path / "out.json"))
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads((tmp_path / "out.json").read_text())
    rows = {row["name"]: row for row in told["rows"]}
    for model in ("xlm-roberta-base-ViT-B-32", "ViT-B-16"):
        assert rows[f"gpu_{model}_step"]["ratio"] > 0
        assert 0 < rows[f"gpu_{model}_on_device_share_of_peak"]["ratio"] < 1
        assert rows[f"gpu_{model}_largest_batch_in_chunks"]["ours"] == 8  # as many as are tried
    assert rows["gpu_infonce_256_time"]["ours"] > 0
    assert "no figures to report" in told["device"] and told["versions"]["torch"]
    assert "| `gpu_ViT-B-16_step` |" in ran.stdout
