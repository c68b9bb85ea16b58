"""What the gain in a language goes with: how much of its captions the lexicon covers, how far it is from English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcs.evaluation.proximity import Distances, Proximity, proximity, read_distances
from mmcs.evaluation.statistics import Difference
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.plan import joined
from mmcs.study.run import Finished


def proximities(
    gains: Mapping[str, Difference], sets: Mapping[str, Sequence[str]], finished: Finished
) -> tuple[Proximity | None, Proximity]:
    values = {language: own.value for language, own in gains.items() if language != ENGLISH}
    covered = _coverage(finished)
    by_coverage = {language: values[language] for language in covered if language in values}
    source = "share of the content words of the compared English captions that the lexicon has, base forms included"
    with_lexicon = proximity(by_coverage, Distances(covered, source)) if len(by_coverage) > 1 else None
    return with_lexicon, proximity(values, read_distances())


def _coverage(finished: Finished) -> dict[str, float]:
    """Per seen language the share of content words that the lexicon of the compared stage has."""
    from mmcs.codeswitch.lexicon import Lexicon
    from mmcs.evaluation.suites import captions_by_language
    from mmcs.lexicons.coverage import coverage
    from mmcs.lexicons.lemmas import lemmas_of

    stage = finished.material.comparing
    shards = next(iter(stage.suites.values()))
    texts = captions_by_language(joined(shards))[ENGLISH]
    found: dict[str, float] = {}
    for path in stage.lexicons:
        measured = coverage(texts, Lexicon.open(Path(path)), lemmas=lemmas_of(ENGLISH))["languages"]
        for language, own in measured.items():
            if language in stage.seen:
                found.setdefault(language, own.get("content_tokens_with_lemmas", own["content_tokens"]))
    return found
