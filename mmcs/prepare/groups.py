"""Which of a user's pictures show one concept, where no column says so. Called by table.py."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from mmcs.prepare.records import concept_of


def group_alike(captions: Mapping[PurePosixPath, Sequence[str]], folder: Path) -> dict[PurePosixPath, str]:
    """The group of each image: the concept of its English captions.

    Images that have a caption in common, or the same bytes, share one group, so that no caption and no picture of
    the test split is seen in training.

    Args:
        captions: path below ``folder`` to English captions, at least one each.
        folder: where the images lie.
    """
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        while parents.setdefault(node, node) != node:
            parents[node] = node = parents[parents[node]]
        return node

    def join(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parents[second] = first  # the smallest concept names the group, whatever the order

    concepts = {path: [concept_of(text) for text in texts] for path, texts in captions.items()}
    for first, *further in concepts.values():
        for other in further:
            join(first, other)
    for first_path, *further_paths in _same_bytes(captions, folder):
        for path in further_paths:
            join(concepts[first_path][0], concepts[path][0])
    return {path: root(first) for path, (first, *_) in concepts.items()}


def _same_bytes(paths: Iterable[PurePosixPath], folder: Path) -> Iterator[list[PurePosixPath]]:
    """Lists of files with the same content; only files of the same size are read for it."""
    by_size: dict[int, list[PurePosixPath]] = defaultdict(list)
    for path in paths:
        by_size[(folder / path).stat().st_size].append(path)
    for alike in by_size.values():
        if len(alike) < 2:
            continue
        by_digest: dict[str, list[PurePosixPath]] = defaultdict(list)
        for path in alike:
            with contextlib.suppress(OSError), (folder / path).open("rb") as handle:  # counted when the picture is read
                by_digest[hashlib.file_digest(handle, "sha256").hexdigest()].append(path)
        yield from (same for same in by_digest.values() if len(same) > 1)
