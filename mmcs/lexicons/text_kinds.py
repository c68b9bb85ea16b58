"""Names files that are no word lists in UTF-8, by their first bytes, with what to do about each. ``lines`` calls it."""

from __future__ import annotations

import re

_WIDE = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_AS_TEXT = "write it out as text: CSV (UTF-8), or a word and its translation on each line"
_KINDS = (
    (re.compile(rb"\x80[\x00-\x05]"), "a Python pickle, which can run code when it is read; mmcs reads none: write it out as text"),
    (re.compile(rb"(?s)PK\x03\x04.*?(?:\[Content_Types\]\.xml|xl/)"), "an Excel or Word file; save it as CSV (UTF-8) and name that file"),
    (re.compile(rb"(?s)PK\x03\x04.{26}mimetypeapplication/vnd\.oasis"), "an OpenDocument file; save it as CSV (UTF-8) and name that file"),
    (re.compile(rb"PK\x03\x04"), "a zip archive (numpy's and torch's files are such); unpack it, or write it out as text"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an Excel or Word file; save it as CSV (UTF-8) and name that file"),
    (re.compile(rb"PAR1"), "a Parquet file; write it as CSV: pandas.read_parquet(FILE).to_csv('terms.csv', index=False)"),
    (re.compile(rb"ARROW1|FEA1"), "an Arrow file; write it as CSV: pandas.read_feather(FILE).to_csv('terms.csv', index=False)"),
    (re.compile(rb"\s*[\[{]\s*[\[{\"]"), "JSON; write it as CSV: pandas.read_json(FILE, lines=True).to_csv('terms.csv', index=False)"),
    (re.compile(rb"(?s)\s*<(?:\?xml.*?<)?(?:tmx|tbx|martif|xliff)\b"), "a translation memory or term base in XML; export it as CSV (UTF-8)"),
    (re.compile(rb"(?is)\s*<(?:\?xml.*?<)?TEI"), "a TEI dictionary; 'mmcs lexicon build freedict --source FILE' reads those"),
    (re.compile(rb"(?i)\s*<(?:!doctype html|html)"), "a web page, not the file itself; download it again"),
    (re.compile(rb"\s*<\?xml"), f"XML; {_AS_TEXT}"),
    (re.compile(rb"\{\\rtf"), f"an RTF document; {_AS_TEXT}"),
    (re.compile(rb"version https://git-lfs\."), "a Git LFS pointer, not the file itself; run 'git lfs pull'"),
    (re.compile(rb"\x89HDF\r\n"), "an HDF5 file; write it out as text"),
    (re.compile(rb"MMCS\.LEX"), "a lexicon already built; 'mmcs lexicon info' shows it, 'mmcs lexicon merge' joins several"),
    (re.compile(rb"\xfd7zXZ\0|BZh[1-9]1AY|\x28\xb5\x2f\xfd"), "compressed (xz, bzip2 or zstd); unpack it or pack it with gzip"),
    (re.compile(rb"(?s).{257}ustar"), "a tar archive; unpack it"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), "a picture"),
    (re.compile(rb"%PDF|\x7fELF|SQLite format 3"), f"a binary file (PDF, program or database); {_AS_TEXT}"),
)  # fmt: skip


def other_kind(head: bytes) -> str:
    """What a file is that begins so and is no text in UTF-8, and what to do; "" where it may be one."""
    for pattern, kind in _KINDS:
        if pattern.match(head):
            return kind
    wide = _wide(head)
    return f"{wide}; save it as UTF-8" if wide else ""


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32, told by its mark, or by NUL bytes where letters have their upper halves; else ""."""
    for mark, name in _WIDE:
        if head.startswith(mark):
            return name
    even, odd = head[::2].count(0), head[1::2].count(0)
    if 10 * (even + odd) < len(head) or len(head) < 8:
        return ""
    if even + odd > 0.6 * len(head):
        return "UTF-32"
    # Letters of one script share their upper byte; random binaries have NULs at either place.
    return "UTF-16" if max(even, odd) > 5 * min(even, odd) else "a binary file"
