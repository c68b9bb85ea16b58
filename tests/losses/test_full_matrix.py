"""InfoNCE and SigLIP on one process: any strips, any duplicates, any precision are the naive full matrix; memory is a strip's."""

from __future__ import annotations

import subprocess
import sys

import naive_losses as naive
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn.functional import normalize

from mmcs.losses import strips
from mmcs.losses.info_nce import info_nce
from mmcs.losses.siglip import siglip

LOSSES = {
    "info_nce": (
        lambda left, right, labels, scale, bias: info_nce(left, right, labels, scale),
        lambda left, right, together, scale, bias: naive.info_nce(left, right, scale, together) + 0 * bias,
        lambda left, right, scale, bias: ClipLoss()(left, right, scale) + 0 * bias,
    ),
    "siglip": (
        siglip,
        lambda left, right, together, scale, bias: naive.siglip(left, right, scale, bias, together),
        lambda left, right, scale, bias: SigLipLoss()(left, right, scale, bias),
    ),
}
both = pytest.mark.parametrize("name", list(LOSSES))


def leaves(samples, seed, dtype=torch.float64, width=5):
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        normalize(torch.randn(samples, width, generator=generator, dtype=torch.float64), dim=1) for _ in range(2)
    )
    values = {"left": left.to(dtype), "right": right.to(dtype), "scale": torch.tensor(11.0), "bias": torch.tensor(-1.7)}
    return {
        key: value.to(dtype if value.ndim else max_precision(dtype)).requires_grad_() for key, value in values.items()
    }


def max_precision(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def of(name, values, labels, which=0):
    left, right, scale, bias = values.values()
    return naive.gradients(LOSSES[name][which](left, right, labels, scale, bias), values)


@both
@settings(max_examples=60)
@given(data=st.data())
def test_any_strips_and_labels(name, data):
    """Loss and every gradient, in float64."""
    labels = data.draw(
        st.lists(st.lists(st.integers(0, 6), min_size=2, max_size=2), min_size=1, max_size=9).map(torch.tensor)
    )
    values = leaves(len(labels), data.draw(st.integers(0, 99)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(strips._LOGITS, "cpu", data.draw(st.integers(1, 100)))
        found = of(name, values, labels)
    torch.testing.assert_close(found, of(name, values, naive.positives(labels, labels), which=1))


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_open_clip_where_all_are_unique(name, dtype):
    values = leaves(37, seed=0, dtype=dtype)
    left, right, scale, bias = values.values()
    theirs = naive.gradients(LOSSES[name][2](left, right, scale, bias), values)
    labels = torch.stack([torch.arange(37), torch.arange(37).flip(0)], dim=1)
    torch.testing.assert_close(of(name, values, labels), theirs, rtol=1e-5, atol=1e-6)


@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_embeddings_are_computed_in_float32(name, dtype):
    """Under autocast, too; the gradients come back in the precision of the embeddings, the loss in float32."""
    values = leaves(20, seed=1, dtype=dtype)
    exact = {key: value.detach().float().requires_grad_() for key, value in values.items()}
    labels = torch.arange(20)[:, None] % 17
    with torch.autocast("cpu", torch.bfloat16):
        found = of(name, values, labels)
    expected = of(name, exact, naive.positives(labels, labels), which=1)
    torch.testing.assert_close(found["loss"], expected["loss"])
    assert found["left"].dtype == found["right"].dtype == dtype
    for key in values:
        torch.testing.assert_close(found[key].float(), expected[key], rtol=1e-2, atol=1e-4)


@both
def test_a_scaled_loss_has_scaled_gradients_as_often_as_asked(name):
    """What GradScaler does; and nothing that the backward pass needs is changed by it."""
    values = leaves(12, seed=2)
    left, right, scale, bias = values.values()
    loss = LOSSES[name][0](left, right, torch.arange(12)[:, None], scale, bias)
    plain, scaled = (
        torch.autograd.grad(loss * factor, list(values.values()), retain_graph=True, materialize_grads=True)
        for factor in (1, 1024)
    )
    torch.testing.assert_close(scaled, tuple(gradient * 1024 for gradient in plain))


@both
def test_an_empty_batch_has_no_loss_and_gradients_of_zero(name):
    values = leaves(0, seed=0)
    found = of(name, values, torch.zeros(0, 3, dtype=torch.int64))
    assert found["loss"] == 0 and found["scale"] == 0 and found["left"].shape == (0, 5)


@both
def test_a_batch_of_one_concept_has_no_negative(name):
    """All are positives of each other: at InfoNCE's optimum, equal embeddings, nothing is left to learn."""
    values = leaves(8, seed=3)
    found = of(name, values, torch.zeros(8, 1, dtype=torch.int64))
    torch.testing.assert_close(found, of(name, values, torch.ones(8, 8, dtype=torch.bool), which=1))


MEASURE = """
import torch
from torch.nn.functional import normalize
from mmcs.losses.info_nce import info_nce
from mmcs.losses.siglip import siglip
torch.set_num_threads(1)

def once(samples):
    left, right = (normalize(torch.randn(samples, 16), dim=1).requires_grad_() for _ in range(2))
    labels, scale, bias = torch.arange(samples)[:, None], torch.tensor(10.0), torch.tensor(-5.0)
    info_nce(left, right, labels, scale).backward()
    siglip(left, right, labels, scale, bias).backward()

def kib(entry):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(entry + ":"))

once(64)
before = kib("VmRSS")
once(8192)
print(kib("VmHWM") - before)  # not ru_maxrss, which begins at that of the process that started this one
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_far_below_a_matrix():
    """8,192 samples: one matrix of logits alone would be 256 MiB, and open_clip's loss holds several."""
    ran = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 128 * 2**10
