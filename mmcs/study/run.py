"""The study from beginning to end: data, learning rates, runs, further evaluations, findings, page. Each step lives in its own file;
what is done is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcs.demo import say
from mmcs.report.names import BASELINE
from mmcs.run_folder import held
from mmcs.study.choose import Choice, choose
from mmcs.study.further import further_evaluations
from mmcs.study.jobs import Job, run_all, workers_of
from mmcs.study.material import Material, prepare
from mmcs.study.plan import BILINGUAL, Arm, Plan, Stage


@dataclass(frozen=True)
class Finished:
    """What the study has on disk when every run is done; ``findings`` reads it.

    Attributes:
        systems: name → its runs, one per seed.
        bilingual: language → the runs of its BL-CS.
        text_tower: name → runs whose text tower was trained, too.
        ablations: title → (the system that is changed, name → runs).
        further: folders of further evaluations, the untouched model's among them.
        choices: name → how its learning rate was chosen.
    """

    plan: Plan
    material: Material
    systems: dict[str, list[Path]]
    bilingual: dict[str, list[Path]]
    text_tower: dict[str, list[Path]]
    ablations: dict[str, tuple[str, dict[str, list[Path]]]]
    further: list[Path]
    choices: dict[str, Choice]
    notes: list[str]


def study(plan: Plan) -> Path:
    """Runs the study and writes its pages; returns the path of the one that is to be read.

    Raises:
        UserError, DataError, MmcsError: with one sentence each; the same command goes on where it ended.
    """
    from mmcs.study.findings import find
    from mmcs.study.page import write_pages

    with held(plan.out):
        material = prepare(plan)
        finished = _train(plan, material)
        say("findings")
        return write_pages(find(finished), plan)


def _train(plan: Plan, material: Material) -> Finished:
    systems, own_tower, tower = plan.systems(), plan.text_tower(), plan.settings["text_tower"]
    bilingual = {arm.languages[0]: arm for arm in plan.bilingual(material.comparing.seen) if arm.languages}
    workers = workers_of(plan.config(systems[0], material.comparing, 0, 1.0), plan.settings["workers"])
    one = plan.bilingual(material.choosing.seen[:1])  # of BL-CS one language stands for all
    rates = plan.settings["learning_rates"]
    choices = _choose(plan, material.choosing, [*systems, *one], rates, "choosing", workers)
    choices |= _choose(plan, material.choosing, own_tower, tower["learning_rates"], "choosing_text_tower", workers)

    def jobs(part: str, arm: Arm, like: str, seeds: Sequence[int]) -> list[Job]:
        folder, rate = plan.out / part / arm.name, choices[like].rate
        return [Job(plan.config(arm, material.comparing, seed, rate), folder / f"seed_{seed}") for seed in seeds]

    seeds, few = plan.settings["seeds"], plan.settings["ablation_seeds"]
    first = {arm.name: jobs("systems", arm, arm.name, seeds) for arm in systems}
    second = {language: jobs("systems", arm, BILINGUAL, seeds) for language, arm in bilingual.items()}
    third = {
        title: (base, {name: jobs("ablations", arm, base, few) for name, arm in arms.items()})
        for title, (base, arms) in plan.ablations(material.comparing, material.lexicons).items()
    }
    fourth = {arm.name: jobs("systems", arm, arm.name, tower["seeds"]) for arm in own_tower}
    parts = [first, second, *(own for _, own in third.values()), fourth]
    run_all("training", [job for part in parts for own in part.values() for job in own], workers)
    further, notes = further_evaluations(plan, material, first, first[BASELINE][0])
    run_all("further settings", further, workers)

    def folders(own: dict[str, list[Job]]) -> dict[str, list[Path]]:
        return {name: [job.folder for job in jobs] for name, jobs in own.items()}

    return Finished(
        plan=plan,
        material=material,
        systems=folders(first),
        bilingual=folders(second),
        text_tower=folders(fourth),
        ablations={title: (base, folders(own)) for title, (base, own) in third.items()},
        further=[one.folder for one in further],
        choices=choices,
        notes=[*material.notes, *notes],
    )


def _choose(
    plan: Plan, stage: Stage, arms: Sequence[Arm], rates: Sequence[float], part: str, workers: int
) -> dict[str, Choice]:
    """Learning rates by the names of systems."""
    seed = plan.settings["seeds"][0]
    baseline = next((arm.name for arm in arms if arm.experiment == BASELINE), "")

    def with_rate(arm: Arm) -> Callable[[float], Job]:
        return lambda rate: Job(plan.config(arm, stage, seed, rate), plan.out / part / arm.name / f"lr_{rate:g}")

    tries = {BILINGUAL if arm.experiment == BILINGUAL else arm.name: with_rate(arm) for arm in arms}
    return choose(tries, baseline, rates, plan.out / part, workers)
