"""Writes what the study found: ``study.md`` for people, ``study.json`` with its numbers, pictures beside. Nothing is computed here."""

from __future__ import annotations

import json
from datetime import date
from importlib.metadata import version
from pathlib import Path

import jinja2

from mmcs.files import atomic_file
from mmcs.report.names import experiment_label, language_name
from mmcs.report.proximity_plot import proximity_plot
from mmcs.study import tables
from mmcs.study.answers import answer, basis, choosing, untouched, with_text_tower, without_training
from mmcs.study.findings import RECOMMENDED, Findings
from mmcs.study.further_tables import further_settings
from mmcs.study.numbers import numbers
from mmcs.study.plan import Plan
from mmcs.study.words import asked, counted

NAME = "study"
STANDS_ALONE = (
    'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'  # on a page, SVG needs neither
)
GREY = "#767676"  # seen on white and on black


def write_pages(found: Findings, plan: Plan) -> Path:
    """Writes ``study.md``, ``study.json`` and pictures into the study's folder, and the page where ``study.page`` names it; returns the
    path of the page that is to be read.
    """
    with atomic_file(plan.out / f"{NAME}.json") as path:
        path.write_text(json.dumps(numbers(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    targets = [plan.out / f"{NAME}.md"]
    if plan.settings["page"]:
        targets.append(Path(plan.settings["page"]).absolute())
    for target in targets:
        pictures = _draw(found, target)
        with atomic_file(target) as path:
            path.write_text(_page(found, pictures), encoding="utf-8")
    return targets[-1]


def _page(found: Findings, pictures: list[dict[str, str]]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmcs.study", "."), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    plan = found.finished.plan
    sets = found.sets
    names = {name: ", ".join(map(language_name, own)) for name, own in sets.items()}
    unseen = f" Without one: {names['unseen']}." if "unseen" in sets else ""
    return environment.get_template("study.md.j2").render(
        date=date.today().isoformat(),
        versions=", ".join(f"{name} {version(name)}" for name in ("torch", "open_clip_torch", "lightning")),
        basis=basis(found),
        seeds=counted(len(plan.settings["seeds"]), "seed"),
        languages=f"With a lexicon: {names['seen']}.{unseen}",
        answers=[
            *(line for name in asked(found) for line in answer(found, name)),
            *with_text_tower(found),
            *without_training(found),
        ],
        untouched=untouched(found),
        n_rows=found.n_tests[0],
        n_controls=found.n_tests[1],
        rows=tables.rows_of_systems(found.rows, sets),
        effort=tables.effort(found.rows),
        controls=tables.controls(found),
        gaps=tables.gaps(found),
        study_terms=tables.study_terms(found),
        per_language=tables.per_language(found),
        correlations=tables.correlations(found),
        pictures=pictures,
        settings=further_settings(found),
        text_tower=tables.text_tower(found),
        ablation_seeds=counted(len(plan.settings["ablation_seeds"]), "seed"),
        ablations=[
            {"title": own.title[0].upper() + own.title[1:], "table": tables.ablation(own, sets)}
            for own in found.ablations
        ],
        command=plan.command,
        choosing=choosing(found),
        choices=tables.choices(found),
        notes=found.finished.notes or ["Nothing beside what is said above."],
    )


def _draw(found: Findings, page: Path) -> list[dict[str, str]]:
    """Gain against coverage and against distance, as SVG beside the page."""
    name = next((own for own in (RECOMMENDED, "two_view") if own in found.by_distance), None)
    if name is None:
        return []
    drawn = []
    for kind, of, across in (
        ("coverage", found.by_coverage.get(name), "share of content words in the lexicon"),
        ("distance", found.by_distance[name], "distance from English"),
    ):
        if of is None or len(of.languages) < 2:
            continue
        title = f"{experiment_label(name)}: gain in recall@10 against {across}"
        values = dict(zip(of.languages, zip(of.distances, of.gains, strict=True), strict=True))
        text = proximity_plot(values, found.sets, title, f"study-{kind}", across)
        target = page.parent / f"{page.stem}-{kind}.svg"
        with atomic_file(target) as path:
            path.write_text(
                text.replace("<svg ", f"<svg {STANDS_ALONE} ", 1).replace("currentColor", GREY), encoding="utf-8"
            )
        drawn.append({"title": title, "path": target.name})
    return drawn
