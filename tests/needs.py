"""What some tests need of a machine beyond Python with pip, and make: ``@pytest.mark.needs("fribidi")``.

A test whose need is not met is skipped and says what is missing. The README lists these names.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable


def _has_fribidi() -> bool:
    from PIL import features

    return bool(features.check("raqm") and features.check("fribidi"))


def _has_font(text: str) -> Callable[[], bool]:
    def has() -> bool:
        from mmcs.callbacks.lettering import writable

        return writable(text)

    return has


def chromium() -> str | None:
    """The path of a Chromium that Playwright can drive."""
    return shutil.which("chromium") or shutil.which("chromium-headless-shell")


#: Name: (whether the machine has it, how to get it).
NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "fribidi": (_has_fribidi, "apt-get install libfribidi0"),
    "a Chinese font": (_has_font("雪の中の赤い車"), "apt-get install fonts-noto-cjk"),
    "a Devanagari font": (_has_font("कुत्ता"), "apt-get install fonts-noto-core"),
    "Chromium": (lambda: chromium() is not None, "apt-get install chromium"),
    "Apertium": (lambda: shutil.which("apertium") is not None, "apt-get install apertium-eng-spa"),
    "apt-get": (lambda: shutil.which("apt-get") is not None, "Debian or one of its derivatives"),
    "root": (lambda: os.geteuid() == 0, "run the tests as root"),
    "x86-64 Linux": (lambda: sys.platform == "linux" and platform.machine() == "x86_64", "another machine"),
}


def missing(need: str) -> str | None:
    """The reason for a skip; None where the machine has what is needed.

    Raises:
        KeyError: the name is not in ``NEEDS``.
    """
    has, how = NEEDS[need]
    return None if has() else f"needs {need} ({how})"
