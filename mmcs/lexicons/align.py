"""Maps the words of one language into the vector space of another: seed pairs, orthogonal Procrustes, refinement.

Conneau et al. 2018, sections 2.2 and 2.3, and Smith et al. 2017. Vectors in, a rotation out: what is retrieved with it is
the builder's business (``embeddings``), which calls this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from mmcs.codeswitch.lexicon import normaliser
from mmcs.errors import DataError, UserError
from mmcs.lexicons.headers import without_header
from mmcs.lexicons.lines import Lines
from mmcs.lexicons.neighbours import search

FREQUENT = 15_000  # words of each language among which pairs for the refinement are looked for
# With fewer pairs than a fifth of the dimensions too much of the rotation is left open for the refinement to find it.
PAIRS_PER_DIM = 1 / 5

Pairs = Sequence[tuple[int, int]]
"""Numbers of words that are translations of each other: (source, target)."""


def procrustes(source: Tensor, target: Tensor) -> Tensor:
    """The orthogonal W (D D, float32) for which ``source @ W`` lies nearest to ``target``, both (P D), row by row."""
    u, _, vt = torch.linalg.svd(source.double().T @ target.double())
    return (u @ vt).float()


def identical(source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """Words that both languages spell alike: names, numbers, loans."""
    numbers = {word: j for j, word in enumerate(target)}
    return [(i, numbers[word]) for i, word in enumerate(source) if word in numbers]


def dictionary_pairs(
    path: str | os.PathLike[str], languages: tuple[str, str], notes: list[str]
) -> Iterator[tuple[str, str]]:
    """The pairs of a dictionary in MUSE's form (``source target``, one space or a tab), normalised; senses repeat.

    ``notes`` takes a sentence about a header, which is left out.

    Raises:
        UserError: there is no such file. DataError: it cannot be read, or too much of it is no pair.
    """
    of_source, of_target = (normaliser(language) for language in languages)
    lines = Lines(path, what="a dictionary (source and target word on each line)", languages=languages)
    for number, text in without_header(lines, _split, languages, None, notes, hint=""):
        columns = _split(text)
        if len(columns) == 2 and (source := of_source(columns[0])) and (target := of_target(columns[1])):
            yield source, target
        else:
            lines.damage("not two columns", number, text)


def _split(text: str) -> list[str]:
    return text.split("\t") if "\t" in text else text.split()


def seed_pairs(
    path: str | os.PathLike[str],
    languages: tuple[str, str],
    source: Mapping[str, int],
    target: Mapping[str, int],
    notes: list[str],
) -> list[tuple[int, int]]:
    """The pairs of a dictionary of which both words have vectors.

    Args:
        path, notes: see ``dictionary_pairs``.
        languages: BCP 47 tags of source and target.
        source, target: the numbers of the normalised words.
    """
    pairs = dict.fromkeys(dictionary_pairs(path, languages, notes))
    return [(source[s], target[t]) for s, t in pairs if s in source and t in target]


def align(
    source: Tensor, target: Tensor, pairs: Pairs, *, refine: int, device: str, origin: str
) -> tuple[Tensor, list[int]]:
    """The rotation W (D D) from the source's space into the target's, and the number of pairs that each round used.

    Args:
        source, target: (N D) and (M D), of unit length, the most frequent words first.
        pairs: seeds.
        refine: rounds that take as pairs the words that are each other's best by CSLS.
        device: ``cpu`` or ``cuda``.
        origin: where the seeds come from, for sentences.

    Raises:
        UserError: too few seeds. DataError: a refinement that finds no pairs: the seeds are wrong.
    """
    needed = max(2, int(source.shape[1] * PAIRS_PER_DIM))
    if len(pairs) < needed:
        raise UserError(
            f"{origin} give {len(pairs)} pairs of words with vectors on both sides, where vectors of {source.shape[1]} "
            f"numbers need {needed} at least; name a larger --seed-dictionary, or read more words (--max-words)."
        )
    chosen = torch.tensor(pairs)
    rotation, used = procrustes(source[chosen[:, 0]], target[chosen[:, 1]]), [len(pairs)]
    frequent, known = source[:FREQUENT], target[:FREQUENT]
    for _ in range(refine):
        best, kept = search(frequent @ rotation, known, csls=True, top=1, mutual=True, device=device)
        i = kept[:, 0].nonzero()[:, 0]
        if len(i) < needed:
            raise DataError(
                f"the mapping does not hold: of {len(frequent):,} frequent words only {len(i)} have a mutual neighbour; "
                f"the {len(pairs):,} pairs that {origin} give are wrong or too few."
            )
        rotation = procrustes(frequent[i], known[best.keys[i, 0]])
        used.append(len(i))
    return rotation, used
