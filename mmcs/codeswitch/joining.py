"""How words of different scripts stand beside each other. The strategies call it where scripts without spaces meet others."""

from __future__ import annotations

import re
from collections.abc import Sequence
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


@cache
def is_unspaced(language: str) -> bool:
    """Whether ``language`` (BCP 47) is written without spaces between words."""
    return language.split("-", 1)[0] in UNSPACED_LANGUAGES


def join(out: list[str], replacements: Sequence[Replacement], source_language: str) -> None:
    """Mends in place what stands between replaced words and their neighbours.

    No space before a Chinese or Japanese word, nor between two words of other scripts without spaces; a space between two
    words of scripts with spaces that would otherwise touch. Anything but spaces stays, and so does what lies between words
    of the original; text from right to left is left alone.

    Args:
        out: as in ``Switched``.
        replacements: in order of place.
        source_language: of the caption (BCP 47).
    """
    every = is_unspaced(source_language)
    previous = (-1, -1)
    for first, last, language in replacements:
        if every or is_unspaced(language):
            if first > 1:
                _mend(out, previous[0] if previous[1] == first - 2 else first - 2, first, replaced=True)
            if last + 2 < len(out):
                _mend(out, first, last + 2, replaced=False)
        previous = (first, last)


def _mend(out: list[str], left: int, right: int, *, replaced: bool) -> None:
    """What stands before the word at ``right``; ``replaced``: whether that word took another's place."""
    between, before, after = out[right - 1], out[left][-1:], out[right][:1]
    if between.isspace():
        if (replaced and _CHINESE_OR_JAPANESE.match(after)) or (_UNSPACED.match(before) and _UNSPACED.match(after)):
            out[right - 1] = ""
    elif not between and not _UNSPACED.match(before) and not _UNSPACED.match(after):
        out[right - 1] = " "
