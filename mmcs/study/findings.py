"""The study's numbers, out of the runs' per-query files: rows against English only, controls, ablations, what the gain goes with, and
the gap to translated training. No words here (``page``), no training (``run``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmcs.evaluation.proximity import Distances, Proximity, proximity, read_distances
from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.resampling import interval, mean_over_languages, resampled_means, seed_weights
from mmcs.evaluation.rows import METRICS, per_query
from mmcs.evaluation.statistics import Difference, NonInferiority, bonferroni, non_inferiority
from mmcs.report.cells import RECALL_10, Cell, Figure, cells, differences
from mmcs.report.compare import compare
from mmcs.report.comparison import Comparison
from mmcs.report.names import BASELINE, CONTROLS, UNTRAINED, experiment_label
from mmcs.report.runs import Answers, Run, System, load_runs
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.jobs import cost
from mmcs.study.run import Finished

UPPER_BOUND = "two_view_translate"
RECOMMENDED = "recommended"
CENTRED = "English only, centred (nothing trained)"
RESAMPLES = 5000


@dataclass(frozen=True)
class Gain:
    """A difference and what it is worth.

    Attributes:
        difference: first minus second, recall@10 of captions that ask for images.
        corrected: its p-value times the number of tests in its table (Bonferroni).
        not_lost: of English alone, whether a loss of a point or more is excluded.
    """

    difference: Difference
    corrected: float
    not_lost: NonInferiority | None = None


@dataclass(frozen=True)
class Effort:
    """What one run took: its learning rate, the captions that it read, its CPU seconds with evaluation (NaN: not known)."""

    rate: float
    texts: int
    cpu_seconds: float


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        name: of the experiment; label: for people.
        figures: set of languages → figures of every metric.
        gains: set → against English only; empty for English only itself.
        n_seeds: runs. effort: of one run; None where nothing was trained or the runs are shorter than the system's.
    """

    name: str
    label: str
    figures: dict[str, Cell]
    gains: dict[str, Gain]
    n_seeds: int
    effort: Effort | None = None


@dataclass(frozen=True)
class Ablation:
    """One thing changed in one system; all of one table have the same seeds.

    Attributes:
        base: the system as it is. changed: gains are against English only of the same seeds.
        against: name → set → against ``base``.
    """

    title: str
    base: Row
    changed: list[Row]
    against: dict[str, dict[str, Gain]]


@dataclass(frozen=True)
class Gap:
    """What is left to translated training: share of (upper bound − English only) that a system gains, with its interval."""

    share: Figure
    left: Difference


@dataclass(frozen=True)
class Findings:
    """Everything that the page tells.

    Attributes:
        rows: English only first; the last is the untrained baseline ``centred``.
        controls: system → control → set → that system minus the control.
        over_centred: system → set → minus English only, centred.
        gaps: system → set → the gap to ``two_view_translate``.
        text_tower: rows of systems whose text tower was trained, too, English only first.
        by_coverage, by_distance: system → gain per language against the lexicon's coverage, the distance from English.
        main: the comparison of all systems. further: that of the further settings.
        transformed: system → transform → set, or its languages where not all were changed → (figure, gain over English only with
            plain queries).
        n_tests: of the rows, of the controls.
    """

    finished: Finished
    sets: dict[str, list[str]]
    rows: list[Row]
    controls: dict[str, dict[str, dict[str, Gain]]]
    over_centred: dict[str, dict[str, Gain]]
    gaps: dict[str, dict[str, Gap]]
    ablations: list[Ablation]
    text_tower: list[Row]
    by_coverage: dict[str, Proximity]
    by_distance: dict[str, Proximity]
    main: Comparison
    further: Comparison
    transformed: dict[str, dict[str, dict[str, tuple[Cell, Gain]]]]
    n_tests: tuple[int, int]


