"""Builds a lexicon from word vectors: ``mmcs lexicon build embeddings`` calls it.

The steps, one module each: vectors (``vectors``, ``fasttext_model``) - one space (``align``) - neighbours
(``neighbours``) - candidates (here) - lexicon (``format``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmcs.codeswitch.lexicon import Candidate, normaliser
from mmcs.codeswitch.lexicon_file import MAX_CANDIDATES
from mmcs.errors import DataError, UserError
from mmcs.lexicons.align import align, dictionary_pairs, identical, seed_pairs
from mmcs.lexicons.format import write_lexicon
from mmcs.lexicons.neighbours import search
from mmcs.lexicons.pairs import clean
from mmcs.lexicons.precision import PRECISION_AT, precision
from mmcs.lexicons.ranking import MIN_WEIGHT
from mmcs.lexicons.vectors import Vectors, read_vectors
from mmcs.prepare.records import Tally

_MARKUP = re.compile(r"</?\w+>")  # </s>, <unk>
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Options:
    """How the languages come into one space, and which targets become candidates.

    Attributes:
        aligned: they are in one space already.
        seeds: per target language a dictionary of seed pairs; without one, words spelt alike.
        refine: rounds of refinement by mutual neighbours.
        csls: cross-domain similarity local scaling, else the plain nearest neighbours.
        cosine: similarity is the cosine, else the dot product of the vectors as they are given.
        mutual: only words that are each other's best.
        threshold: the least score.
        top: candidates per word.
        tests: per target language a test dictionary, on which precision is measured.
        max_words: read per language, the most frequent.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    aligned: bool = False
    seeds: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)
    refine: int = 5
    csls: bool = True
    cosine: bool = True
    mutual: bool = False
    threshold: float | None = None
    top: int = 3
    tests: Mapping[str, str | os.PathLike[str]] = field(default_factory=dict)
    max_words: int = 200_000
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.csls and not self.cosine:
            raise UserError("CSLS is defined on cosines; take --retrieval nn with --similarity dot.")
        if self.aligned and self.seeds:
            raise UserError("--aligned vectors are in one space already; leave out --seed-dictionary.")
        if not 1 <= self.top <= MAX_CANDIDATES:
            raise UserError(f"--top is 1 to {MAX_CANDIDATES} candidates; got {self.top}.")
        if self.max_words < 1:
            raise UserError(f"--max-words is a number of words, 1 or more; got {self.max_words}.")
        if self.refine < 0:
            raise UserError(f"--refine is a number of rounds, 0 or more; got {self.refine}.")

    def checked(self, languages: Collection[str]) -> str:
        """The device that it comes to, if all dictionaries are of target ``languages``."""
        for option, given in (("--seed-dictionary", self.seeds), ("--test", self.tests)):
            for language in given.keys() - set(languages):
                raise UserError(f"{option} names '{language}', which is no --target ({', '.join(languages)}).")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("--device cuda: there is no GPU that torch can use here; take --device cpu.")
        return self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class _Words:
    """One language: the words that can stand in a lexicon, in the order of frequency.

    Attributes:
        texts, keys: as they are written, and normalised; the latter each once.
        rows: where their vectors stand among all.
    """

    texts: list[str]
    keys: list[str]
    rows: Tensor


def build_embeddings(
    out: str | os.PathLike[str],
    source: tuple[str, str | os.PathLike[str]],
    targets: Mapping[str, str | os.PathLike[str]],
    *,
    licence: str,
    options: Options | None = None,
) -> Path:
    """Builds a lexicon of the words of ``source`` and writes it to ``out``.

    Args:
        out: the ``.lex`` file.
        source: BCP 47 tag and file of word vectors.
        targets: the same for the target languages.
        licence: of the vectors.
        options: see there.

    Raises:
        UserError: files that do not belong together, too few seeds. DataError: a file that cannot be used.
    """
    options = options or Options()
    device = options.checked(targets)
    language, path = source
    vectors = read_vectors(path, options.max_words)
    entries, sources = {}, []
    for target, target_path in targets.items():
        pair = _Pair((language, target), vectors, read_vectors(target_path, options.max_words), device)
        entries[target], about = pair.build(options)
        sources.append(
            {
                "name": f"word vectors {vectors.path.name} and {pair.target.path.name}",
                "provenance": f"{_file(vectors.path)}, {_file(pair.target.path)}",
                "licence": licence,
                "language": target,
            }
            | about
        )
    return write_lexicon(out, entries, source_language=language, sources=sources)


def _file(path: Path) -> str:
    return f"{path.name} ({path.stat().st_size:,} bytes)"


