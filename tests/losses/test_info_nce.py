"""InfoNCE against a naive loop and against open_clip; on one process and on real gloo processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.functional import normalize

from mmcs.losses.contrastive import ContrastiveLoss
from mmcs.losses.gather import gather
from mmcs.losses.info_nce import info_nce


def batch(n=12, d=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, d, generator=generator, dtype=torch.float64) for _ in range(2))
    groups = torch.tensor([0, 1, 2, 3, 1, 5, 6, 1, 8, 9, 5, 11][:n])
    return left, right, groups


def naive(left, right, groups, scale):
    left, right = normalize(left, dim=1), normalize(right, dim=1)
    total = 0.0
    for queries, gallery in ((left, right), (right, left)):
        for i in range(len(queries)):
            logits = [float(scale) * queries[i] @ gallery[j] for j in range(len(gallery))]
            log_sum = torch.logsumexp(torch.stack(logits), 0)
            positives = [j for j in range(len(gallery)) if groups[j] == groups[i]]
            total = total - sum(logits[j] - log_sum for j in positives) / len(positives)
    return total / (2 * len(left))


def test_equals_a_naive_loop_with_shared_groups():
    left, right, groups = batch()
    scale = torch.tensor(14.3)
    ours = info_nce(normalize(left, dim=1), normalize(right, dim=1), groups, scale)
    torch.testing.assert_close(ours.double(), naive(left, right, groups, scale), rtol=1e-5, atol=1e-6)


def test_equals_open_clip_where_groups_are_unique():
    from open_clip.loss import ClipLoss

    left, right, _ = batch()
    left, right = (normalize(x, dim=1).float().requires_grad_() for x in (left, right))
    scale = torch.tensor(14.3)
    ours = info_nce(left, right, torch.arange(len(left)), scale)
    theirs = ClipLoss()(left, right, scale)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(ours, (left, right)), torch.autograd.grad(theirs, (left, right)), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_an_empty_batch_has_no_loss_and_a_gradient_of_zero():
    left = torch.zeros(0, 4, requires_grad=True)
    loss = info_nce(left, left, torch.zeros(0, dtype=torch.int64), torch.tensor(10.0))
    loss.backward()
    assert loss == 0 and left.grad is not None


def test_terms_are_weighed_and_summed():
    left, right, groups = batch()
    left, right = normalize(left, dim=1), normalize(right, dim=1)
    scale = torch.tensor(5.0)
    terms = ContrastiveLoss(text_to_text=0.3)(left, [right, left.flip(0)], groups, scale)
    expected = terms["image_text_0"] + terms["image_text_1"] + 0.3 * terms["text_to_text"]
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["text_to_text"], info_nce(right, left.flip(0), groups, scale))


def _rank(rank, cuts, store, out):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=len(cuts) - 1)
    left, right, groups = batch()
    weight = torch.eye(8, dtype=torch.float64).requires_grad_()
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    own = slice(cuts[rank], cuts[rank + 1])
    images, texts = (normalize(x[own] @ weight, dim=1) for x in (left, right))
    terms = ContrastiveLoss(text_to_text=0.5)(images, [texts, texts.roll(0)], groups[own], scale)
    terms["loss"].backward()
    for value in (loss := terms["loss"].detach(), weight.grad, scale.grad):
        dist.all_reduce(value)
        value /= len(cuts) - 1
    gathered, start = gather(groups[own])
    assert torch.equal(gathered, groups) and start == cuts[rank]
    torch.save((loss, weight.grad, scale.grad), f"{out}/{rank}.pt")
    dist.destroy_process_group()


def test_loss_and_gradients_of_uneven_processes_equal_one_process(tmp_path):
    """Three gloo processes with 5, 0 and 7 of 12 samples, against the whole batch in one."""
    left, right, groups = batch()
    weight = torch.eye(8, dtype=torch.float64).requires_grad_()
    scale = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    images, texts = (normalize(x @ weight, dim=1) for x in (left, right))
    whole = ContrastiveLoss(text_to_text=0.5)(images, [texts, texts], groups, scale)["loss"]
    whole.backward()
    mp.spawn(_rank, args=([0, 5, 5, 12], tmp_path / "store", str(tmp_path)), nprocs=3)
    for rank in range(3):
        loss, weight_grad, scale_grad = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(loss, whole.detach().to(loss.dtype), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(weight_grad, weight.grad, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(scale_grad, scale.grad, rtol=1e-4, atol=1e-6)