def find(finished: Finished) -> Findings:
    """Reads every run and computes what the page tells; also writes the two report pages."""
    stage, out = finished.material.comparing, finished.plan.out
    sets = {"seen": list(stage.seen), "unseen": list(stage.unseen), ENGLISH: [ENGLISH]}
    sets = {name: members for name, members in sets.items() if members}
    systems = {name: _system(name, runs) for name, runs in finished.systems.items()}
    plain = {name: _plain(own, sets) for name, own in systems.items()}
    if finished.bilingual:
        plain["bl_cs"] = _bilingual(finished.bilingual, sets)
    further = {own.experiment: own for own in _by_experiment(finished.further)}
    reference_run = further[BASELINE if BASELINE in further else UNTRAINED].runs[0].path
    centred = _transformed(further[BASELINE], "centred", sets) if BASELINE in further else {}
    if centred:
        plain[CENTRED] = centred
    rows = _rows(plain, plain[BASELINE], sets, finished)
    trained = [name for name in plain if name not in (*CONTROLS, BASELINE, CENTRED)]
    against = {
        (name, control): _differences(plain[name], plain[control], _some(sets, plain[control]))
        for name in trained
        for control in (*CONTROLS, CENTRED)
        if control in plain
    }
    family = _family(against)
    reference = {
        name: _proximities(differences(plain[name], plain[BASELINE], _each(sets)), sets, finished)
        for name in trained
        if name not in ("bl_cs", "translate_train", UPPER_BOUND)
    }
    runs = [run for own in finished.systems.values() for run in own]
    notes = [*finished.notes, "How each learning rate was chosen: study.md beside this page."]
    return Findings(
        finished=finished,
        sets=sets,
        rows=rows,
        controls={
            name: {control: family[name, control] for control in CONTROLS if (name, control) in family}
            for name in trained
        },
        over_centred={name: family[name, CENTRED] for name in trained if (name, CENTRED) in family},
        gaps=_gaps(plain, sets) if UPPER_BOUND in plain else {},
        ablations=_ablations(finished, sets),
        text_tower=_text_tower(finished, sets),
        by_coverage={name: own[0] for name, own in reference.items() if own[0]},
        by_distance={name: own[1] for name, own in reference.items()},
        main=compare(runs, finished.systems[BASELINE][0], out / "report.html", notes=notes),
        further=compare(finished.further, reference_run, out / "further.html", notes=finished.notes),
        transformed=_all_transformed(further, sets),
        n_tests=(sum(len(row.gains) for row in rows), sum(len(own) for own in against.values())),
    )


def _system(name: str, folders: Sequence[Path]) -> System:
    return System(experiment_label(name), name, load_runs(list(folders)))


def _by_experiment(folders: Sequence[Path]) -> list[System]:
    runs: dict[str, list[Run]] = {}
    for run in load_runs(list(folders)):
        runs.setdefault(run.experiment, []).append(run)
    return [System(experiment_label(name), name, own) for name, own in runs.items()]


def _place(run: Run) -> tuple[str, str]:
    return next(iter(run.protocols))


def _plain(system: System, sets: Mapping[str, Sequence[str]]) -> Answers:
    return system.answers(_place(system.runs[0]), TASKS[0], [language for own in sets.values() for language in own])


def _bilingual(folders: Mapping[str, Sequence[Path]], sets: Mapping[str, Sequence[str]]) -> Answers:
    """Each seen language asked of its own model; the others, and English, of all models."""
    models = {language: load_runs(list(own)) for language, own in folders.items()}
    every = [run for own in models.values() for run in own]
    found: Answers = {}
    for members in sets.values():
        for language in members:
            runs = models.get(language, every)
            found[language] = [run.queries[*_place(run), language, TASKS[0]] for run in runs]
    return found


def _transformed(system: System, transform: str, sets: Mapping[str, Sequence[str]]) -> Answers:
    """Answers to queries that were changed, in the languages in which they were."""
    wanted = {language for own in sets.values() for language in own}
    return {
        about.language: [run.read(about) for run in system.runs]
        for about in system.runs[0].rankings
        if about.query_transform == transform and about.task == TASKS[0] and about.language in wanted
    }


def _some(sets: Mapping[str, Sequence[str]], answers: Answers) -> dict[str, list[str]]:
    """The sets as far as they were answered in; of a set, all or those that were."""
    found = {name: [language for language in own if language in answers] for name, own in sets.items()}
    return {name: own for name, own in found.items() if own}


