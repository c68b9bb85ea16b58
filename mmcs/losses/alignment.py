"""The term between the texts themselves: a caption and its switched copy, whichever loss joins images and texts.

ContrastiveMix (NAACL 2024): InfoNCE between the English text and its code-switched copy, at a small weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmcs.losses.embedded import Embedded
from mmcs.losses.info_nce import info_nce


class TextToText(nn.Module):
    """``info_nce`` of the first view with each of the others, averaged over these; 0 where there is one view alone.

    Texts that are the same are positives on either side: a caption whose copy is another sample's very caption, too.
    """

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, embedded: Embedded) -> Tensor:
        """The term of this process's part: see ``info_nce``."""
        first, *others = embedded.views
        if not others:
            return first.new_zeros(())
        terms = []
        for i, other in enumerate(others, 1):
            both = embedded.labels(0, i)
            left = torch.cat([both, embedded.text_id[0][:, None]], dim=1)
            right = torch.cat([both, embedded.text_id[i][:, None]], dim=1)
            terms.append(info_nce(first, other, left, embedded.scale, right))
        return torch.stack(terms).mean()
