"""Over which languages a mean is taken: all, seen (with a lexicon), unseen, non-English.

One place for the contract's four names; the metric, the results and the report read it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

ENGLISH = "en"


def language_sets(languages: Sequence[str], seen: Collection[str]) -> dict[str, list[str]]:
    """The named sets of languages that are not empty, each in the order of ``languages``.

    English belongs to ``all`` alone: it is what training reads, neither seen nor unseen through a lexicon.

    >>> language_sets(["en", "de", "he"], seen={"de", "en"})
    {'all': ['en', 'de', 'he'], 'seen': ['de'], 'unseen': ['he'], 'non_english': ['de', 'he']}
    """
    foreign = [language for language in languages if language != ENGLISH]
    sets = {
        "all": list(languages),
        "seen": [language for language in foreign if language in seen],
        "unseen": [language for language in foreign if language not in seen],
        "non_english": foreign,
    }
    return {name: members for name, members in sets.items() if members}


def language_means(
    per_language: Mapping[str, Mapping[str, float]], seen: Collection[str]
) -> dict[str, dict[str, float]]:
    """Each metric's plain mean over the languages of each set: ``{"seen": {"image_retrieval_recall@1": …}, …}``.

    Args:
        per_language: as ``RetrievalRecall.compute`` returns it.
        seen: languages that have a lexicon in training.
    """
    means: dict[str, dict[str, float]] = {}
    for name, members in language_sets(list(per_language), seen).items():
        metrics = dict.fromkeys(metric for language in members for metric in per_language[language])
        means[name] = {
            metric: _mean([per_language[language][metric] for language in members if metric in per_language[language]])
            for metric in metrics
        }
    return means


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
