"""Verifies the checksums of checkpoints, and turns whatever reading a damaged or forged one raises into one sentence."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mmcs.common.file_kind import LOOKED_AT, file_kind
from mmcs.common.library_error import words_of
from mmcs.errors import DataError, UserError, exit_code_of


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turns whatever a damaged or forged file raises inside into a ``DataError`` that names ``path``.

    Raises:
        DataError: reading failed. OSError: the machine's fault, such as no permission.
    """
    try:
        yield
    except (UserError, DataError):
        raise
    except Exception as error:  # of zipfile, torch, its unpickler, or of a form that nobody foresaw
        if exit_code_of(error) is not None:
            raise
        raise DataError(f"checkpoint {path} cannot be used: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """A sentence for ``error``, without torch's advice to turn its protection off."""
    text = str(error).strip()
    if "Weights only load failed" in text or "nsupported" in text:
        name = re.search(r"Unsupported (?:global: GLOBAL|class|operand) ([\w.]+)", text)
        held = f" ({name[1]})" if name else ""
        return f"it holds more than plain values and tensors{held}; other objects are never loaded, since they can run code."
    return f"it is damaged or malformed ({words_of(error)})."


def verify_archive(path: Path) -> None:
    """Compares the CRC-32 of every member of a file of ``torch.save`` with its bytes. (torch writes them, but does not verify them.)

    Raises:
        DataError: a member differs, or the file is no such archive.
    """
    if not path.is_file():
        raise DataError(f"{path.parent} is no checkpoint: it has no {path.name}.")
    if not path.stat().st_size:
        raise DataError(f"checkpoint {path} is damaged: the file is empty.")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            start = file.read(LOOKED_AT)
        if start[:1] == b"\x80":
            raise DataError(
                f"{path} is a pickle, which is never loaded, since it can run code; it is no checkpoint of mmcs."
            )
        kind = file_kind(start)
        what = f"it is {kind.what}" if kind and kind.what != "a zip archive" else "it is truncated, or no checkpoint"
        raise DataError(f"checkpoint {path} is damaged: {what} (torch.save writes a zip archive).")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):  # could unpack into any size
            raise DataError(f"checkpoint {path} is damaged: it has compressed members, which torch.save never writes.")
        if not any(member.filename.split("/", 1)[-1] == "data.pkl" for member in members):
            raise DataError(f"{path} is no checkpoint: the zip archive has no data.pkl.")
        wrong = archive.testzip()
    if wrong is not None:
        raise DataError(f"checkpoint {path} is damaged: the checksum of {wrong} does not match its bytes.")
