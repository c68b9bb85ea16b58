"""What a GPU makes of the training: ``python -m benchmarks.gpu`` measures, prints a table and a paragraph for
``docs/benchmarks.md``, and writes JSON. It needs a CUDA GPU and nothing from a hub; ``--device cpu`` tries it at tiny shapes.

Every measurement is a process of its own (``gpu_jobs.py``); ours and the peer take turns. Not part of ``make bench``.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.gpu_jobs import Setting, do
from benchmarks.random_models import write_models
from mmcs.files import atomic_file

PARTS = ("recall", "loss", "step", "largest")
PEER = "open_clip's trainer"
PACKAGES = ("torch", "open_clip_torch", "transformers", "lightning")
#: Dense bfloat16 TFLOP/s by the maker's data sheets; the longest name that a device's begins with holds.
DATA_SHEETS = {
    "NVIDIA A100": 312.0,
    "NVIDIA H100 80GB HBM3": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA H200": 989.0,
    "NVIDIA L4": 121.0,
    "NVIDIA L40": 181.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA GeForce RTX 4090": 165.0,
}
#: Tokens of the longest caption of a batch: some 35 words. open_clip pads to 77.
CAPTION = 48
#: name's end -> how that step differs
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "_compiled": {"compiled": True},
    "_on_device": {"resident": True},
    "_captions": {"length": CAPTION},
}


@dataclass(frozen=True)
class Plan:
    """How much is measured: ``batch_size`` of the steps, matrices of the peak, samples of the loss, the largest batch tried, the
    languages, texts of each and images of the suite whose recall is taken; ``failed``: jobs that did not end well, for another reason than memory.
    """

    device: str
    rounds: int
    steps: int
    warm_up: int
    batch_size: int
    variants: tuple[str, ...]
    matrix: int
    loss: tuple[int, ...]
    chunk: int
    most: int
    suite: tuple[int, int, int]
    failed: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, device: str, quick: bool) -> Plan:
        """That of a GPU (``quick``: one round, without torch.compile), or tiny for a trial on a CPU."""
        uncompiled = tuple(name for name, how in VARIANTS.items() if "compiled" not in how)
        if device == "cpu":
            return cls(device, 1, 4, 1, 8, uncompiled, 256, (256,), 4, 8, (2, 60, 30))
        whole = cls(device, 3, 45, 10, 512, tuple(VARIANTS), 8_192, (32_768, 131_072), 256, 65_536, (36, 7_250, 3_600))
        quicker = replace(whole, rounds=1, steps=25, variants=uncompiled, loss=(32_768,), most=4_096)
        return quicker if quick else whole


def main() -> int:
    """Entry point; exit code 2 without a GPU, 1 where a job failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--quick", action="store_true", help="one round, without torch.compile, smaller batches")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: tiny shapes, to try the script")
    parser.add_argument("--batch-size", type=int, help="samples of a step (512)")
    parser.add_argument("--out", type=Path, help="the JSON file (benchmarks/gpu.json; of a trial on a CPU none)")
    asked = parser.parse_args()
    if asked.batch_size is not None and asked.batch_size < 1:
        parser.error("--batch-size is at least 1")

    import torch

    if asked.device == "cuda" and not torch.cuda.is_available():
        print(
            "benchmarks.gpu: torch finds no CUDA GPU on this machine; --device cpu tries the script.", file=sys.stderr
        )
        return 2
    if asked.device == "cpu":
        torch.set_num_threads(1)  # at tiny shapes several would wait for each other
    plan = Plan.of(asked.device, asked.quick)
    if asked.batch_size:
        plan = replace(plan, batch_size=asked.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder), tiny=asked.device == "cpu")
        rows: list[dict[str, Any]] = []
        told = {**machine(asked.device), "failed": plan.failed, "rows": rows}
        out = asked.out or (Path(__file__).parent / "gpu.json" if asked.device == "cuda" else None)
        for part in (asked.only,) if asked.only else PARTS:
            rows += {"step": steps, "largest": largest, "loss": losses, "recall": recalls}[part](plan, models)
            if out:  # after every part, since a whole run takes long
                with atomic_file(out) as path:
                    path.write_text(json.dumps(told, indent=1) + "\n")
    show(rows)
    print(paragraph(told))
    return 1 if plan.failed else 0


# --- what is measured -----------------------------------------------------------------------------------------------


