"""What a prepared set is made of: a picture with its captions, the concept it belongs to, the split it falls into.

Every source (stamps, emoji, table, the suites) yields these records; shards.py writes them. Nothing here touches a file.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

SPLITS = ("train", "val", "test")
EXAMPLES_KEPT = 5
MEANINGFUL = "#*%&@"  # Unicode calls them punctuation; in "keycap #" they are what is named

_ARTICLE = re.compile(r"^(?:a|an|the) (?=.)")


@dataclass(frozen=True, slots=True)
class Record:
    """One picture with its captions, before it becomes a sample of a shard.

    Attributes:
        name: what the source calls it (a path inside it, code points); unique within the source.
        image: the encoded picture.
        extension: how it is encoded: ``svg``, or anything else for a raster image (its bytes tell which).
        caption: the English caption, which becomes the ``.txt``.
        captions: BCP 47 tag to captions; ``en`` holds only those beyond ``caption``.
        group: the concept; see ``concept_of``.
        split: where the source says it; None: by the group.
    """

    name: str
    image: bytes
    extension: str
    caption: str
    captions: dict[str, list[str]]
    group: str
    split: str | None = None


@dataclass(slots=True)
class Tally:
    """Counts by cause, with the first ``kept`` examples of each; nothing is left out without standing in one."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    kept: int = EXAMPLES_KEPT

    def add(self, cause: str, example: str) -> None:
        self.counts[cause] += 1
        kept = self.examples.setdefault(cause, [])
        if len(kept) < self.kept:
            kept.append(example)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def as_dict(self) -> dict[str, dict[str, object]]:
        """``{cause: {"count": n, "examples": [...]}}``, the commonest cause first."""
        return {cause: {"count": n, "examples": self.examples[cause]} for cause, n in self.counts.most_common()}


def concept_of(caption: str) -> str:
    """The group of an English caption: case, punctuation, spacing and a leading article do not tell concepts apart.

    It carries no name of a data set, so that a concept that stands in two sets is one group and lies in one split.

    >>> concept_of("A zebra.") == concept_of("zebra")
    True
    >>> concept_of("The panda under a tree")
    'panda under a tree'
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", caption).casefold())
    text = re.sub("['’ʼ`´]", "", text)  # "o’clock" is one word
    text = "".join(" " if unicodedata.category(char)[0] in "PZC" and char not in MEANINGFUL else char for char in text)
    text = _ARTICLE.sub("", " ".join(text.split()), count=1) if text.strip() else ""
    return text or " ".join(caption.split())  # a caption of nothing but signs names itself


def path_inside(name: str) -> PurePosixPath | None:
    """A path that a file of captions gives, relative to a folder of pictures; None if it leads out of it.

    >>> path_inside("val2014/a.jpg")
    PurePosixPath('val2014/a.jpg')
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        return None
    return path


def split_of(group: str, val: float, test: float) -> str:
    """``train``, ``val`` or ``test`` from a hash of the group alone: whatever else the set holds, it never moves.

    Args:
        group: the concept.
        val, test: shares of the concepts, with ``val + test <= 1``. Another ``val`` leaves the test split as it is.
    """
    draw = int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest(), "big") / 2**64
    if draw < test:
        return "test"
    return "val" if draw < test + val else "train"


def shuffle_key(name: str) -> bytes:
    """A key to sort by, so that a shard holds a mixture and not one folder's pictures; the same on every machine."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()
