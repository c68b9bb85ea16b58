"""What is left out on purpose: images and captions that stand in a list, such as those that a test set holds, too.

Lists are written by hand or by an audit of training data against a suite; the datamodule puts the stage behind ``parse``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from mmcs.common.caption_text import clean_caption
from mmcs.errors import DataError, UserError
from mmcs.stream.drops import BadSample

_CAPTION = "caption\t"


class LeaveOut:
    """Sample stage: drops samples that are listed, and takes listed captions out of the others' "captions".

    A list is a text file. A line ``source/shard/key`` names a sample (its identity), ``caption`` and a tab before a text
    name that caption in whatever language, sample, case and spacing; empty lines and those that begin with ``#`` say
    nothing. A listed caption in the language of the ``.txt`` gives its place to the sample's next one.

    Args:
        lists: files.
        text_language: of the ``.txt``.

    Attributes:
        samples, captions: how many are listed.

    Raises:
        UserError: no such file. DataError: a line that names nothing; (while reading) BadSample: "excluded".
    """

    def __init__(self, lists: str | Sequence[str], *, text_language: str = "en") -> None:
        self.text_language = text_language
        samples: list[str] = []
        captions: list[str] = []
        for path in [lists] if isinstance(lists, str) else lists:
            for number, line in enumerate(_lines(path), 1):
                if line.startswith(_CAPTION):
                    captions.append(_plain(line.removeprefix(_CAPTION)))
                elif line.count("/") >= 2 and not line.startswith("#"):
                    samples.append(line.strip())
                elif line.strip() and not line.startswith("#"):
                    raise DataError(
                        f"{path}, line {number}: {line.strip()[:80]!r} names neither a sample (source/shard/key) nor a "
                        "caption (the word caption, a tab, the text)."
                    )
        self._samples, self._captions = _sorted(samples), _sorted(captions)
        self.samples, self.captions = len(self._samples), len(self._captions)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        if self.samples and _holds(self._samples, sample["identity"]):
            raise BadSample("excluded")
        if not self.captions:
            return sample
        kept = {
            language: left
            for language, texts in sample["captions"].items()
            if (left := [text for text in texts if not _holds(self._captions, _plain(text))])
        }
        if self.text_language not in kept:
            raise BadSample("excluded", "all of its captions")
        return {**sample, "captions": kept, "caption": kept[self.text_language][0]}


def _lines(path: str) -> list[str]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"data.exclude: there is no file {path}.")
    try:
        return file.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"data.exclude: {path} is not UTF-8 text.") from None


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", clean_caption(text)).casefold().split())


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _sorted(texts: Iterable[str]) -> np.ndarray:
    """Sorted 64-bit digests in one array: workers share its pages, where a set would be copied."""
    return np.array(sorted({_number(text) for text in texts}), np.uint64)


def _holds(numbers: np.ndarray, text: str) -> bool:
    number = np.uint64(_number(text))
    place = np.searchsorted(numbers, number)
    return bool(place < len(numbers) and numbers[place] == number)
