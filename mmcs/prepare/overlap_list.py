"""The list of an audit, as ``data.exclude`` reads it: training samples and captions that stand in a suite, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcs import __version__
from mmcs.errors import DataError, UserError
from mmcs.files import atomic_file
from mmcs.prepare.overlap_result import Overlap

_FIRST = "# Training samples and captions that stand in a test set, too (mmcs data overlap)."


def check_list(path: Path, read: Sequence[str] = ()) -> None:
    """Whether a list may be written there; asked before the work begins.

    Args:
        read: the lists that the audit takes into account.

    Raises:
        UserError: a folder, one of the lists that are read, or a file that is no list of an audit: somebody wrote it.
    """
    if any(path.resolve() == Path(other).expanduser().resolve() for other in read):
        raise UserError(f"--out would write over {path}, which --exclude reads; name another file with --out.")
    if path.is_dir():
        raise UserError(f"--out {path} is a folder; name a file, such as {path / 'exclude.txt'}.")
    if path.is_file():
        with path.open("rb") as file:
            own = file.read(len(_FIRST.encode())) == _FIRST.encode()
        if not own:
            raise UserError(f"--out {path} exists and was not written by mmcs data overlap; name another file.")


def write_list(path: Path, overlap: Overlap) -> None:
    """Writes the list: samples with the reason above each, then captions.

    Raises:
        DataError: a sample whose name ``data.exclude`` would read as something else.
    """
    for identity in overlap.listed:
        if identity.startswith("#") or identity != identity.strip():
            raise DataError(
                f"the training sample {identity!r} cannot stand in a list: its name begins with # or ends in a space; "
                "rename the folder or the sample."
            )
    settings = overlap.settings
    suites = ", ".join(f"{suite.name} ({suite.shards})" for suite in overlap.suites)
    lines = [
        _FIRST,
        f"# Use it: data.exclude=[{path.name}]",
        f"# Training: {overlap.train}, {overlap.samples:,} samples; suites: {suites}",
        f"# Made by mmcs {__version__}: hashes within {settings.distance} bits; captions of {settings.min_words} words or more; "
        f"groups {'listed' if settings.groups else 'not listed'}.",
        f"# Listed: {len(overlap.listed):,} samples, {len(overlap.captions):,} captions.",
    ]
    if settings.exclude:
        lines.append(f"# On top of {', '.join(settings.exclude)}, which training leaves out already.")
    for identity, (kind, image) in overlap.listed.items():
        lines += (f"# {kind}: {image}", identity)
    lines += (f"caption\t{text}" for text in overlap.captions)
    with atomic_file(path) as partial:
        partial.write_text("\n".join(" ".join(line.split("\n")) for line in lines) + "\n", encoding="utf-8")
