"""One step's loss and gradients: on several processes and in chunks they are those of the whole batch in one pass."""

from __future__ import annotations

import pytest
import shared_gradients as shared
import torch
import torch.multiprocessing as mp

from mmcs.model.embed import _chunks, embed_in_chunks


@pytest.fixture(scope="module")
def whole(own_model):
    """The whole batch at once on one process, by setting."""
    found = {}
    for setting in shared.SETTINGS:
        module = shared.build(own_model, setting, None, shared.SAMPLES)
        found[setting] = shared.gradients(shared.Step(module), module, shared.batch_of(module, slice(None)))
    return found


def assert_same(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}", **tolerance)


@pytest.mark.parametrize("chunk_size", [1, 3, 10])
@pytest.mark.parametrize("setting", list(shared.SETTINGS))
def test_chunks_have_the_gradients_of_the_whole_batch(own_model, whole, setting, chunk_size):
    module = shared.build(own_model, setting, chunk_size, shared.SAMPLES)
    found = shared.gradients(shared.Step(module), module, shared.batch_of(module, slice(None)))
    assert_same(found, whole[setting], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("cuts", [[0, 5, 10], [0, 3, 3, 8, 10]], ids=["two processes", "four, one of them empty"])
def test_processes_have_the_gradients_of_the_whole_batch(own_model, whole, tmp_path, cuts):
    """Under DistributedDataParallel, in one pass and in chunks, for every loss."""
    mp.start_processes(
        shared.process, (cuts, own_model, [None, 2], str(tmp_path)), nprocs=len(cuts) - 1, start_method="spawn"
    )
    for setting in shared.SETTINGS:
        for chunk_size in (None, 2):
            found = torch.load(tmp_path / f"{setting}-{chunk_size}.pt", weights_only=True)
            assert_same(found, whole[setting], rtol=1e-8, atol=1e-12)


def test_chunks_replay_dropout(hf_model):
    """The second pass draws as the first did: gradients are those of passing each chunk once and keeping everything."""
    module = shared.build(hf_model, "info_nce", 4, 10, image_dropout=0.4, text_dropout=0.4)
    module.towers.train()
    for layer in module.towers.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.eval()  # its statistics would be a chunk's
    batch = shared.batch_of(module, slice(None))
    torch.manual_seed(3)
    found = shared.gradients(shared.Step(module), module, batch)
    module.zero_grad()
    torch.manual_seed(3)
    parts = [module.towers(chunk) for chunk in _chunks(batch, 3)]
    views = [torch.cat(view) for view in zip(*(part.views for part in parts), strict=True)]
    kept = parts[0]._replace(images=torch.cat([part.images for part in parts]), views=views)
    loss = module.loss(module._embedded(batch, kept))["loss"]
    loss.backward()
    torch.testing.assert_close(found["loss"], loss.detach())
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_chunks_under_bf16_are_the_whole_batch_under_bf16(own_model):
    """Mixed precision: autocast holds in the second pass, too."""
    found = []
    for chunk_size in (None, 4):
        module = shared.build(own_model, "every term", chunk_size, shared.SAMPLES).float()
        with torch.autocast("cpu", torch.bfloat16):
            loss = shared.Step(module)(shared.batch_of(module, slice(None)))
        loss.backward()
        found.append({name: p.grad for name, p in module.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        error = (found[1][name] - value).norm() / value.norm().clamp(min=1e-6)
        assert error < 0.05, f"{name}: {error:.3f}"


def test_memory_is_that_of_a_chunk(own_model):
    """What is kept for the backward pass grows with the chunk, not with the batch."""

    def kept(samples: int, chunks: int) -> int:
        module = shared.build(own_model, "info_nce", None, samples)
        images = torch.randint(0, 256, (samples, 3, 32, 32), dtype=torch.uint8)
        tokens = module.towers.tokenise.encode(["a dog"] * samples)
        held: dict[int, int] = {}

        def note(tensor):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        own = {p.untyped_storage().data_ptr() for p in module.parameters()} | {images.data_ptr(), tokens.data_ptr()}
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            if chunks == 1:
                module.towers({"image": images, "tokens": [tokens]})
            else:
                embed_in_chunks(module.towers, {"image": images, "tokens": [tokens]}, chunks)
        return sum(size for place, size in held.items() if place not in own)

    assert kept(64, 8) < kept(64, 1) / 10
    assert kept(64, 8) <= 1.1 * kept(8, 1) or kept(64, 8) < 1_000_000
