"""How words of different scripts stand beside each other. The strategies call it where scripts without spaces meet others."""

from __future__ import annotations

import re

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


def join(out: list[str], replacements: list[Replacement]) -> None:
    """Mends in place what stands between replaced words and their neighbours.

    No space before a Chinese or Japanese word, nor between two words of other scripts without spaces; a space between two
    words of scripts with spaces that would otherwise touch. Anything but spaces stays, and so does what lies between words
    of the original; text from right to left is left alone.
    """
    replaced = {place: language for first, last, language in replacements for place in range(first, last + 1)}
    previous = -1
    for at in range(1, len(out), 2):
        word = out[at]
        if not word:  # a further word of a replaced phrase
            continue
        if previous >= 0 and (at in replaced or previous in replaced):
            between = "".join(out[previous + 1 : at])
            before, after = out[previous][-1], word[0]
            if between.isspace():
                tight = at in replaced and replaced[at].split("-", 1)[0] != "ko" and _CHINESE_OR_JAPANESE.match(after)
                if tight or (_UNSPACED.match(before) and _UNSPACED.match(after)):
                    out[previous + 1 : at] = [""] * (at - previous - 1)
            elif not between and not _UNSPACED.match(before) and not _UNSPACED.match(after):
                out[at - 1] = " "
        previous = at