def _differences(first: Answers, second: Answers, sets: Mapping[str, Sequence[str]]) -> dict[str, Difference]:
    """Each set by itself: of BL-CS languages have different numbers of runs."""
    return {
        name: differences({language: first[language] for language in own}, second, {name: own})[name]
        for name, own in sets.items()
    }


def _each(sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {language: [language] for own in sets.values() for language in own}


def _gain(difference: Difference, corrected: float, english: bool) -> Gain:
    return Gain(difference, corrected, non_inferiority(difference) if english else None)


def _family(found: Mapping[tuple[str, str], Mapping[str, Difference]]) -> dict[tuple[str, str], dict[str, Gain]]:
    """All differences of one table, corrected for how many they are."""
    flat = [(pair, name, own) for pair, of in found.items() for name, own in of.items()]
    result: dict[tuple[str, str], dict[str, Gain]] = {pair: {} for pair in found}
    for (pair, name, own), p_value in zip(flat, bonferroni([own.p_value for *_, own in flat]), strict=True):
        result[pair][name] = _gain(own, p_value, name == ENGLISH)
    return result


def _rows(
    plain: Mapping[str, Answers], base: Answers, sets: Mapping[str, Sequence[str]], finished: Finished
) -> list[Row]:
    found = {
        (name, BASELINE): _differences(own, base, _some(sets, own)) for name, own in plain.items() if own is not base
    }
    gains = _family(found)
    return [
        Row(
            name=name,
            label=experiment_label(name) if name != CENTRED else name,
            figures=_figures(own, _some(sets, own)),
            gains=gains.get((name, BASELINE), {}),
            n_seeds=min(map(len, own.values())),
            effort=_effort(name, finished),
        )
        for name, own in plain.items()
    ]


def _figures(answers: Answers, sets: Mapping[str, Sequence[str]]) -> dict[str, Cell]:
    """Of languages with different numbers of runs (BL-CS), each set by itself."""
    return {
        name: cells({language: answers[language] for language in own}, {name: own})[name] for name, own in sets.items()
    }


def _effort(name: str, finished: Finished, folders: Sequence[Path] = ()) -> Effort | None:
    """None of what was not trained."""
    folders = folders or finished.systems.get(name) or [run for own in finished.bilingual.values() for run in own]
    if name not in finished.choices:
        return None
    config = load_runs([folders[0]])[0].results["config"]
    views = len(config["codeswitch"].get("views") or ["english"])
    samples = config["trainer"]["max_steps"] * config["data"]["batch_size"]
    return Effort(finished.choices[name].rate, samples * views, cost(folders))


def _gaps(plain: Mapping[str, Answers], sets: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Gap]]:
    """Shares of the gap, by one bootstrap of groups and seeds for the three systems of each."""
    found: dict[str, dict[str, Gap]] = {}
    for name, own in plain.items():
        if name in (BASELINE, UPPER_BOUND, CENTRED, "bl_cs"):
            continue
        left = differences(own, plain[UPPER_BOUND], sets)
        found[name] = {
            of: Gap(_share(own, plain[BASELINE], plain[UPPER_BOUND], members), left[of]) for of, members in sets.items()
        }
    return found


def _share(own: Answers, base: Answers, upper: Answers, languages: Sequence[str]) -> Figure:
    place = METRICS.index(RECALL_10)
    hits: dict[str, np.ndarray] = {}
    for language in languages:
        runs = [*own[language], *base[language], *upper[language]]
        hits[language] = np.stack([per_query(run.ranks, run.ndcg)[:, place] for run in runs], axis=1)
    counts = [len(answers[languages[0]]) for answers in (own, base, upper)]
    samples = mean_over_languages(
        resampled_means(hits, {language: own[language][0].groups for language in languages}, RESAMPLES, 0)
    )
    random = np.random.default_rng([0, 2])
    parts, at = [], 0
    for count in counts:
        parts.append((samples[:, at : at + count] * seed_weights(count, RESAMPLES, random)).sum(axis=1))
        at += count
    means = np.split(np.mean([own_hits.mean(axis=0) for own_hits in hits.values()], axis=0), np.cumsum(counts)[:-1])
    first, second, third = (float(part.mean()) for part in means)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (parts[0] - parts[1]) / (parts[2] - parts[1])
    if not np.isfinite(drawn).all():  # no gap in some resample: nothing can be said
        return float("nan"), float("nan"), float("nan")
    value = (first - second) / (third - second) if third != second else float("nan")
    return (value, *interval(drawn))


