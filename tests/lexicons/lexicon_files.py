"""Small lexicons and dictd dictionaries that this room's tests write."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from mmcs.lexicons.format import write_lexicon

SOURCE = {"name": "by hand", "provenance": "this test", "licence": "CC0-1.0"}
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
INFO = (
    "00databaseinfo\nEnglish-Test Dictionary\n\nAvailability:\n\n    Available under the terms of the GNU General Public License "
    "ver. 2.0 and\n  any later version.\n    This program is free.\n\nPublished at: http://freedict.org/\n"
)


def write(path: Path, entries: dict[str, dict[str, Sequence[tuple[str, float]]]], source_language: str = "en") -> Path:
    return write_lexicon(path, entries, source_language=source_language, sources=[SOURCE])


def base64(number: int) -> str:
    digits = DIGITS[number % 64]
    while number := number // 64:
        digits = DIGITS[number % 64] + digits
    return digits


def dictionary(folder: Path, entries: Sequence[tuple[str, str]], name: str = "freedict-eng-deu") -> Path:
    """Writes ``name``.index and ``name``.dict.dz as dictfmt does; returns the path without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, data = [], b""
    for key, text in [("00databaseinfo", INFO), ("00databaseshort", "English-Test Dictionary ver. 1\n"), *entries]:
        raw = text.encode()
        lines.append(f"{key}\t{base64(len(data))}\t{base64(len(raw))}\n")
        data += raw
    (folder / f"{name}.index").write_text("".join(lines), "utf-8")
    (folder / f"{name}.dict.dz").write_bytes(gzip.compress(data))
    return folder / name