def steps(plan: Plan, models: dict[str, Path]) -> list[dict[str, Any]]:
    """Samples per second and memory of the step, and the share of the peak that it reaches."""
    rows = []
    reached = _job(plan, "peak", device=plan.device, size=plan.matrix).get("tflops")
    for name, model in models.items():
        setting = Setting(str(model), plan.device, plan.batch_size, plan.steps, plan.warm_up)
        per_sample = _job(plan, "flops", setting=asdict(replace(setting, batch_size=min(64, plan.batch_size))))
        for variant in plan.variants:
            if "length" in VARIANTS[variant] and "hf_model_name" not in setting.text:
                continue  # every caption of the others has the context length
            what = f"gpu_{name}{variant}"
            rows += (measured := _in_turns(plan, what, replace(setting, **VARIANTS[variant])))
            if "length" not in VARIANTS[variant]:
                rows.append(_share(f"{what}_share_of_peak", measured[0]["ours"], per_sample.get("per_sample"), reached))
    return rows


def _in_turns(plan: Plan, name: str, setting: Setting) -> list[dict[str, Any]]:
    """Rows of speed (the ratio is the median of the rounds') and of memory."""
    ours, peer = [], []
    for _ in range(plan.rounds):
        ours.append(_job(plan, "ours", setting=asdict(setting)))
        peer.append(_job(plan, "open_clip", setting=asdict(setting)))
    speed, memory = (([one.get(key) for one in ours], [one.get(key) for one in peer]) for key in ("per_second", "gib"))
    what = f"{PEER}, batch {setting.batch_size}" + (", padded" if setting.length else "") + _lacking(ours, peer)
    return [row(f"{name}_step", *speed, "1/s", what, more=True), row(f"{name}_memory", *memory, "GiB", what)]


def _share(name: str, rate: float | None, per_sample: float | None, reached: float | None) -> dict[str, Any]:
    mine = rate and per_sample and rate * per_sample / 1e12
    return row(name, [mine], [reached], "TFLOP/s", "a large product of matrices", more=True)


def largest(plan: Plan, models: dict[str, Path]) -> list[dict[str, Any]]:
    """The largest batch in memory, whole and in chunks."""
    rows = []
    for name, model in models.items():
        for chunk in (None, plan.chunk):
            setting = asdict(Setting(str(model), plan.device, max(plan.chunk, 8), 2, chunk=chunk))
            ours, peer = (
                _job(plan, f"largest_of_{who}", setting=setting, most=plan.most).get("batch")
                for who in ("ours", "open_clip")
            )
            note = f"{PEER}; at most {plan.most} tried" + (f", {chunk} at a time" if chunk else "")
            what = f"gpu_{name}_largest_batch" + ("_in_chunks" if chunk else "")
            rows.append(row(what, [ours], [peer], "samples", note, more=True))
    return rows


def losses(plan: Plan, models: dict[str, Path]) -> list[dict[str, Any]]:
    """Time and memory of InfoNCE in strips against open_clip's, in float32 and as under autocast (ours is float32 in both)."""
    rows = []
    for samples in plan.loss:
        size = f"{samples // 1024}k" if samples >= 1024 else str(samples)
        for autocast in (False, True):
            same = {"samples": samples, "width": 512, "device": plan.device, "autocast": autocast}
            ours, peer = (_job(plan, "loss", whose=whose, **same) for whose in ("ours", "open_clip"))
            name = f"gpu_infonce_{size}" + ("_autocast" if autocast else "")
            peer_name = "open_clip ClipLoss, " + ("bf16 autocast" if autocast else "float32") + _lacking([ours], [peer])
            rows.append(row(f"{name}_time", [ours.get("seconds")], [peer.get("seconds")], "s", peer_name))
            rows.append(row(f"{name}_memory", [ours.get("gib")], [peer.get("gib")], "GiB", peer_name))
    return rows


def recalls(plan: Plan, models: dict[str, Path]) -> list[dict[str, Any]]:
    """Time and memory of all retrieval figures of a suite the size of XM3600 against the bare product of its scores."""
    languages, texts, images = plan.suite
    same = {"languages": languages, "texts": texts, "images": images, "width": 512, "device": plan.device}
    ours, product = (_job(plan, "recall", whose=whose, **same) for whose in ("ours", "product"))
    what = f"the float32 product alone, {languages} languages of {texts} texts, {images} images"
    return [
        row("gpu_recall_time", [ours.get("seconds")], [product.get("seconds")], "s", what),
        row("gpu_recall_memory", [ours.get("gib")], [product.get("gib")], "GiB", what),
    ]


