"""What commands on finished lexicons share: opening what is read, and noting in the new file's sources what became of it.

``merge``, ``invert`` and ``filter`` call it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcs.codeswitch.lexicon import Lexicon
from mmcs.errors import UserError


def opened(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> Lexicon:
    """The lexicon at ``path``, which shall not be ``out``.

    Raises:
        UserError: ``out`` is the file itself, or there is none. DataError: it cannot be read.
    """
    lexicon = Lexicon.open(path)
    if Path(out).exists() and Path(out).samefile(lexicon.path):
        raise UserError(f"--out {out} is one of the lexicons that are read; write to another file.")
    return lexicon


def noted(
    lexicon: Lexicon, languages: Collection[str], note: str, key: str, about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The sources of ``lexicon`` that have a part in ``languages``, with ``note`` in their provenance.

    ``about`` stands in each under ``key``, with the checksum of the lexicon; what is added to it later stands there too.
    """
    sources: Sequence[Mapping[str, Any]] = lexicon.header["sources"]
    kept = [source for source in sources if source.get("language", next(iter(languages))) in languages] or sources
    return [{**source, "provenance": f"{source['provenance']} ({note})", key: about} for source in kept]
