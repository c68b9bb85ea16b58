"""How words of different scripts stand beside each other. The strategies call it where scripts without spaces meet others."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache

from mmcs.codeswitch.segment import UNSPACED
from mmcs.codeswitch.strategy import Replacement

# Languages written without spaces, in one of the scripts that ``segment`` knows as unspaced.
UNSPACED_LANGUAGES = frozenset(
    {"zh", "ja", "yue", "wuu", "nan", "hak", "gan", "lzh", "th", "lo", "km", "my", "shn", "mnw"}
)
_UNSPACED = re.compile(f"[{UNSPACED}]")
_CHINESE_OR_JAPANESE = re.compile(
    "[\u2e80-\u2fd5\u3005\u3007\u3021-\u30ff\u3105-\u312f\u31f0-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def is_unspaced(language: str) -> bool:
    """Whether ``language`` (BCP 47) is written without spaces between words."""
    return language.split("-", 1)[0] in UNSPACED_LANGUAGES


def join(out: list[str], replacements: Sequence[Replacement], unspaced: Collection[str], every: bool) -> None:
    """Mends in place what stands between replaced words and their neighbours.

    No space before a Chinese or Japanese word, nor between two words of other scripts without spaces; a space between two
    words of scripts with spaces that would otherwise touch. Anything but spaces stays, and so does what lies between words
    of the original; text from right to left is left alone.

    Args:
        out: as in ``Switched``.
        replacements: in order of place.
        unspaced: the languages written without spaces among those of the replacements.
        every: whether the caption's own language is one: then every replacement may touch its neighbours.
    """
    previous = (-1, -1)
    for first, last, language in replacements:
        if every or language in unspaced:
            if first > 1:
                _mend(out, previous[0] if previous[1] == first - 2 else first - 2, first, replaced=True)
            if last + 2 < len(out):
                _mend(out, first, last + 2, replaced=False)
        previous = (first, last)


def _mend(out: list[str], left: int, right: int, *, replaced: bool) -> None:
    """What stands before the word at ``right``; ``replaced``: whether that word took another's place."""
    between = out[right - 1]
    if not between or between.isspace():
        unspaced = _script(out[left][-1:]), _script(out[right][:1])
        if between:
            if (replaced and unspaced[1] == 2) or all(unspaced):
                out[right - 1] = ""
        elif not any(unspaced):
            out[right - 1] = " "


@cache
def _script(character: str) -> int:
    """0: a script with spaces; 1: one without; 2: one of those of Chinese and Japanese."""
    return 2 if _CHINESE_OR_JAPANESE.match(character) else 1 if _UNSPACED.match(character) else 0
