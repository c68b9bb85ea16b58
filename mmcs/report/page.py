"""``report.html``: one self-contained page out of a comparison. Its layout lies in ``*.html.j2``, its sentences in ``words``.

What is shown of a suite is made in ``suite_part``; ``compare`` and the demo call this.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mmcs import __version__
from mmcs.evaluation.ranking import TASKS
from mmcs.evaluation.rows import METRICS, per_query
from mmcs.files import atomic_file
from mmcs.report import further_words, names, words
from mmcs.report.comparison import Comparison
from mmcs.report.heat_map import heat_css
from mmcs.report.language_verdicts import LanguageVerdict
from mmcs.report.picture import Pictures
from mmcs.report.plot import looks
from mmcs.report.runs import System
from mmcs.report.suite_part import by_kind, suite_part

# ir_measures' names of the figures that are recomputed.
_OUTSIDE = {
    "recall@1": "Success@1",
    "recall@5": "Success@5",
    "recall@10": "Success@10",
    "mrr@10": "RR@10",
    "ndcg@10": "nDCG@10",
}


def write_page(path: Path, comparison: Comparison, pictures: Pictures | None = None, notes: Sequence[str] = ()) -> None:
    """Writes the page.

    Args:
        path: the file; its folder is made if missing.
        comparison: what it shows.
        pictures: image id → an encoded image (or None); by default out of the suites' shards. Where there are none the
            examples show captions and ranks alone.
        notes: sentences on how the runs came about: how settings were chosen, what was tried.
    """
    environment = pages()
    environment.globals |= {"words": words, "names": names, "further_words": further_words, "task_names": TASKS}
    environment.filters |= {
        "p": words.p_text,
        "percent": _percent,
        "interval": _interval,
        "thousands": _thousands,
        "needed": _needed,
        "seeds": _seeds,
        "further_group": further_words.further_group,
        "further_title": further_words.further_title,
        "figure": further_words.further_figure,
    }
    labels = [system.label for system in comparison.systems]
    own = looks(labels)
    parts = [suite_part(comparison, part, place, own, pictures) for place, part in enumerate(comparison.suites)]
    page = environment.get_template("page.html.j2").render(
        comparison=comparison,
        alone=len(labels) == 1,
        title=_title(comparison),
        labels=labels,
        summary=words.summary_parts(comparison),
        contents=_contents(comparison, parts),
        parts=parts,
        texts=by_kind(comparison.texts),
        heat_css=heat_css() if any(part.matrices for part in comparison.suites) else "",
        notes=notes,
        recompute=_recompute(comparison),
        command=_command(comparison),
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def pages() -> jinja2.Environment:
    """Where the templates of mmcs' pages are found, and how they are read."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mmcs.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = __version__
    return environment


def _title(comparison: Comparison) -> str:
    base = comparison.baseline.label
    if len(comparison.systems) == 1:
        return f"Retrieval per language: {base}"
    candidates = {label for part in comparison.suites for label in part.candidates}
    what = "find images" if comparison.suites else "find texts"
    if len(candidates) == 1:
        return f"Does “{candidates.pop()}” {what} better than “{base}”?"
    return f"Which of {len(candidates)} systems {what.replace('find', 'finds')} better than “{base}”?"


def _contents(comparison: Comparison, parts: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(anchor, text) of the page's sections; several suites stand for theirs."""
    if len(parts) == 1:
        part, suite = parts[0], parts[0]["suite"]
        sections = [
            ("answers", "Answers", len(comparison.systems) > 1),
            ("languages", "Language by language", part["differences"]),
            ("recall", "Recall per language", True),
            ("map", "From language to language", part["maps"]["shares"]),
            ("distance", "Do distant languages gain more?", part["proximity"]),
            ("further", "Other ways to ask", part["further"]),
            ("terms", "Queries with your terms", suite.terms),
            ("examples", "Queries that changed most", part["examples"]),
        ]
        found = [(f"{part['id']}-{anchor}", text) for anchor, text, there in sections if there]
    else:
        found = [(part["id"], f"{part['suite'].suite} ({part['suite'].split})") for part in parts]
    texts = [("texts", "Text search")] if comparison.texts else []
    method = [("settings", "Training settings"), ("protocol", "Protocol and data"), ("recompute", "Recompute it")]
    return [*found, *texts, *method]


def _recompute(comparison: Comparison) -> dict[str, Any] | None:
    """Commands that recompute one ranking's figures, and what they give; None where no files of rankings are kept."""
    run = comparison.systems[-1].runs[0]
    keys = [key for part in comparison.suites for key in run.queries if key[:2] == (part.suite, part.split)]
    keys = [key for key in keys if key[3] == TASKS[0]]
    if not keys:
        return None
    queries = run.queries[keys[-1]]
    stem = queries.about.file
    means = dict(zip(METRICS, per_query(queries.ranks, queries.ndcg).mean(axis=0).tolist(), strict=True))
    commands = [
        f"cd {shlex.quote(str(run.path / 'retrieval'))}",
        f"ir_measures {stem}.qrels {stem}.run.gz {shlex.quote(' '.join(_OUTSIDE.values()))}",
        f"gunzip -k {stem}.run.gz",
        f"trec_eval -c -M 10 -m success.1,5,10 -m recip_rank -m ndcg_cut.10 {stem}.qrels {stem}.run",
    ]
    return {
        "language": names.language_name(keys[-1][2]),
        "label": comparison.systems[-1].label,
        "commands": "\n".join(commands),
        "figures": {outside: means[metric] for metric, outside in _OUTSIDE.items()},
    }


def _command(comparison: Comparison) -> str:
    runs = [str(run.path) for system in comparison.systems for run in system.runs]
    return shlex.join(["mmcs", "compare", *runs, "--baseline", str(comparison.baseline.runs[0].path)])


def _seeds(system: System) -> str:
    return ", ".join(str(run.seed) for run in system.runs if run.seed is not None) or "nothing trained"


def _needed(verdict: LanguageVerdict) -> str:
    """What it takes to tell a difference of this size."""
    if verdict.needed is None:
        return "too close to 0 to say how many queries it takes"
    if verdict.needed <= verdict.difference.n_queries:
        return "more seeds needed, not more queries"
    return f"{words.about(verdict.needed)} queries needed"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(figure: tuple[float, float, float]) -> Markup:
    value, low, high = (_percent(x) for x in figure)
    return Markup(f'{value} <span class="soft">[{low}, {high}]</span>')


def _thousands(count: int) -> str:
    return f"{count:,}"
