"""The page of an audit: the pictures that stand in training and suite side by side, for people to judge. No network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmcs.evaluation.pictures import Pictures
from mmcs.files import atomic_file
from mmcs.prepare.overlap_find import CAPTION, FILE
from mmcs.prepare.overlap_result import Overlap, SuiteOverlap
from mmcs.report.page import pages
from mmcs.report.picture import thumbnail
from mmcs.stream.sources import expand

MOST = 50  # pairs, and captions, that a suite is shown with


@dataclass(frozen=True)
class Shown:
    """A pair as the page shows it: the suite's picture and training's as data URIs, None where one cannot be had."""

    kind: str
    suite: str
    train: str
    about: str
    suite_picture: str | None
    train_picture: str | None


def write_page(path: Path, overlap: Overlap) -> None:
    """Writes the page: of each suite what was found, pairs of pictures (the least alike first), and captions.

    Raises:
        UserError, DataError: the shards are no longer what they were.
    """
    of_training = Pictures(expand(overlap.train))
    parts = [(suite, _shown(suite, of_training)) for suite in overlap.suites]
    page = (
        pages()
        .get_template("overlap.html.j2")
        .render(overlap=overlap, parts=parts, caption_kind=CAPTION, most=MOST, settings=overlap.settings)
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _shown(suite: SuiteOverlap, of_training: Pictures) -> list[Shown]:
    of_suite = Pictures(expand(suite.shards))
    doubtful_first = sorted(suite.pairs, key=lambda pair: (pair.kind == FILE, pair.likeness, pair.suite, pair.train))
    return [
        Shown(
            pair.kind,
            pair.suite,
            pair.train,
            "" if pair.kind == FILE else f"hashes {pair.distance} bits apart, correlation {pair.likeness:.3f}",
            thumbnail(of_suite(pair.suite)),
            thumbnail(of_training(pair.train)),
        )
        for pair in doubtful_first[:MOST]
    ]
