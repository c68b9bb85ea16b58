"""What a library's exception says, fit for a count, a file and a terminal: the same words in every run."""

from __future__ import annotations

import re

_LONGEST = 200
#: "<_io.BytesIO object at 0x7f3a…>"
_OBJECT = re.compile(r"\s*<[^<>]*\bat 0x[0-9a-fA-F]+>")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def words_of(error: BaseException) -> str:
    """``TypeName: message`` on one line, without addresses of objects, at most 200 characters.

    >>> words_of(ValueError("cannot identify image file <_io.BytesIO object at 0x7f3a52c04d10>"))
    'ValueError: cannot identify image file'
    """
    message = _ADDRESS.sub("0x…", _OBJECT.sub("", " ".join(str(error).split()))).strip()
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
