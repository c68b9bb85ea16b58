"""``ContrastiveLoss`` and its terms: what is weighed, left out, refused, and what a configuration composes."""

from __future__ import annotations

import math

import naive_losses as naive
import pytest
import torch
from torch import nn

from mmcs.assemble import build_loss
from mmcs.config import compose_config, resolve
from mmcs.errors import UserError
from mmcs.losses.alignment import TextToText
from mmcs.losses.contrastive import ContrastiveLoss

TEMPERATURE = {"init": None, "learn": True, "max": 100}


def composed(*overrides):
    return build_loss(resolve(compose_config(["data=shards", "data.train_shards=x", *overrides])))


@pytest.mark.parametrize("image_text", ["info_nce", "siglip"])
def test_the_loss_is_the_weighted_sum_of_its_terms(image_text):
    weights = [
        "loss.terms.image_text.weight=2",
        "loss.terms.text_to_text.weight=0.3",
        "loss.terms.distillation.weight=5",
    ]
    part, leaves = naive.embedded(naive.batch(), slice(None))
    terms = composed(f"loss={image_text}", *weights)(part)
    names = {"image_text": image_text, "text_to_text": "text_to_text", "distillation": "distillation"}
    expected = {name: naive.term(of, part) for name, of in names.items()}
    total = 2 * expected["image_text"] + 0.3 * expected["text_to_text"] + 5 * expected["distillation"]
    torch.testing.assert_close(terms, {"loss": total, **expected})
    # A graph of its own each: both go backward through the embeddings.
    again, same_leaves = naive.embedded(naive.batch(), slice(None))
    found = naive.gradients(composed(f"loss={image_text}", *weights)(again)["loss"], same_leaves)
    torch.testing.assert_close(found, naive.gradients(total, leaves))


def test_a_term_of_weight_zero_is_never_computed():
    class Dear(nn.Module):
        weight = 0.0

        def forward(self, embedded):
            raise AssertionError

    part, _ = naive.embedded(naive.batch(), slice(None))
    loss = ContrastiveLoss({"dear": Dear(), "text_to_text": TextToText(1.0)}, TEMPERATURE, {"init": None})
    assert loss(part).keys() == {"loss", "text_to_text"}


def test_every_input_has_a_gradient_whatever_the_terms():
    """DDP fails over a parameter without one: the image tower's, where only texts are compared."""
    part, leaves = naive.embedded(naive.batch(), slice(None))
    composed("loss.terms.image_text.weight=0", "loss.terms.text_to_text.weight=1")(part)["loss"].backward()
    assert torch.equal(leaves["images"].grad, torch.zeros_like(leaves["images"]))
    assert leaves["first"].grad.any() and leaves["second"].grad.any()


def test_text_to_text_averages_over_the_copies_and_is_zero_without_one():
    values = naive.batch()
    part, _ = naive.embedded(values, slice(None))
    alone = type(part)(**{**vars(part), "views": part.views[:1], "text_id": part.text_id[:1]})
    assert TextToText(1.0)(alone) == 0
    copies = type(part)(
        **{**vars(part), "views": [*part.views, part.views[0]], "text_id": [*part.text_id, part.text_id[0]]}
    )
    same = type(part)(**{**vars(part), "views": [part.views[0]] * 2, "text_id": [part.text_id[0]] * 2})
    torch.testing.assert_close(TextToText(1.0)(copies), (TextToText(1.0)(part) + TextToText(1.0)(same)) / 2)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("loss.terms.image_text.weight=0", "every term of the loss has weight 0"),
        ("loss.terms.image_text.weight=-1", "loss.terms.image_text.weight is a number, 0"),
        ("loss.terms.image_text.weight=much", "loss.terms.image_text.weight is a number, 0"),
        ("loss.logit_scale.init=200", "loss.logit_scale.init is a number above 0 and at most"),
        ("loss.logit_scale.init=0", "loss.logit_scale.init is a number above 0 and at most"),
        ("loss.logit_scale.max=0.5", "loss.logit_scale.max is a number, at least 1"),
        ("loss.logit_scale.learn=5", "loss.logit_scale.learn is true or false"),
        ("loss.logit_bias.init=low", "loss.logit_bias.init is a number, auto, or null"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(override, sentence):
    with pytest.raises(UserError, match=sentence):
        composed(override)


def test_siglip_begins_where_the_batch_says_and_info_nce_where_the_model_does():
    assert composed("loss=siglip").logit_scale["init"] == composed("loss=siglip").logit_bias["init"] == "auto"
    assert composed().logit_scale == {"init": None, "learn": True, "max": 100}
    assert composed("loss=siglip").uses_bias and not composed().uses_bias
    assert math.isclose(composed("loss.logit_scale.init=50").logit_scale["init"], 50)
