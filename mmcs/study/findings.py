"""The study's numbers, out of the runs' per-query files: rows against English only, controls, ablations, further settings. What a
difference is worth stands in ``gains``, the gap to translated training in ``gaps``, what the gain goes with in ``relations``. No
words here (``page``), no training (``run``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcs.evaluation.proximity import Proximity
from mmcs.evaluation.statistics import Difference
from mmcs.report.cells import Cell, differences
from mmcs.report.compare import compare
from mmcs.report.comparison import Comparison
from mmcs.report.names import BASELINE, CONTROLS, UNTRAINED, experiment_label
from mmcs.report.runs import Answers, System, load_runs
from mmcs.retrieval.languages import ENGLISH
from mmcs.study.gains import (
    Gain,
    bilingual_answers,
    by_experiment,
    differences_of,
    each_of,
    family,
    figures_of,
    plain_answers,
    some_of,
    system_of,
    transformed_answers,
)
from mmcs.study.gaps import Gap, gaps_of
from mmcs.study.jobs import cost
from mmcs.study.plan import BILINGUAL
from mmcs.study.relations import proximities
from mmcs.study.run import Finished

UPPER_BOUND = "two_view_translate"
RECOMMENDED = "recommended"
CENTRED = "English only, centred (nothing trained)"


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
    systems = {name: system_of(name, runs) for name, runs in finished.systems.items()}
    plain = {name: plain_answers(own, sets) for name, own in systems.items()}
    if finished.bilingual:
        plain[BILINGUAL] = bilingual_answers(finished.bilingual, sets)
    further = {own.experiment: own for own in by_experiment(finished.further)}
    reference_run = further[BASELINE if BASELINE in further else UNTRAINED].runs[0].path
    centred = transformed_answers(further[BASELINE], "centred", sets) if BASELINE in further else {}
    if centred:
        plain[CENTRED] = centred
    rows = _rows(plain, plain[BASELINE], sets, finished)
    trained = [name for name in plain if name not in (*CONTROLS, BASELINE, CENTRED)]
    measured = {name: own for name, own in plain.items() if name not in (BASELINE, UPPER_BOUND, CENTRED, BILINGUAL)}
    against = {
        (name, control): differences_of(plain[name], plain[control], some_of(sets, plain[control]))
        for name in trained
        for control in (*CONTROLS, CENTRED)
        if control in plain
    }
    corrected = family(against)
    reference = {
        name: proximities(differences(plain[name], plain[BASELINE], each_of(sets)), sets, finished)
        for name in trained
        if name not in (BILINGUAL, "translate_train", UPPER_BOUND)
    }
    runs = [run for own in finished.systems.values() for run in own]
    notes = [*finished.notes, "How each learning rate was chosen: study.md beside this page."]
    return Findings(
        finished=finished,
        sets=sets,
        rows=rows,
        controls={
            name: {control: corrected[name, control] for control in CONTROLS if (name, control) in corrected}
            for name in trained
        },
        over_centred={name: corrected[name, CENTRED] for name in trained if (name, CENTRED) in corrected},
        gaps=gaps_of(measured, plain[BASELINE], plain[UPPER_BOUND], sets) if UPPER_BOUND in plain else {},
        ablations=_ablations(finished, sets),
        text_tower=_text_tower(finished, sets),
        by_coverage={name: own[0] for name, own in reference.items() if own[0]},
        by_distance={name: own[1] for name, own in reference.items()},
        main=compare(runs, finished.systems[BASELINE][0], out / "report.html", notes=notes),
        further=compare(finished.further, reference_run, out / "further.html", notes=finished.notes),
        transformed=_all_transformed(further, sets),
        n_tests=(sum(len(row.gains) for row in rows), sum(len(own) for own in against.values())),
    )


def _rows(
    plain: Mapping[str, Answers], base: Answers, sets: Mapping[str, Sequence[str]], finished: Finished
) -> list[Row]:
    found = {
        (name, BASELINE): differences_of(own, base, some_of(sets, own))
        for name, own in plain.items()
        if own is not base
    }
    gains = family(found)
    return [
        Row(
            name=name,
            label=experiment_label(name) if name != CENTRED else name,
            figures=figures_of(own, some_of(sets, own)),
            gains=gains.get((name, BASELINE), {}),
            n_seeds=min(map(len, own.values())),
            effort=_effort(name, finished),
        )
        for name, own in plain.items()
    ]


def _effort(name: str, finished: Finished, folders: Sequence[Path] = ()) -> Effort | None:
    """None of what was not trained."""
    folders = folders or finished.systems.get(name) or [run for own in finished.bilingual.values() for run in own]
    if name not in finished.choices:
        return None
    config = load_runs([folders[0]])[0].results["config"]
    views = len(config["codeswitch"].get("views") or ["english"])
    samples = config["trainer"]["max_steps"] * config["data"]["batch_size"]
    return Effort(finished.choices[name].rate, samples * views, cost(folders))


def _ablations(finished: Finished, sets: Mapping[str, Sequence[str]]) -> list[Ablation]:
    few = finished.plan.settings["ablation_seeds"]
    found = []
    for title, (base, arms) in finished.ablations.items():
        alike = {
            name: plain_answers(system_of(name, _seeds(finished.systems[name], few)), sets) for name in {BASELINE, base}
        }
        changed = {name: plain_answers(system_of(name, runs), sets) for name, runs in arms.items()}
        gains = family({(name, BASELINE): differences(own, alike[BASELINE], sets) for name, own in changed.items()})
        against = family({(name, base): differences(own, alike[base], sets) for name, own in changed.items()})
        of_base = family({(base, BASELINE): differences(alike[base], alike[BASELINE], sets)})[base, BASELINE]
        found.append(
            Ablation(
                title,
                Row(
                    base,
                    experiment_label(base),
                    figures_of(alike[base], sets),
                    {} if base == BASELINE else of_base,
                    len(few),
                ),
                [
                    Row(name, name, figures_of(own, sets), gains[name, BASELINE], len(few))
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
    plain = {name: plain_answers(system_of(name, runs), sets) for name, runs in finished.text_tower.items()}
    if not plain:
        return []
    base = next(iter(plain.values()))
    gains = family({(name, ""): differences(own, base, sets) for name, own in plain.items() if own is not base})
    rows = []
    for name, own in plain.items():
        folders = finished.text_tower[name]
        label = experiment_label(name.removesuffix("_text_tower"))
        effort = _effort(name, finished, folders)
        rows.append(Row(name, label, figures_of(own, sets), gains.get((name, ""), {}), len(folders), effort))
    return rows


def _all_transformed(
    systems: Mapping[str, System], sets: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, dict[str, tuple[Cell, Gain]]]]:
    """Translate-Test, centring and switched queries: figures, and the gain over English only with the queries as they were."""
    if BASELINE not in systems:
        return {}
    base = plain_answers(systems[BASELINE], sets)
    found: dict[tuple[str, str], dict[str, Difference]] = {}
    figures: dict[tuple[str, str], dict[str, Cell]] = {}
    for name, system in systems.items():
        for transform in dict.fromkeys(about.query_transform for about in system.runs[0].rankings):
            answers = transformed_answers(system, transform, sets) if transform else {}
            if answers:
                own = {
                    of if len(members) == len(sets[of]) else ",".join(members): members
                    for of, members in some_of(sets, answers).items()
                }
                figures[name, str(transform)] = figures_of(answers, own)
                found[name, str(transform)] = differences(answers, base, own)
    gains = family(found)
    result: dict[str, dict[str, dict[str, tuple[Cell, Gain]]]] = {}
    for (name, transform), shown in figures.items():
        result.setdefault(name, {})[transform] = {of: (shown[of], gains[name, transform][of]) for of in shown}
    return result