def _ablations(finished: Finished, sets: Mapping[str, Sequence[str]]) -> list[Ablation]:
    few = finished.plan.settings["ablation_seeds"]
    found = []
    for title, (base, arms) in finished.ablations.items():
        alike = {name: _plain(_system(name, _seeds(finished.systems[name], few)), sets) for name in {BASELINE, base}}
        changed = {name: _plain(_system(name, runs), sets) for name, runs in arms.items()}
        gains = _family({(name, BASELINE): differences(own, alike[BASELINE], sets) for name, own in changed.items()})
        against = _family({(name, base): differences(own, alike[base], sets) for name, own in changed.items()})
        of_base = _family({(base, BASELINE): differences(alike[base], alike[BASELINE], sets)})[base, BASELINE]
        found.append(
            Ablation(
                title,
                Row(
                    base,
                    experiment_label(base),
                    _figures(alike[base], sets),
                    {} if base == BASELINE else of_base,
                    len(few),
                ),
                [
                    Row(name, name, _figures(own, sets), gains[name, BASELINE], len(few))
                    for name, own in changed.items()
                ],
                {name: against[name, base] for name in changed},
            )
        )
    return found


def _seeds(folders: Sequence[Path], seeds: Sequence[int]) -> list[Path]:
    wanted = {f"seed_{seed}" for seed in seeds}
    return [folder for folder in folders if folder.name in wanted]


def _text_tower(finished: Finished, sets: Mapping[str, Sequence[str]]) -> list[Row]:
    plain = {name: _plain(_system(name, runs), sets) for name, runs in finished.text_tower.items()}
    if not plain:
        return []
    base = next(iter(plain.values()))
    gains = _family({(name, ""): differences(own, base, sets) for name, own in plain.items() if own is not base})
    rows = []
    for name, own in plain.items():
        folders = finished.text_tower[name]
        label = experiment_label(name.removesuffix("_text_tower"))
        effort = _effort(name, finished, folders)
        rows.append(Row(name, label, _figures(own, sets), gains.get((name, ""), {}), len(folders), effort))
    return rows


def _proximities(
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
    texts = captions_by_language("::".join(shards) if isinstance(shards, list | tuple) else str(shards))[ENGLISH]
    found: dict[str, float] = {}
    for path in stage.lexicons:
        measured = coverage(texts, Lexicon.open(Path(path)), lemmas=lemmas_of(ENGLISH))["languages"]
        for language, own in measured.items():
            if language in stage.seen:
                found.setdefault(language, own.get("content_tokens_with_lemmas", own["content_tokens"]))
    return found


def _all_transformed(
    systems: Mapping[str, System], sets: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, dict[str, tuple[Cell, Gain]]]]:
    """Translate-Test, centring and switched queries: figures, and the gain over English only with the queries as they were."""
    if BASELINE not in systems:
        return {}
    base = _plain(systems[BASELINE], sets)
    found: dict[tuple[str, str], dict[str, Difference]] = {}
    figures: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, system in systems.items():
        for transform in dict.fromkeys(about.query_transform for about in system.runs[0].rankings):
            answers = _transformed(system, transform, sets) if transform else {}
            if answers:
                own = {
                    of if len(members) == len(sets[of]) else ",".join(members): members
                    for of, members in _some(sets, answers).items()
                }
                figures[name, str(transform)] = _figures(answers, own)
                found[name, str(transform)] = differences(answers, base, own)
    gains = _family(found)
    result: dict[str, dict[str, dict[str, tuple[Cell, Gain]]]] = {}
    for (name, transform), shown in figures.items():
        result.setdefault(name, {})[transform] = {of: (shown[of], gains[name, transform][of]) for of in shown}
    return result
