"""The term that keeps English: the student's embeddings of English captions stay near those of a frozen teacher.

Reimers and Gurevych 2020, equation 1, its first half: the squared distance of the two.
"""

from __future__ import annotations

from torch import Tensor, nn

from mmcs.losses.embedded import Embedded
from mmcs.losses.gather import Ranks
from mmcs.losses.strips import exact


class Distillation(nn.Module):
    """The mean over samples of ||student(English) - teacher(English)||², of L2-normalised embeddings: 0 to 4."""

    uses_teacher = True

    def __init__(self, weight: float = 0.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, embedded: Embedded) -> Tensor:
        """This process's part of the mean over the samples of all processes, times the number of processes."""
        assert embedded.english is not None and embedded.teacher is not None, "a batch without its English captions"
        student, teacher = exact(embedded.english, embedded.teacher)
        ranks = Ranks(student)
        return (student - teacher).square().sum() * (len(ranks.counts) / max(1, ranks.total))
