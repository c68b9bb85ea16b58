"""Collecting word pairs into the entries of a lexicon: cleaned, each candidate once, ranked, weighted, bounded.

Builders of word lists (``muse``, ``tsv``, ``wikititles``) add pairs in the order of their files; ``format`` writes the entries.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict

from mmcs.codeswitch.lexicon import Candidate, normalise
from mmcs.codeswitch.lexicon_file import MAX_LABEL_BYTES, MAX_LABELS
from mmcs.errors import UserError
from mmcs.lexicons.ranking import MAX_CANDIDATES, MIN_WEIGHT
from mmcs.prepare.records import Tally

MAX_TOKENS = 4
MAX_CHARACTERS = 200  # of a phrase or candidate
MAX_WEIGHT = 1e300  # of a pair: sums stay finite
NO_PAIR = "no source or no target"

# Marks that show nothing: soft hyphen, zero-width space, directions, word joiner, byte-order mark. The zero-width joiners
# (U+200C, U+200D) stay inside words: Persian, Hindi and emoji are spelt with them.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_JOINERS = "\u200c\u200d"


def clean(text: str) -> str:
    """``text`` in NFC, without marks that show nothing, white space collapsed."""
    if text.isascii():
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFC", _INVISIBLE.sub("", text)).split()).strip(_JOINERS)


class Pairs:
    """Pairs in, entries out.

    Attributes:
        left_out: what was not taken, by cause, with examples.
    """

    def __init__(
        self, source_language: str, *, max_tokens: int = MAX_TOKENS, max_candidates: int = MAX_CANDIDATES
    ) -> None:
        """Args:
        source_language: BCP 47 tag of the sources, for their normal form.
        max_tokens: words of the longest source or target.
        max_candidates: kept per entry, the best first.
        """
        if max_tokens < 1:
            raise UserError(f"a phrase has at least 1 word; got --max-words {max_tokens}.")
        self.source_language, self.max_tokens, self.max_candidates = source_language, max_tokens, max_candidates
        self.left_out = Tally()
        # language -> phrase -> target -> [weight, part of speech], in the order of the file
        self._found: dict[str, dict[str, dict[str, tuple[float | None, str]]]] = defaultdict(dict)
        self._labels: set[str] = {""}
        self._last = ("", "")

    def add(self, language: str, source: str, target: str, weight: float | None = None, pos: str = "") -> None:
        """One pair: ``language`` is the target's BCP 47 tag, ``weight`` a positive number, in whatever unit."""
        if source != self._last[0]:  # a source comes with all its targets in a row
            self._last = (source, normalise(clean(source), self.source_language))
        phrase, text = self._last[1], clean(target)
        if not phrase or not text:
            self.left_out.add("nothing visible on one side", f"{source!r} - {target!r}")
        elif max(phrase.count(" "), text.count(" ")) >= self.max_tokens:
            self.left_out.add(f"more than {self.max_tokens} words", f"{phrase} - {text}")
        elif max(len(phrase), len(text)) > MAX_CHARACTERS:
            self.left_out.add(f"more than {MAX_CHARACTERS} characters", f"{phrase[:40]} - {text[:40]}")
        else:
            candidates = self._found[language].setdefault(phrase, {})
            weight = None if weight is None else min(weight, MAX_WEIGHT)
            before = candidates.get(text)
            if before is None:
                candidates[text] = (weight, self._label(pos, phrase))
            elif weight is not None and before[0] is not None:
                candidates[text] = (before[0] + weight, before[1])
            else:
                self.left_out.add("named before", f"{phrase} - {text} ({language})")

    def entries(self) -> dict[str, dict[str, list[Candidate]]]:
        """Per language and normalised phrase the candidates, best first; the weights of a phrase sum to 1.

        Candidates with weights are ordered by them (equal ones as in the file) and keep their ratios. Where one of a
        phrase has none, the order of the file counts: the n-th candidate weighs 1/n of the first. Empties the
        collection: it may be large, and is not needed twice.
        """
        entries: dict[str, dict[str, list[Candidate]]] = {}
        for language in list(self._found):
            found = self._found.pop(language)
            entries[language] = {phrase: self._ranked(phrase, found.pop(phrase)) for phrase in list(found)}
        return entries

    def _label(self, pos: str, phrase: str) -> str:
        if pos in self._labels:
            return pos
        label = clean(pos)
        if label not in self._labels:
            if len(label.encode()) > MAX_LABEL_BYTES or len(self._labels) >= MAX_LABELS:
                cause = f"part of speech of more than {MAX_LABEL_BYTES} bytes, or one too many (the pair stays)"
                self.left_out.add(cause, f"{phrase}: {label}")
                return ""
            self._labels.add(label)
        return label

    def _ranked(self, phrase: str, candidates: dict[str, tuple[float | None, str]]) -> list[Candidate]:
        listed = list(candidates.items())
        if len(listed) == 1:
            return [Candidate(listed[0][0], 1.0, listed[0][1][1])]
        if all(weight is not None for _, (weight, _) in listed):
            scored = sorted(((weight or 0.0, text, pos) for text, (weight, pos) in listed), key=lambda one: -one[0])
        else:
            scored = [(1 / place, text, pos) for place, (text, (_, pos)) in enumerate(listed, 1)]
        for _, text, _ in scored[self.max_candidates :]:
            self.left_out.add(f"beyond the {self.max_candidates} best candidates", f"{phrase} - {text}")
        best = scored[: self.max_candidates]
        largest = best[0][0]  # divided first: the sum of huge weights would not be finite
        total = math.fsum(weight / largest for weight, _, _ in best)
        return [Candidate(text, max(weight / largest / total, MIN_WEIGHT), pos) for weight, text, pos in best]


def positive(cell: str) -> float | None:
    """A positive number; None for anything else."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None
