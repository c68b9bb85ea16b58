"""MLIR: a query set, a gallery, or both, whose language is drawn per item (Litschko et al. 2023, section 4).

The draw is written to a file and may be read back, so that other systems, and other tools, answer the same mixture.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmcs.codeswitch.draw import Draw
from mmcs.errors import DataError, UserError
from mmcs.evaluation.bias import language_shares
from mmcs.evaluation.protocols import sides
from mmcs.evaluation.ranking import IMAGE, KEPT, TASKS, TEXT_TO_TEXT, About, Ranking, Side, rank
from mmcs.evaluation.rows import Row, single_rows
from mmcs.evaluation.setting import Encode
from mmcs.evaluation.suite import Embedded
from mmcs.evaluation.trec import escape_id, unescape_id
from mmcs.files import atomic_file

MIXED = "mixed"
SETTING = "MLIR"
HEADER = "group\tquery_language\tquery\tgallery_language\tgallery"


@dataclass(frozen=True)
class Drawn:
    """What was drawn for one group: its text as a query and its text in a gallery, (language, id) each."""

    query: tuple[str, str]
    gallery: tuple[str, str]


class MixedLanguages:
    """Mixed queries → images, images → mixed captions, mixed queries → mixed captions, and the gallery's language bias.

    Each group's first captions take part, one a role: the query's language is uniform among those that the group has, the
    gallery's uniform among the others (a query is never its own answer). Roles draw apart.

    Args:
        folder: where the draw is written, as ``SUITE.SPLIT.PROTOCOL.mixed.tsv``.
        seed: of the draw.
        draw: a file written before, used in place of the seed.

    Raises:
        UserError: there is no such file.
    """

    def __init__(self, folder: Path, seed: int = 0, draw: Path | None = None) -> None:
        if draw is not None and not draw.is_file():
            raise UserError(f"there is no draw of languages {draw}; name a ….mixed.tsv that an evaluation wrote.")
        self.folder, self.seed, self.draw = Path(folder), seed, draw

    def rankings(self, embedded: Embedded, protocol: str, encode: Encode, device: torch.device) -> Iterator[Ranking]:
        """Nothing where no group has captions in two languages.

        Raises:
            DataError: the draw's file is damaged, or of another suite.
        """
        drawn = self._read(embedded) if self.draw else draw_languages(embedded, self.seed)
        if len(drawn) < 2:
            return
        self._write(embedded, protocol, drawn)
        images, texts = sides(embedded, device)
        queries, _ = _mixture(texts, {group: one.query for group, one in drawn.items()})
        gallery, languages = _mixture(texts, {group: one.gallery for group, one in drawn.items()})
        for task, asked, answers, names in (
            (TASKS[0], queries, images, (MIXED, IMAGE)),
            (TASKS[1], images, gallery, (IMAGE, MIXED)),
            (TEXT_TO_TEXT, queries, gallery, (MIXED, MIXED)),
        ):
            found = rank(About(embedded.suite, embedded.split, protocol, SETTING, None, task, *names), asked, answers)
            if found is not None:
                yield found if answers is images else found.over(languages)

    def rows(self, rankings: Sequence[Ranking], seen: Collection[str]) -> list[Row]:
        """Figures of each ranking, and per language its share of the first ten against its share of the gallery."""
        return [*single_rows(rankings), *(row for ranking in rankings for row in bias_rows(ranking))]

    def _write(self, embedded: Embedded, protocol: str, drawn: Mapping[str, Drawn]) -> None:
        lines = [HEADER]
        for group, one in drawn.items():
            fields = (
                escape_id(group),
                one.query[0],
                escape_id(one.query[1]),
                one.gallery[0],
                escape_id(one.gallery[1]),
            )
            lines.append("\t".join(fields))
        with atomic_file(self.folder / f"{embedded.suite}.{embedded.split}.{protocol}.mixed.tsv") as path:
            path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")

    def _read(self, embedded: Embedded) -> dict[str, Drawn]:
        assert self.draw is not None
        lines = self.draw.read_text(encoding="utf-8", errors="replace").split("\n")
        if lines[0] != HEADER or lines[-1]:
            raise DataError(f"{self.draw} is not a whole draw of languages (….mixed.tsv).")
        known = {(language, name) for language, texts in embedded.texts.items() for name in texts.ids}
        drawn = {}
        for number, line in enumerate(lines[1:-1], 2):
            fields = [unescape_id(field) for field in line.split("\t")]
            if len(fields) != 5:
                raise DataError(f"{self.draw}, line {number}: expected five fields between tabs.")
            group, query, gallery = fields[0], (fields[1], fields[2]), (fields[3], fields[4])
            if missing := [
                f"{name} ({language})" for language, name in (query, gallery) if (language, name) not in known
            ]:
                raise DataError(
                    f"{self.draw}, line {number}: suite {embedded.suite} has no text {missing[0]}; the draw is of other data "
                    "or languages."
                )
            drawn[group] = Drawn(query, gallery)
        return drawn


def draw_languages(embedded: Embedded, seed: int) -> dict[str, Drawn]:
    """Per group with captions in at least two languages what stands for it; depends on (seed, group, its languages) alone."""
    first: dict[str, dict[str, str]] = {}
    for language, texts in embedded.texts.items():
        for name, group in zip(texts.ids, texts.groups, strict=True):
            first.setdefault(group, {}).setdefault(language, name)
    drawn = {}
    for group, names in first.items():
        languages = sorted(names)
        if len(languages) < 2:
            continue
        query = languages[Draw(seed, "query", group).index(len(languages))]
        others = [language for language in languages if language != query]
        gallery = others[Draw(seed, "gallery", group).index(len(others))]
        drawn[group] = Drawn((query, names[query]), (gallery, names[gallery]))
    return drawn


def bias_rows(ranking: Ranking) -> list[Row]:
    """Per language of a mixed gallery its share of the first ten places; nothing where the gallery is not mixed."""
    if ranking.gallery_languages is None:
        return []
    languages = np.array(ranking.gallery_languages)
    shares = language_shares(languages[ranking.indices[:, :KEPT]], languages, ranking.query_groups)
    common = ranking.about.as_dict() | {
        "metric": f"language_share@{KEPT}",
        "n_queries": len(ranking.ranks),
        "n_gallery": len(languages),
        "file": ranking.about.file,
    }
    return [
        {**common, "language": language, "value": own.top, "ci95": [own.low, own.high], "share_in_gallery": own.gallery}
        for language, own in shares.items()
    ]


def _mixture(texts: Mapping[str, Side], names: Mapping[str, tuple[str, str]]) -> tuple[Side, list[str]]:
    """One side out of the texts (language, id) of several, and the language of each."""
    places = {language: {name: place for place, name in enumerate(side.ids)} for language, side in texts.items()}
    parts = [(language, texts[language], places[language][name]) for language, name in names.values()]
    return Side.mixture(parts), [language for language, *_ in parts]
