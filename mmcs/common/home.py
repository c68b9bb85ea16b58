"""``~`` in paths, wherever they are typed: a shell expands it at the start of a word alone, not in ``NAME=~/x``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

#: ``~/`` or ``~user/`` at the start of a path: of the text, or after a sign that begins a value or a list's entry.
_HOME = re.compile(r"""(?<![^\s=:,\[{("'])~[\w.-]*(?=/)""")


def with_home(value: Any) -> Any:
    """The value with ``~`` expanded in every path of it; texts, paths, and lists and mappings of them.

    >>> with_home("a::~/b") == f"a::{os.path.expanduser('~')}/b", with_home("https://host/~user/x"), with_home(3)
    (True, 'https://host/~user/x', 3)
    """
    if isinstance(value, str):
        return _expanded(value) if value == "~" else _HOME.sub(lambda home: _expanded(home[0]), value)
    if isinstance(value, Path):
        return Path(with_home(str(value)))
    if isinstance(value, list):
        return [with_home(each) for each in value]
    if isinstance(value, dict):
        return {key: with_home(each) for key, each in value.items()}
    return value


def _expanded(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 (Path raises for a user that is not known)
