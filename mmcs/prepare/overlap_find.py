"""What of a training sample stands in a suite: the batch stage that compares, and what it knows of the suites.

``overlap.py`` fills a ``Known`` from the suites and streams the training shards through ``FindOverlap``, in the loader's
workers, so that nothing of a training sample is kept but what was found of it.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from mmcs.prepare.fingerprint import VIEWS
from mmcs.prepare.hash_index import HashIndex
from mmcs.prepare.likeness import likeness
from mmcs.prepare.records import MEANINGFUL

#: What can be found, the surest first.
FILE, PICTURE, CAPTION, GROUP, NAME = "same file", "same picture", "same caption", "same group", "same name"
KINDS = (FILE, PICTURE, CAPTION, GROUP, NAME)

_APOSTROPHES = regex.compile("['’ʼ`´]")
_SIGNS = regex.compile(rf"[^\p{{L}}\p{{M}}\p{{N}}\p{{S}}{MEANINGFUL}]+")


class Found(NamedTuple):
    """One thing that a training sample has in common with suites.

    Attributes:
        kind: one of ``KINDS``.
        item: number of the suite image in ``Known``; of a caption: of the suites' text.
        distance: bits in which the hashes differ, and
        likeness: the correlation of the grey levels; both of a picture only.
        text: the training sample's caption, as it stands there.
    """

    kind: str
    item: int
    distance: int = 0
    likeness: float = 1.0
    text: str = ""


class Known:
    """What is known of the images and captions of all suites (M images, T different texts).

    Attributes:
        identity, group, suite, digest: per image; "group" is empty where a sample names none, "suite" the suite's number,
            "digest" that of the image file.
        shorter: pixels of each image's shorter side.
        texts: what makes captions the same (``plain_caption``) → the text's number.
        captions: per text: which images carry it, in which language.
    """

    def __init__(self) -> None:
        self.identity: list[str] = []
        self.group: list[str] = []
        self.suite: list[int] = []
        self.shorter: list[int] = []
        self.digest: list[bytes] = []
        self.texts: dict[str, int] = {}
        self.captions: list[list[tuple[int, str]]] = []
        self._squares: list[NDArray[np.uint8]] = []
        self._hashes: list[NDArray[np.uint64]] = []

    def add(self, suite: int, batch: dict[str, Any]) -> None:
        """Takes in a batch of a suite's samples, as ``Fingerprint(VIEWS)`` leaves them."""
        for row, identity in enumerate(batch["identity"]):
            image = len(self.identity)
            self.identity.append(identity)
            self.group.append(named_group(batch, row))
            self.suite.append(suite)
            self.shorter.append(batch["shorter"][row])
            self.digest.append(batch["digest"][row])
            self._squares.append(batch["square"][row].numpy().copy())  # not a view that holds the whole batch
            hashes = batch["hashes"][row].numpy().view(np.uint64).copy()
            self._hashes.append(hashes[:0] if batch["flat"][row] else hashes)
            for language, captions in batch["captions"][row].items():
                for plain in dict.fromkeys(map(plain_caption, captions)):
                    text = self.texts.setdefault(plain, len(self.texts))
                    if text == len(self.captions):
                        self.captions.append([])
                    self.captions[text].append((image, language))

    def square(self, image: int) -> NDArray[np.uint8]:
        return self._squares[image]

    def hashes(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The hashes of all views of all pictures that are not flat, (K,), and of each the image and view, (K, 2)."""
        owners = [(image, view) for image, hashes in enumerate(self._hashes) for view in range(len(hashes))]
        return np.concatenate([np.empty(0, np.uint64), *self._hashes]), np.array(owners, np.int64).reshape(-1, 2)


class FindOverlap:
    """Batch stage: training samples, as ``Fingerprint()`` leaves them → "position", "source", "shard", "identity" and "found",
    a list of ``Found`` per sample.

    Args:
        known: the suites.
        distance: bits in which the hashes of the same picture may differ.
    """

    def __init__(self, known: Known, distance: int) -> None:
        self.known = known
        self.distance = distance
        hashes, self._owner = known.hashes()
        self._index = HashIndex(hashes)
        self._by_digest, self._by_group = _places(known.digest), _places(known.group)
        self._by_identity = _places(known.identity)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        near = self._near(batch)
        found: list[list[Found]] = []
        for row, identity in enumerate(batch["identity"]):
            files = self._by_digest.get(batch["digest"][row], [])
            group = named_group(batch, row)
            found.append(
                [
                    *(Found(FILE, image) for image in files),
                    *self._pictures(batch, row, near.get(row, {}), files),
                    *self._captions(batch["captions"][row]),
                    *(Found(GROUP, image) for image in (self._by_group.get(group, []) if group else [])),
                    *(Found(NAME, image) for image in self._by_identity.get(identity, [])),
                ]
            )
        return {key: batch[key] for key in ("position", "source", "shard", "identity")} | {"found": found}

    def _near(self, batch: dict[str, Any]) -> dict[int, dict[int, tuple[int, int]]]:
        """Row → suite images whose hash is near → distance and view of the nearest of its hashes."""
        rows = [row for row, flat in enumerate(batch["flat"]) if not flat]
        queries = batch["hashes"].numpy().view(np.uint64)[rows, 0]
        nearest: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
        query, item, distance = self._index.near(queries, self.distance)
        for number, (image, view), bits in zip(
            query.tolist(), self._owner[item].tolist(), distance.tolist(), strict=True
        ):
            images = nearest[rows[number]]
            images[image] = min(images.get(image, (bits, view)), (bits, view))
        return nearest

    def _pictures(
        self, batch: dict[str, Any], row: int, near: dict[int, tuple[int, int]], known_already: Sequence[int]
    ) -> list[Found]:
        found = []
        for image in sorted(near.keys() - set(known_already)):
            bits, view = near[image]
            shorter = min(batch["shorter"][row], self.known.shorter[image])
            alike = likeness(self.known.square(image), batch["square"][row].numpy(), VIEWS[view].seen, shorter)
            if alike:
                found.append(Found(PICTURE, image, bits, alike))
        return found

    def _captions(self, captions: dict[str, list[str]]) -> list[Found]:
        found: dict[tuple[int, str], None] = {}
        for texts in captions.values():
            for text in texts:
                number = self.known.texts.get(plain_caption(text))
                if number is not None:
                    found[number, text] = None
        return [Found(CAPTION, number, text=text) for number, text in found]


def plain_caption(text: str) -> str:
    """What two captions have in common that say the same: case, spacing and punctuation do not tell them apart.

    >>> plain_caption("A dog’s T-shirt.")
    'a dogs t shirt'
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(_SIGNS.sub(" ", _APOSTROPHES.sub("", folded)).split()) or " ".join(folded.split())


def named_group(batch: dict[str, Any], row: int) -> str:
    """The group that a sample's ``.json`` names; empty where its own identity stands in for one."""
    group = batch["groups"][row]
    return "" if group == batch["identity"][row] else group


def _places(names: Sequence[Any]) -> dict[Any, list[int]]:
    places: dict[Any, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    return dict(places)
