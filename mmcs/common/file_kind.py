"""The kind of a file by its first bytes, for the message about a file that cannot be read as what it was given for."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """``what`` a file is, with its article, and what to do with one that mmcs does not read as it is."""

    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.what}; {self.todo}"


#: Bytes that ``file_kind`` needs to see.
LOOKED_AT = 4096
_CONVERT = "convert it to JPEG or PNG"
HEIC = Kind("a HEIC picture", f"pip install 'mmcs[heif]', or {_CONVERT}")
SVG = Kind("an SVG drawing", "render it as PNG or JPEG")
_UNPACK = "unpack it first"
_AGAIN = "download it again"
_ROWS = "convert it to *.tar shards (img2dataset reads Parquet, 'mmcs data prepare table' reads tables)"
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", Kind("a Git LFS pointer, not the file itself", "run 'git lfs pull'")),
    (b"\x1f\x8b", Kind("compressed with gzip", f"{_UNPACK} (gunzip)")),
    (b"BZh", Kind("compressed with bzip2", f"{_UNPACK} (bunzip2)")),
    (b"\xfd7zXZ", Kind("compressed with xz", f"{_UNPACK} (unxz)")),
    (b"\x28\xb5\x2f\xfd", Kind("compressed with zstd", f"{_UNPACK} (unzstd)")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK)),
    (b"PK\x03\x04", Kind("a zip archive", _UNPACK)),
    (b"Rar!\x1a\x07", Kind("a RAR archive", _UNPACK)),
    (b"PAR1", Kind("a Parquet file", _ROWS)),
    (b"ARROW1", Kind("an Arrow file", _ROWS)),
    (b"\xff\xff\xff\xff", Kind("an Arrow stream", _ROWS)),
    (b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file", "convert it to *.tar shards")),
    (b"SQLite format 3\0", Kind("an SQLite database", "export its rows to a table first")),
    (b"\x80\x04\x95", Kind("a Python pickle", "pickles are never opened; save the data in another format")),
    (b"%PDF", Kind("a PDF document", "export its pages as JPEG or PNG")),
    (b"8BPS", Kind("a Photoshop file", _CONVERT)),
    (b"\0\0\0\x0cjP  ", Kind("a JPEG 2000 picture", _CONVERT)),
    (b"\xff\x4f\xff\x51", Kind("a JPEG 2000 picture", _CONVERT)),
    (b"\0\0\0\x0cJXL ", Kind("a JPEG XL picture", _CONVERT)),
    (b"\xff\x0a", Kind("a JPEG XL picture", _CONVERT)),
    (b"II*\0", Kind("a TIFF picture", _CONVERT)),
    (b"MM\0*", Kind("a TIFF picture", _CONVERT)),
    (b"II+\0", Kind("a BigTIFF picture", _CONVERT)),
    (b"MM\0+", Kind("a BigTIFF picture", _CONVERT)),
    (b"\xff\xd8\xff", Kind("a JPEG picture", "check that it is whole")),
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG picture", "check that it is whole")),
    (b"GIF8", Kind("a GIF picture", "check that it is whole")),
    (b"BM", Kind("a BMP picture", _CONVERT)),
    (b"\0\0\1\0", Kind("a Windows icon", _CONVERT)),
)


def file_kind(beginning: bytes) -> Kind | None:
    """The kind of a file from its first ``LOOKED_AT`` bytes; None where they are of no kind that is known.

    >>> str(file_kind(b"PAR1")).partition(";")[0], file_kind(b"<svg xmlns='...'/>").what, file_kind(b"\\x01\\x02")
    ('a Parquet file', 'an SVG drawing', None)
    """
    if not beginning:
        return Kind("empty", _AGAIN)
    for mark, kind in _BEGINNINGS:
        if beginning.startswith(mark):
            return kind
    if beginning[4:8] == b"ftyp":
        return _of_brands(beginning)
    if beginning.startswith(b"RIFF") and beginning[8:12] == b"WEBP":
        return Kind("a WebP picture", "check that it is whole")
    if not beginning.strip(b"\0"):
        return Kind("filled with zero bytes", _AGAIN)
    return _of_text(beginning[:LOOKED_AT])


def _of_brands(beginning: bytes) -> Kind:
    """A file of ISO boxes, by its major brand and the compatible ones."""
    end = min(int.from_bytes(beginning[:4], "big"), 256)
    brands = {beginning[place : place + 4] for place in range(8, end, 4)}
    if brands & {b"avif", b"avis"}:
        return Kind("an AVIF picture", f"use a Pillow that reads AVIF, or {_CONVERT}")
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return HEIC
    return Kind("a video", "extract frames as JPEG or PNG")


def _of_text(beginning: bytes) -> Kind | None:
    try:
        text = beginning.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 4:  # else a character is cut in two
            return None
        text = beginning[: error.start].decode("utf-8-sig")
    if "\0" in text:
        return None
    start = text.lstrip().lower()
    if "<svg" in start and start.startswith("<"):
        return SVG
    if start.startswith(("<!doctype html", "<html", "<head")):
        return Kind("a web page", f"the download failed: {_AGAIN}")
    if start.startswith("<"):
        return Kind("XML", "convert it")
    if start.startswith(("{", "[")):
        return Kind("JSON text", "convert it")
    return Kind("a text file", "convert it") if text.isprintable() or "\n" in text else None
