"""Whether a finished set can be used again: only where nothing that it was made of changed. Every source asks before it writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mmcs.errors import UserError
from mmcs.prepare.layout import Plan
from mmcs.prepare.shards import ALLOWED_BY, MANIFEST, SCHEMA, Prepared, refuse_losses


def find_prepared(
    out: str | os.PathLike[str],
    name: str,
    layout: Plan,
    arguments: dict[str, Any],
    *,
    max_dropped: float = 1.0,
    allowed_by: str = ALLOWED_BY,
) -> Prepared | None:
    """The complete set in ``out`` if it was made with the same arguments, None if there is nothing yet.

    Args:
        out: the folder.
        name: of the set.
        layout, arguments: what it has to be made with. An argument of None was not asked for: any value is accepted.
        max_dropped: the share of dropped records that the set may have.
        allowed_by: the option that raises it, for the sentence of the error.

    Raises:
        UserError: the folder holds something else, or a set that was made with other arguments.
        DataError: more than ``max_dropped`` of the records could not be used.
    """
    folder = Path(out)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST).is_file():  # before anything is fetched
        raise UserError(f"{folder} exists already and is not a prepared set; remove it or name another with --out.")
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        made_with = {"name": manifest["name"], **manifest["arguments"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{folder} holds a {MANIFEST} that mmcs did not write; name another folder.") from None
    if manifest.get("schema") != SCHEMA:
        raise UserError(
            f"{folder} was made by another version of mmcs, with other splits; remove it and prepare it again."
        )
    for key, asked in {"name": name, **layout.as_dict(), **arguments}.items():
        if asked is not None and made_with.get(key) != asked:
            raise UserError(
                f"{folder} holds a set made with {_difference(key, made_with.get(key), asked)}; "
                "remove the folder or name another with --out."
            )
    refuse_losses(manifest["samples"], manifest["dropped"], max_dropped, allowed_by)
    return Prepared(folder, manifest, reused=True)


def _difference(key: str, made: Any, asked: Any) -> str:
    """How an argument that a set was made with differs from the one that is asked for."""
    if made is None:
        return f"no record of its {key} (by an earlier version of mmcs, or without that option)"
    if key == "captions_sha256":
        return "other captions (the contents of --captions changed)"
    if key == "pictures":
        counts = [
            f"{each['files']} files of {each['bytes']:,} bytes, {each['missing']} missing" for each in (made, asked)
        ]
        changed = f"{counts[0]}; now {counts[1]}" if counts[0] != counts[1] else f"{counts[0]}: names or times changed"
        return f"other pictures ({changed})"
    if isinstance(made, dict) and isinstance(asked, dict):
        inner = next(each for each in {**made, **asked} if made.get(each) != asked.get(each))
        return f"{key} {inner} {made.get(inner)} (asked for: {asked.get(inner)})"
    return f"{key} {made} (asked for: {asked})"
