"""Which translation of a phrase is meant: dictionary senses in, ranked and weighted candidates out.

A dictionary lists a word's senses in no useful order, or has none. What tells the usual one apart, chosen on one half of
human captions in eight languages and confirmed on the other: it is a common word; it is one word; it does not belong to
other, commoner source words ("láb" is "foot" before it is the foot of a dog); dictionaries name it early and often.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from mmcs.codeswitch.lexicon import Candidate
from mmcs.lexicons.frequency import zipf
from mmcs.lexicons.senses import Sense

MAX_CANDIDATES = 8
MIN_WEIGHT = 1e-6

# Scores add up in powers of ten, like the Zipf scale.
FURTHER_TOKEN = -2.0  # per word beyond the first
COMPETITION = 0.75  # times log10 of the phrase's share of the source words that the candidate translates, by frequency
NOUN = 0.5  # captions name things; a headword that is noun and verb is a noun there
AGREEMENT = 0.5  # times log2(1 + senses that name the candidate)
SUPPORT = 0.25  # times log2(1 + examples and references of these senses)
LATER = -0.25  # times log2(1 + place of the sense), and the same for the place within it
CUT_HEADWORD = -1.0  # the pronunciation is of a longer word: Ergane's dictionaries keep the first word of headwords
# From scores to weights: the most likely human choices on that half.
TEMPERATURE = 1.5


class _Candidate:
    """What the senses of one phrase say about one of its translations."""

    __slots__ = ("cut", "labels", "named", "place", "sense", "support")

    def __init__(self) -> None:
        self.named = self.support = 0
        self.sense = self.place = 1 << 30
        self.cut = True
        self.labels: dict[str, int] = {}

    @property
    def pos(self) -> str:
        """The part of speech that most of its senses name; of equals the first."""
        return max(self.labels, key=lambda label: self.labels[label], default="")


def rank(senses: Iterable[Sense], *, source_language: str, language: str) -> dict[str, list[Candidate]]:
    """Per phrase up to ``MAX_CANDIDATES`` translations, best first; the weights of a phrase sum to 1.

    A candidate has the part of speech that most of the senses with it have.

    Args:
        senses: all senses of one dictionary: the competition between phrases is counted over them.
        source_language, language: BCP 47 tags; word frequencies help where wordfreq knows the language.
    """
    phrases: dict[str, list[Sense]] = defaultdict(list)
    for sense in senses:
        phrases[sense.phrase].append(sense)
    mass = {phrase: 10 ** max(zipf(phrase, source_language), 1.0) for phrase in phrases if " " not in phrase}
    competition: dict[str, float] = defaultdict(float)
    for phrase, of_phrase in phrases.items():
        for text in {text.casefold() for sense in of_phrase for text in sense.texts}:
            competition[text] += mass.get(phrase, 10.0)
    return {
        phrase: _weighed(_scores(of_phrase, mass.get(phrase, 10.0), competition, language))
        for phrase, of_phrase in phrases.items()
    }


def _scores(
    senses: Sequence[Sense], mass: float, competition: dict[str, float], language: str
) -> list[tuple[str, float, str]]:
    """Each translation of one phrase with its score and its part of speech."""
    if not all(sense.acronym for sense in senses):  # "IT" is not what "it" means
        senses = [sense for sense in senses if not sense.acronym]
    shortest = min(sense.sounds for sense in senses)
    candidates: dict[str, _Candidate] = defaultdict(_Candidate)
    for sense in senses:
        for place, text in enumerate(sense.texts):
            candidate = candidates[text]
            candidate.named += 1
            candidate.support += sense.support
            candidate.sense = min(candidate.sense, sense.number)
            candidate.place = min(candidate.place, place)
            if sense.pos:
                candidate.labels[sense.pos] = candidate.labels.get(sense.pos, 0) + 1
            candidate.cut &= sense.sounds > shortest + 2
    if len(candidates) == 1:
        return [(text, 0.0, candidate.pos) for text, candidate in candidates.items()]
    return [
        (
            text,
            zipf(text, language)
            + FURTHER_TOKEN * text.count(" ")
            + COMPETITION * math.log10(mass / competition[text.casefold()])
            + NOUN * ("n" in candidate.labels)
            + AGREEMENT * math.log2(1 + min(candidate.named, 4))
            + SUPPORT * math.log2(1 + min(candidate.support, 20))
            + LATER * (math.log2(1 + candidate.sense) + math.log2(1 + candidate.place))
            + CUT_HEADWORD * candidate.cut,
            candidate.pos,
        )
        for text, candidate in candidates.items()
    ]


def _weighed(scores: list[tuple[str, float, str]]) -> list[Candidate]:
    best = sorted(scores, key=lambda scored: (-scored[1], scored[0]))[:MAX_CANDIDATES]
    shares = [10 ** ((score - best[0][1]) / TEMPERATURE) for _, score, _ in best]
    total = sum(shares)
    return [
        Candidate(text, max(share / total, MIN_WEIGHT), pos) for (text, _, pos), share in zip(best, shares, strict=True)
    ]
