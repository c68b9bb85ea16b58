"""What else the runs were evaluated on: mixed languages, switched and translated queries, sets in BEIR's format.

Figures of queries come from the runs' per-query files, what is none of single queries from the rows of results.json. The
matrix of languages is ``matrix``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmcs.evaluation.direct import is_direct
from mmcs.evaluation.mixed import SETTING as MLIR
from mmcs.evaluation.ranking import TEXT_TO_TEXT, About
from mmcs.evaluation.rows import MEDIAN_RANK, METRICS
from mmcs.evaluation.statistics import Difference
from mmcs.report.cells import RECALL_10, Cell, Figure, cells, differences
from mmcs.report.runs import Answers, Place, Run, System

BEIR = "beir"
BEIR_PROTOCOL = "beir_format"  # beir_ranking.PROTOCOL, without the models that it imports
TRANSFORMED = ("switched", "translate_test", "other")
LOSS = "loss_of_"  # told by ``effects``


@dataclass(frozen=True)
class Further:
    """One figure of one setting, of all systems that were evaluated in it.

    Attributes:
        about: what was ranked: suite, split, protocol, setting, transform of the queries, task, languages.
        kind: ``"mixed"``, ``"language_share"``, ``"switched"``, ``"translate_test"``, ``"beir"`` or ``"other"``.
        metric: such as ``recall@10``, ``ndcg@10``, ``cosine_to_original``, ``language_share@10``; all 0…1 (a cosine: −1…1).
        language: what the figure is about: a language, a set of languages (``seen``), or ``mixed``.
        languages: whose mean it is where ``language`` is a set; those of the set that were evaluated so.
        n_queries: of one system.
        values: system label → (value, low, high); systems that were not evaluated so are missing.
        differences: label → this system minus the baseline, in the same setting; empty where their queries differ or
            the figure is none of single queries.
        effects: label → this setting minus the plain queries, the same system and queries (Translate-Test, switched
            queries); empty elsewhere.
        plain: label → (value, low, high) of the same queries as they were, for ``effects``.
        in_gallery: the language's share of the gallery, beside its share of the first ten places.
    """

    about: About
    kind: str
    metric: str
    language: str
    n_queries: int
    values: dict[str, Figure]
    differences: dict[str, Difference] = field(default_factory=dict)
    effects: dict[str, Difference] = field(default_factory=dict)
    plain: dict[str, Figure] = field(default_factory=dict)
    in_gallery: float | None = None
    languages: list[str] = field(default_factory=list)


def further(
    systems: Sequence[System], base: System, place: Place, protocol: str, sets: Mapping[str, Sequence[str]]
) -> list[Further]:
    """All further figures of one suite and protocol, in the order in which they were ranked.

    Args:
        sets: name → languages, whose means are given where two or more of them were evaluated.
    """
    abouts = dict.fromkeys(
        about
        for system in systems
        for run in system.runs
        for about in run.rankings
        if (about.suite, about.split, about.protocol) == (*place, protocol) and _kind(about)
    )
    groups: dict[tuple[str | None, str | None, str], list[About]] = {}
    for about in abouts:
        groups.setdefault((_kind(about), about.query_transform, about.task), []).append(about)
    return [
        found
        for members in groups.values()
        for found in (*_of_queries(members, systems, base, sets), *_of_rows(members, systems))
    ]


def _kind(about: About) -> str | None:
    """None for what is shown elsewhere: plain retrieval, and pairs of captions."""
    if is_direct(about.as_dict()):
        return None
    if about.protocol == BEIR_PROTOCOL:
        return BEIR
    if about.setting == MLIR:
        return "mixed"
    if about.query_transform is None:
        return None if about.task == TEXT_TO_TEXT else "other"
    name = about.query_transform.split(":")[0]
    return name if name in TRANSFORMED else "other"


def _of_queries(
    members: Sequence[About], systems: Sequence[System], base: System, sets: Mapping[str, Sequence[str]]
) -> Iterator[Further]:
    """Figures of one setting in each of its languages, and of the means over sets of languages."""
    kind = _kind(members[0]) or ""
    metrics = ("ndcg@10", "mrr@10") if kind == BEIR else (RECALL_10,)
    by_language = {about.language: about for about in members}
    for languages, own in _alike(systems, by_language):
        answers = {
            system.label: {name: [run.read(by_language[name]) for run in system.runs] for name in languages}
            for system in own
        }
        means = {name: [each for each in languages if each in of] for name, of in sets.items()}
        means = {name: of for name, of in means.items() if len(of) > 1}
        every = {**{language: [language] for language in languages}, **means}
        plain = {system.label: _plain(system, answers[system.label], members[0]) for system in own}
        values = {label: cells(answer, means) for label, answer in answers.items()}
        before = {label: cells(answer, means) for label, answer in plain.items() if answer}
        for metric in metrics:
            against = {
                system.label: differences(answers[system.label], answers[base.label], every, metric)
                for system in own
                if system is not base and base in own and _same(system, base, [by_language[name] for name in languages])
            }
            effects = {
                label: differences(answers[label], answer, every, metric) for label, answer in plain.items() if answer
            }
            for name, of in every.items():
                yield Further(
                    about=by_language[name] if name in by_language else _mean_about(by_language[of[0]], name),
                    kind=kind,
                    metric=metric,
                    language=name,
                    n_queries=sum(len(next(iter(answers.values()))[each][0].ids) for each in of),
                    values=_pick(values, name, metric),
                    differences={label: found[name] for label, found in against.items()},
                    effects={label: found[name] for label, found in effects.items()},
                    plain=_pick(before, name, metric),
                    languages=of if len(of) > 1 else [],
                )


def _alike(systems: Sequence[System], by_language: Mapping[str, About]) -> Iterator[tuple[list[str], list[System]]]:
    """Languages that the same systems were evaluated in, with those systems."""
    found: dict[tuple[str, ...], list[str]] = {}
    for language, about in by_language.items():
        labels = tuple(system.label for system in systems if all(about in run.rankings for run in system.runs))
        found.setdefault(labels, []).append(language)
    for labels, languages in found.items():
        if labels:
            yield languages, [system for system in systems if system.label in labels]


def _mean_about(about: About, name: str) -> About:
    """What a mean over the set ``name`` is of, where ``about`` is of one of its languages."""
    texts_ask = about.language == about.query_language
    return replace(about, query_language=name) if texts_ask else replace(about, gallery_language=name)


def _plain(system: System, answers: Answers, about: About) -> Answers:
    """The answers to the same queries as they were; empty where nothing was done to them."""
    if about.query_transform is None:
        return {}
    plain = system.answers((about.suite, about.split), about.task, list(answers))
    same = all(
        own.ids == one.ids for language in answers for own, one in zip(answers[language], plain[language], strict=True)
    )
    return plain if same else {}


def _same(system: System, base: System, abouts: Sequence[About]) -> bool:
    """Whether both answer the same queries with the same right answers."""
    return all(_asked(system.runs[0], about) == _asked(base.runs[0], about) for about in abouts)


def _asked(run: Run, about: About) -> list[str]:
    return sorted((run.path / "retrieval" / f"{about.file}.qrels").read_text(encoding="utf-8").splitlines())


def _pick(values: Mapping[str, Mapping[str, Cell]], name: str, metric: str) -> dict[str, Figure]:
    return {label: found[name].figures[metric] for label, found in values.items()}


def _of_rows(members: Sequence[About], systems: Sequence[System]) -> Iterator[Further]:
    """Figures that are none of single queries: of several seeds the mean, and the widest bounds of their intervals."""
    per_query = {*METRICS, MEDIAN_RANK, *(f"{LOSS}{metric}" for metric in METRICS)}
    abouts = {tuple(about.as_dict().values()): about for about in members}
    keys = list(members[0].as_dict())
    found: dict[tuple[About, str, str], dict[str, list[dict[str, Any]]]] = {}
    for system in systems:
        for row in (row for run in system.runs for row in run.results["rows"] if row["metric"] not in per_query):
            about = abouts.get(tuple(row.get(key) for key in keys))
            if about is not None:
                key = (about, row["metric"], row.get("language", about.language))
                found.setdefault(key, {}).setdefault(system.label, []).append(row)
    for (about, metric, language), rows in found.items():
        one = next(iter(rows.values()))[0]
        yield Further(
            about=about,
            kind="language_share" if metric.startswith("language_share") else _kind(about) or "",
            metric=metric,
            language=language,
            n_queries=one["n_queries"],
            values={label: _over_seeds(own) for label, own in rows.items()},
            in_gallery=one.get("share_in_gallery"),
        )


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> Figure:
    values, bounds = [row["value"] for row in rows], [row["ci95"] for row in rows]
    return sum(values) / len(values), min(low for low, _ in bounds), max(high for _, high in bounds)
