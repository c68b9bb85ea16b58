"""The frozen text tower whose English embeddings a student is held to (``losses.distillation``).

``mmcs.assemble`` makes it, from the model as it was before training or from another; the LightningModule asks it.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmcs.errors import UserError
from mmcs.model.embed import Batch, embed_texts
from mmcs.model.towers import Towers


class Teacher:
    """Embeds the captions as they were before any switch. It is no part of the student: not trained, not in checkpoints.

    Args:
        towers: its text tower is copied; of the image tower nothing is kept.
        own_tokens: whether the captions are tokenised for it; without, it reads the tokens or features of the student,
            whose model it is.
    """

    def __init__(self, towers: Towers, *, own_tokens: bool) -> None:
        # Copied without the image tower; a locked text trunk does not change and is shared.
        memo: dict[int, nn.Module | None] = {id(towers.clip.visual): None}
        if towers.text_locked:
            memo |= {id(trunk): trunk for trunk in towers.text_trunk()}
        self.towers = copy.deepcopy(towers, memo)
        self.towers.image_locked = False
        self.towers.eval().requires_grad_(False)
        self.own_tokens = own_tokens

    def part(self) -> None:
        """Gives it a trunk of its own where it shares the student's, which is about to be shared out among processes."""
        self.towers = copy.deepcopy(self.towers)

    def to(self, device: torch.device) -> None:
        """Moves it to where the batches are."""
        self.towers.to(device)

    @torch.no_grad()
    def __call__(self, batch: Batch, view: int) -> Tensor:
        """(B, D) normalised embeddings of a batch's English captions, which are its text ``view``."""
        if self.own_tokens:
            tokens = self.towers.tokenise.encode(list(batch["english"])).to(self.towers.logit_scale.device)
            return embed_texts(self.towers, {"tokens": [tokens]})[0]
        kind = "text_features" if "text_features" in batch else "tokens"
        return embed_texts(self.towers, {kind: [batch[kind][view]]})[0]

    @classmethod
    def of(cls, student: Towers, name: str | None, pretrained: str | None) -> Teacher:
        """``student`` as it is now, or the model ``name``.

        Raises:
            UserError: a model of another embedding dimension, or one that cannot be built.
        """
        if name is None:
            return cls(student, own_tokens=False)
        from mmcs.model.build import build_towers

        towers = build_towers(name, pretrained)
        if towers.embed_dim != student.embed_dim:
            raise UserError(
                f"loss.teacher.name={name} has embeddings of {towers.embed_dim} numbers, the model of {student.embed_dim}: "
                "name a teacher of the same width."
            )
        return cls(towers, own_tokens=True)