class _Pair:
    """The source and one target language."""

    def __init__(self, languages: tuple[str, str], source: Vectors, target: Vectors, device: str) -> None:
        if source.dim != target.dim:
            raise UserError(
                f"vectors of {source.path} have {source.dim} numbers, those of {target.path} {target.dim}; "
                "both files must come from models of one width."
            )
        self.languages, self.source, self.target, self.device = languages, source, target, device
        self.about: dict[str, Any] = {}
        self.left_out = (Tally(), Tally())
        self.notes = [note for note in (source.note, target.note) if note]

    def build(self, options: Options) -> tuple[dict[str, list[Candidate]], dict[str, Any]]:
        """The entries, and what is worth telling about them."""
        sides = zip((self.source.words, self.target.words), self.languages, self.left_out, strict=True)
        known, wanted = (vocabulary(*side) for side in sides)
        source, target = self._mapped(options)
        source, target = source[known.rows], target[wanted.rows]
        test = options.tests.get(self.languages[1])
        top = options.top if test is None else max(options.top, *PRECISION_AT)
        best, kept = search(source, target, csls=options.csls, top=top, mutual=options.mutual, device=self.device)
        self.about |= {
            "retrieval": "CSLS" if options.csls else "nearest neighbour",
            "similarity": "cosine" if options.cosine else "dot product",
            "mutual": options.mutual,
            "threshold": options.threshold,
            "top": options.top,
        }
        if test is not None:
            self.about |= precision(
                dictionary_pairs(test, self.languages, self.notes), known.keys, wanted.keys, best.keys
            )
        kept, scores, keys = kept[:, : options.top], best.scores[:, : options.top], best.keys[:, : options.top]
        if options.threshold is not None:
            kept = kept & (scores >= options.threshold)
        if not options.cosine:  # a dot product as a share of the greatest that is possible
            scores = scores / (source.norm(dim=1) * target.norm(dim=1).max()).double()[:, None]
        texts, entries = wanted.texts, {}
        rows = zip(known.keys, kept.tolist(), keys.tolist(), scores.clamp(MIN_WEIGHT, 1.0).tolist(), strict=True)
        for phrase, *row in rows:
            candidates = [Candidate(texts[key], weight) for keep, key, weight in zip(*row, strict=True) if keep]
            if candidates:
                entries[phrase] = candidates
            else:
                self.left_out[0].add("no candidate kept", phrase)
        if not entries:
            raise DataError(
                f"no word of {self.source.path} has a candidate in {self.target.path} that is good enough; "
                "lower --threshold or leave out --mutual."
            )
        return entries, self.about | {"left_out": self._all_left_out(), "notes": self.notes}

    def _mapped(self, options: Options) -> tuple[Tensor, Tensor]:
        """The vectors of both languages in one space."""
        source, target = torch.from_numpy(self.source.matrix), torch.from_numpy(self.target.matrix)
        unit = normalize(source), normalize(target)
        if options.cosine:
            source, target = unit
        if options.aligned:
            self.about["mapping"] = "aligned as given"
            return source, target
        seeds = options.seeds.get(self.languages[1])
        if seeds is None:
            origin, pairs = "words spelt alike", identical(self.source.words, self.target.words)
        else:
            origin = f"seeds of {Path(seeds).name}"
            words = zip((self.source.words, self.target.words), self.languages, strict=True)
            of_source, of_target = (_numbers(*of_language) for of_language in words)
            pairs = seed_pairs(seeds, self.languages, of_source, of_target, self.notes)
        rotation, used = align(*unit, pairs, refine=options.refine, device=self.device, origin=origin)
        self.about |= {"mapping": f"orthogonal Procrustes, {origin}", "seed pairs": used[0], "refined with": used[1:]}
        return source @ rotation, target

    def _all_left_out(self) -> dict[str, Any]:
        """By language, file and cause."""
        every: dict[str, Any] = {}
        for language, vectors, tally in zip(self.languages, (self.source, self.target), self.left_out, strict=True):
            for cause, about in (vectors.left_out.as_dict() | tally.as_dict()).items():
                every[f"{language}: {cause}"] = about
        return every


def vocabulary(words: Sequence[str], language: str, left_out: Tally) -> _Words:
    """Of the words of a file those that can stand in a lexicon: with a letter, no markup, of several spellings the first."""
    fold, found = normaliser(language), {}
    for row, word in enumerate(words):
        text = clean(word.replace("_", " "))  # word2vec writes New_York
        if _MARKUP.fullmatch(word) or _CONTROL.search(text):
            left_out.add("markup or control characters", repr(word))
        elif not any(map(str.isalpha, text)):
            left_out.add("no letter", word)
        elif (key := fold(text)) in found:
            left_out.add("another spelling of a more frequent word", word)
        else:
            found[key] = (text, row)
    if not found:
        raise DataError(f"none of the {len(words):,} words of {language} has a letter; is the file what it should be?")
    texts, rows = zip(*found.values(), strict=True)
    return _Words(list(texts), list(found), torch.tensor(rows))


def _numbers(words: Sequence[str], language: str) -> dict[str, int]:
    """Per normalised word the row of its most frequent spelling."""
    fold = normaliser(language)
    numbers: dict[str, int] = {}
    for row, word in enumerate(words):
        numbers.setdefault(fold(word), row)
    return numbers
