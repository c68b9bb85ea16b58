"""Evaluated runs of a toy model whose true quality is known: texts are their images plus noise."""

from __future__ import annotations

import torch

from mmcs.evaluation.protocols import rank_suite, suite_rows, under_protocol
from mmcs.evaluation.results import write_results
from mmcs.evaluation.suite import Embedded, Texts
from mmcs.evaluation.trec import write_ranking

SEEN = ["de", "hi"]
CONFIG = {"optim": {"lr": 0.001}, "data": {"batch_size": 512}, "seed": 0, "hydra": {"run": "here"}}


def toy_suite(noise, seed=0, n=300, suite="toy", captions=1):
    """Less noise is a better model; the same draws for all, scaled, so that pairs of systems are alike but for it.

    Args:
        noise: language → how far its texts lie from their images.
        captions: of each image in each language, the further ones noisier.
    """
    draw = torch.Generator().manual_seed(11)
    images = torch.randn(n, 16, generator=draw)
    groups = [f"g{i // 2}" for i in range(n)]
    texts = {}
    for language in noise:
        parts = []
        for k in range(captions):
            base = torch.randn(n, 16, generator=draw)
            own = torch.randn(n, 16, generator=torch.Generator().manual_seed(1000 + seed))
            parts.append(images + (1 + 0.5 * k) * noise[language] * (base + 0.2 * own))
        texts[language] = Texts(
            ids=[f"{language}:{i}#{k}" for k in range(captions) for i in range(n)],
            groups=groups * captions,
            embeddings=torch.cat(parts),
            captions=[f"{language} caption <{i}> & more" for _ in range(captions) for i in range(n)],
            numbers=[k for k in range(captions) for _ in range(n)],
        )
    return Embedded(suite, "test", [f"img {i}" for i in range(n)], groups, images, texts)


def make_run(
    folder, experiment, noise, seed=0, config=None, protocols=("all_captions",), settings=(), notes=(), **suite
):
    """Writes what ``mmcs evaluate`` writes of ``toy_suite(noise, seed, **suite)``; returns the folder.

    Args:
        settings: called with the suite, each gives one of ``mmcs.evaluation``'s settings and how it encodes captions.
    """
    embedded = toy_suite(noise, seed, **suite)
    seen = SEEN if experiment not in ("zero_shot", "untouched") else []
    rows, files = [], []

    def keep(rankings):
        for ranking in rankings:
            write_ranking(folder / "retrieval", ranking)
            files.append({**ranking.about.as_dict(), "file": ranking.about.file})
        return rankings

    for protocol in protocols:
        part = under_protocol(embedded, protocol)
        rows += suite_rows(keep(list(rank_suite(part, protocol))), seen, resamples=20)
        for make in settings:
            setting, encode = make(part, folder)
            rows += setting.rows(keep(list(setting.rankings(part, protocol, encode, torch.device("cpu")))), seen)
    own = {**(config or CONFIG), "seed": seed, "experiment": experiment, "codeswitch": {"strategy": experiment}}
    extra = {
        "languages": list(noise),
        "seen_languages": seen,
        "rankings": files,
        "suites": {embedded.suite: {"split": "test", "shards": [], "notes": list(notes)}},
    }
    trained = None if experiment == "untouched" else seed
    write_results(folder, "lite0_e5", experiment, trained, {} if trained is None else own, rows, extra=extra)
    return folder
