"""The stream of training batches against open_clip's own training loader, on the same shards, and against bare decoding.

Both give what a step needs: a crop of 224 pixels and token ids, ours uint8, normalised on the device, open_clip's float
and normalised. Each measurement is a process of its own (``loader_jobs.py``); ours and the peers take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import wordfreq

from benchmarks.pictures import write_shards
from benchmarks.switch import LANGUAGES, captions, words_of
from benchmarks.timing import job
from benchmarks.timing import rates as as_row
from mmcs.files import atomic_folder, cache_folder
from mmcs.lexicons.format import write_lexicon

#: open_clip's trainer fails with later versions (KeyError: 'fname').
PEERS_WEBDATASET = "webdataset==0.2.86"
PEER = "open_clip's training loader (open_clip_train.data.get_wds_dataset)"
JOBS = "benchmarks.loader_jobs"
SAMPLES, SHARDS, BATCH_SIZE = 2_048, 8, 64
ROUNDS = 3
#: Batches per measurement: about four to eight seconds each.
OURS, THEIRS = 28, 14
#: A model as small as can be: it is built for its tokeniser and size of picture, those of ViT-B-32, and never run.
MODEL = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 32, "head_width": 16, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def measure() -> list[dict[str, Any]]:
    """The rows of this group."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        texts = captions(wordfreq.top_n_list("en", 20_000))
        for kind in ("small", "large"):
            write_shards(folder / kind, kind, SAMPLES, SHARDS, texts)
        (folder / "model.json").write_text(json.dumps(MODEL))
        _write_lexicon(folder / "switch.lex")
        rates = _rates(folder, webdataset_of_the_peer())
    rows = []
    for kind, workers in (("small", 1), ("small", 2), ("large", 1), ("large", 2)):
        name = f"loader_{kind}_{workers}_worker" + "s" * (workers > 1)
        rows.append(as_row(name, rates["ours", kind, workers], rates["open_clip", kind, workers], PEER))
    switched, theirs = rates["switched", "small", 1], rates["open_clip", "small", 1]
    rows.append(as_row("loader_small_switched_1_worker", switched, theirs, f"{PEER}, without a switch"))
    for suffix, kind in (("", "large"), ("_small", "small")):
        limit, peer = rates["decode", kind, 1], "simplejpeg alone on one core, the same files at full size, from memory"
        rows.append(as_row(f"loader_share_of_decode_limit{suffix}", rates["ours", kind, 1], limit, peer))
    return rows


def _rates(folder: Path, webdataset: Path) -> dict[tuple[str, str, int], list[float]]:
    """(what, kind of picture, workers) -> samples per second of each round."""
    rates: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for kind, workers in (("small", 1), ("large", 1), ("small", 2), ("large", 2)):
            loading = {"folder": str(folder / kind), "workers": workers, "batch_size": BATCH_SIZE}
            mine = loading | {"batches": OURS * workers, "model": str(folder / "model.json")}
            rates["ours", kind, workers].append(job(JOBS, "ours", mine))
            rates["open_clip", kind, workers].append(
                job(JOBS, "open_clip", loading | {"batches": THEIRS * workers}, webdataset)
            )
            if workers == 1:
                decoding = {"folder": str(folder / kind), "batches": OURS, "batch_size": BATCH_SIZE}
                rates["decode", kind, 1].append(job(JOBS, "decode", decoding))
            if (kind, workers) == ("small", 1):
                switching = {"lexicon": str(folder / "switch.lex")}
                rates["switched", kind, 1].append(job(JOBS, "ours", mine | switching))
    return rates


def _write_lexicon(path: Path) -> None:
    """Words of 14 languages for the switch: real ones, paired at random."""
    english = [word for word in words_of("en")[:30_000] if word.isascii() and word.isalpha()]
    entries = {
        language: {word: [(translated, 1.0)] for word, translated in zip(english, words_of(language), strict=False)}
        for language in LANGUAGES
    }
    source = [{"name": "bench", "provenance": "wordfreq's words at random", "licence": "none: not a dictionary"}]
    write_lexicon(path, entries, source_language="en", sources=source)


def webdataset_of_the_peer() -> Path:
    """A folder with the version that open_clip's loader runs with, fetched once."""
    folder = cache_folder() / "bench" / PEERS_WEBDATASET.replace("==", "-")
    if not folder.exists():
        uv = Path(__file__).parents[1] / ".uv" / "bin" / "uv"
        with atomic_folder(folder) as target:
            command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps", "--target", target]
            subprocess.run([*command, PEERS_WEBDATASET], check=True)
    return folder