def _lacking(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> str:
    """Who ran out of memory, in words for the table."""
    lacking = [who for who, told in (("ours", ours), ("peer", peer)) if any("out_of_memory" in one for one in told)]
    return f"; out of memory: {', '.join(lacking)}" if lacking else ""


def row(
    name: str, ours: list[float | None], peer: list[float | None], unit: str, peer_name: str, more: bool = False
) -> dict[str, Any]:
    """A row as in ``results.json``: medians of the rounds, and of their ratios (``more``: more is better). None: not enough
    memory, or, of memory, no GPU.
    """
    pairs = [(a, b) if more else (b, a) for a, b in zip(ours, peer, strict=True) if a and b]

    def middle(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if len(known) == len(values) else None

    figures = {
        "ours": middle(ours),
        "peer": middle(peer),
        "ratio": middle([a / b for a, b in pairs]) if pairs else None,
    }
    return {"group": "gpu", "name": name, **figures, "unit": unit, "peer_name": peer_name}


def _job(plan: Plan, name: str, **arguments: Any) -> dict[str, Any]:
    """What a job measures, in a new process (a trial on a CPU stays in this one); nothing if it fails, and the others go on."""
    if plan.device == "cpu":
        return do(name, arguments)
    told = f"{name} {json.dumps(arguments)}"
    print(f"» {told}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu_jobs", name, json.dumps(arguments)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    if done.returncode:
        print(f"failed: {done.stderr.strip()[-2000:]}", file=sys.stderr, flush=True)
        plan.failed.append(told)
        return {}
    return json.loads(done.stdout.splitlines()[-1])


# --- the report ----------------------------------------------------------------------------------------------------


def machine(device: str) -> dict[str, Any]:
    """The device, the date and the versions."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU (a trial at tiny shapes, no figures to report)"
    versions = {"python": platform.python_version(), "cuda": torch.version.cuda}
    sheet = max((known for known in DATA_SHEETS if name.startswith(known)), key=len, default=None)
    return {
        "device": name,
        "date": datetime.date.today().isoformat(),
        "versions": versions | {package: importlib.metadata.version(package) for package in PACKAGES},
        "data_sheet_tflops": sheet and DATA_SHEETS[sheet],
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the rows as a table."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("name", overflow="fold"), "ours", "peer", "unit", "ratio", "against")
    for one in rows:
        table.add_row(*_cells(one))
    Console().print(table)


def paragraph(told: dict[str, Any]) -> str:
    """Markdown for ``docs/benchmarks.md``."""
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items() if version)
    sheet = told["data_sheet_tflops"]
    lines = [
        f"## On a GPU (`python -m benchmarks.gpu`), {told['date']}",
        "",
        f"{told['device']}"
        + (f" (data sheet: {sheet:g} TFLOP/s in bfloat16, dense)" if sheet else "")
        + f"; {versions}.",
        "Random weights, made pixels and tokens, one batch over and over, bf16 autocast, AdamW; the peer is open_clip's own "
        "`train_one_epoch`. The batch comes from ordinary memory, as both loaders give it (uint8 here, float32 there), or lies on the "
        f"device (`on_device`). `captions`: the longest of a batch has {CAPTION} tokens, to which ours trims, and the peer pads to 77. "
        "`share_of_peak`: operations counted by torch's flop counter against a product of bfloat16 matrices on the same device. A "
        "dash: no figure, for want of memory where the last column says so.",
        *(f"Failed: `{job}`." for job in told["failed"]),
        "",
        "| name | ours | peer | unit | ratio | peer |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join([f"`{name}`", *cells]) + " |" for name, *cells in map(_cells, told["rows"])),
    ]
    return "\n".join(lines)


def _cells(one: dict[str, Any]) -> list[str]:
    ours, peer = (_figure(one[key], 4) for key in ("ours", "peer"))
    return [one["name"], ours, peer, one["unit"], _figure(one["ratio"], 3), one["peer_name"]]


def _figure(value: float | None, digits: int) -> str:
    return "—" if value is None else f"{value:,.{digits}g}"


if __name__ == "__main__":
    sys.exit(main())
