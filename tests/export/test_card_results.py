"""The figures on a model card are plain retrieval's, whatever else the run was evaluated on; its lexicons are named by source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmcs.evaluation.results import write_results
from mmcs.export.card import model_card
from mmcs.lexicons.format import write_lexicon
from mmcs.model.build import build_towers


def row(task: str, query: str, gallery: str, metric: str, value: float, **other: Any) -> dict[str, Any]:
    common = {
        "suite": "stamps",
        "split": "test",
        "protocol": "all_captions",
        "setting": "CLIR",
        "query_transform": None,
    }
    counts = {"ci95": [value, value], "n_queries": 9, "n_gallery": 5, "notes": ["Half of it was trained on."]}
    sides = {"task": task, "query_language": query, "gallery_language": gallery}
    return {**common, **counts, **sides, "metric": metric, "value": value, **other}


def test_rows_of_other_settings_do_not_reach_the_card(own_model: str, tmp_path: Path) -> None:
    plain = [
        row("image_retrieval", "de", "image", "recall@1", 0.11),
        row("image_retrieval", "de", "image", "recall@10", 0.31),
        row("text_retrieval", "image", "de", "recall@1", 0.12),
        row("text_retrieval", "image", "de", "recall@10", 0.32),
        row("image_retrieval", "de", "image", "mean_recall", 0.91),
        row("image_retrieval", "de", "image", "median_rank", 4.0),
    ]
    others = [
        row("image_retrieval", "de", "image", "recall@10", 0.92, query_transform="translate_test:dictionary"),
        row("image_retrieval", "en", "image", "recall@10", 0.93, query_transform="switched:0.5"),
        row("image_retrieval", "mixed", "image", "recall@10", 0.94, setting="MLIR"),
        row("text_retrieval", "image", "mixed", "recall@10", 0.95, setting="MLIR"),
        row("text_to_text", "de", "fr", "recall@10", 0.96),
        row("text_to_text", "hi", "en", "recall@10", 0.97, suite="texts", protocol="beir"),
    ]
    first = row("image_retrieval", "de", "image", "recall@10", 0.41, protocol="first_caption")
    write_results(tmp_path, "m", "two_view", 0, {}, [*others[:3], *plain, *others[3:], first])
    card = model_card(build_towers(own_model), "tiny", run=tmp_path)
    results = card[card.index("## Results") : card.index("## Licences")]
    assert "| de | 11.0 [11.0, 11.0] | 31.0 [31.0, 31.0] | 12.0 [12.0, 12.0] | 32.0 [32.0, 32.0] | 9 | 5 |" in results
    assert "| de | – | 41.0 [41.0, 41.0] | – | – | 9 | 5 |" in results
    assert (
        not any(f"{value}.0" in results for value in range(91, 98)) and "mixed" not in results and "beir" not in results
    )
    assert results.count("Half of it was trained on.") == 2  # beside each table
    assert results.count("### ") == 2


def test_each_source_of_a_lexicon_has_the_language_that_came_from_it(own_model: str, tmp_path: Path) -> None:
    sources = [{"name": f"en-{own}", "provenance": "x", "licence": "CC0-1.0", "language": own} for own in ("de", "fi")]
    sources.append({"name": "table", "provenance": "x", "licence": "CC0-1.0"})  # of several languages
    entries = {"de": {"dog": [("Hund", 1.0)]}, "fi": {"dog": [("koira", 1.0)]}}
    path = write_lexicon(tmp_path / "words.lex", entries, source_language="en", sources=sources)
    config = {"model": {"name": own_model}, "data": {"train_shards": []}, "codeswitch": {"lexicons": [str(path)]}}
    card = model_card(build_towers(own_model), "tiny", config=config)
    for name, languages in (("en-de", "de"), ("en-fi", "fi"), ("table", "de, fi")):
        assert f"| words.lex | {name} | x | CC0-1.0 | {languages} |" in card
