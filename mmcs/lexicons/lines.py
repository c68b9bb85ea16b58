"""Reading text files line by line for every builder: UTF-8, plain or gzip, streamed; what is damaged is counted, never dropped.

What a line means is the builder's business (``muse``, ``tsv``, ...): it hands back the lines that it cannot use with ``damage``.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from mmcs.errors import DataError, UserError
from mmcs.lexicons.text_kinds import other_kind
from mmcs.prepare.records import Tally

MAX_LINE = 1 << 20
MAX_DAMAGED = 0.2  # share of the non-empty lines above which a file is not what it claims to be
NOT_UTF8 = "not UTF-8"

_BOM = b"\xef\xbb\xbf"
# Tabs are text; a carriage return at the end is taken off before. U+0080 to U+009F are cp1252 taken for Latin-1.
_CONTROL = re.compile("[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_HEAD = 1 << 16
_SAMPLE = 1 << 16
# A file in another encoding may hold a line or two that happen to be UTF-8.
_OTHER_ENCODING = 10
# Encodings that word lists come in; without the list an EBCDIC code page may win on a short file.
_LIKELY = [
    *(
        "cp1252",
        "cp1250",
        "cp1251",
        "cp1253",
        "cp1254",
        "cp1255",
        "cp1256",
        "cp1257",
        "cp1258",
        "cp874",
        "cp866",
        "cp437",
    ),
    *("latin_1", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "koi8_r", "koi8_u", "cp850", "mac_roman"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]


class Lines:
    """The non-empty lines of a file as ``(number, text)``, without their ends; to be iterated once.

    Attributes:
        path: the file; a pipe will do.
        read: non-empty lines so far, damaged ones among them.
        damaged: those that cannot be used, by cause, with examples ("line 17: ...").
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        what: str = "a word list",
        languages: Sequence[str] = (),
        max_damaged: float = MAX_DAMAGED,
    ) -> None:
        """Opens nothing yet.

        Args:
            path: UTF-8 with or without a byte-order mark, plain or gzip (told by its first bytes).
            what: what it should be, for sentences.
            languages: that it is in (BCP 47), where they are known: they tell in what encoding it is instead of UTF-8.
            max_damaged: share of damaged lines (0 to 1) above which the end of the file raises.
        """
        if not 0 <= max_damaged <= 1:
            raise UserError(f"--max-damaged is a share from 0 to 1; got {max_damaged:g}.")
        self.path, self.what, self.languages, self.max_damaged = Path(path), what, tuple(languages), max_damaged
        self.read = 0
        self.damaged = Tally()
        self._digest = hashlib.sha256()
        self._foreign = self._utf8 = 0  # lines with bytes above 127: not UTF-8, and UTF-8
        self._samples: list[bytes] = []

    @property
    def sha256(self) -> str:
        """Of the file as it lies there; known once all lines are read."""
        return self._digest.hexdigest()

    def damage(self, cause: str, number: int, text: str = "") -> None:
        """Counts line ``number`` as damaged."""
        self.damaged.add(cause, f"line {number}: {text.strip()[:60]}" if text else f"line {number}")

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Raises:
        UserError: there is no such file, or it is a folder.
        DataError: it is empty, cut off, of another kind or encoding, or more than ``max_damaged`` of it is damaged.
        """
        number = 0
        with _open(self.path) as file:
            try:
                stream = self._unpacked(file)
                for number, raw in _lines(stream):
                    text = self._text(number, raw)
                    if text:
                        yield number, text
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise DataError(
                    f"{self.path} is damaged or cut off ({error}; {number:,} lines were read before); fetch it again."
                ) from None
        if self._foreign > _OTHER_ENCODING * self._utf8:
            raise self._encoding_error()
        if not self.read:
            raise DataError(f"{self.path} is empty; {self.what} has at least one line.")
        self.check()

    def check(self) -> None:
        """Raises DataError where more lines are damaged than may be; the end of the file has asked already."""
        if self.damaged.total <= self.max_damaged * self.read:
            return
        if 2 * self._foreign > self.damaged.total and self._foreign > self._utf8:
            raise self._encoding_error()
        cause, examples = next(iter(self.damaged.examples.items()))
        share = self.damaged.total / self.read
        raise DataError(
            f"{self.path}: {self.damaged.total:,} of {self.read:,} lines ({share:.0%}) cannot be used (first: {cause}, "
            f"{examples[0]}); is it {self.what}? --max-damaged {_up(share):g} would read the rest of it."
        )

    def _unpacked(self, file: BinaryIO) -> BinaryIO:
        """The lines' bytes, after a look at the first ones."""
        stream = io.BufferedReader(_Hashed(file, self._digest), _HEAD)
        if stream.peek(2)[:2] == b"\x1f\x8b":
            stream = io.BufferedReader(cast(_Hashed, gzip.GzipFile(fileobj=stream)), _HEAD)
        head = stream.peek(_HEAD)[:_HEAD]
        if kind := other_kind(head.removeprefix(_BOM)):
            raise DataError(f"{self.path} is {kind} ({self.what} is expected).")
        if head.startswith(_BOM):
            stream.read(len(_BOM))
        if b"\r" in head and b"\n" not in head:
            stream = io.BufferedReader(cast(_Hashed, _LineFeeds(stream)), _HEAD)
        return stream

    def _text(self, number: int, raw: bytes | None) -> str:
        """A line as text; "" where it is empty or damaged."""
        if raw is None:
            self.read += 1
            self.damage(f"longer than {MAX_LINE >> 20} MiB", number)
            return ""
        raw = raw.strip(b" \r\n")
        if not raw.strip():
            return ""
        self.read += 1
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self._foreign += 1
            if sum(map(len, self._samples)) < _SAMPLE:
                self._samples.append(raw)
            if self._foreign == 1000 and not self._utf8:
                raise self._encoding_error() from None
            self.damage(NOT_UTF8, number, raw.decode("utf-8", "backslashreplace"))
            return ""
        if not raw.isascii():
            self._utf8 += 1
        if "\0" in text:
            self.damage("holds a NUL character", number, text.replace("\0", "\\0"))
            return ""
        if control := _CONTROL.search(text):
            self.damage(
                "holds a control character", number, f"U+{ord(control.group()):04X} in {_CONTROL.sub(' ', text)}"
            )
            return ""
        return text

    def _encoding_error(self) -> DataError:
        example = self.damaged.examples[NOT_UTF8][0]
        name = _likely_encoding(b"\n".join(self._samples), self.languages)
        if not name:
            return DataError(f"{self.path} is not UTF-8 ({example}), and no text in an encoding that is known.")
        return DataError(f"{self.path} is not UTF-8 ({example}); it looks like {name}: save it as UTF-8.")


class _Hashed(io.RawIOBase):
    """A file whose bytes go through a digest while they are read."""

    def __init__(self, file: BinaryIO, digest: hashlib._Hash) -> None:
        self._file, self._digest = file, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._digest.update(data)
        return len(data)


class _LineFeeds(io.RawIOBase):
    """A file whose lines end with a carriage return alone, as old spreadsheets write them, with line feeds instead."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._file.read(len(view)).replace(b"\r", b"\n")
        view[: len(data)] = data
        return len(data)


def provenance(path: Path, sha256: str) -> str:
    """What a source's ``provenance`` says of a file."""
    return f"{path.name} (sha256 {sha256})"


def _open(path: Path) -> BinaryIO:
    try:
        return cast(BinaryIO, path.open("rb", buffering=0))
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a file.") from None
    except FileNotFoundError:
        raise UserError(f"there is no file {path}.") from None


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines with their ends; None for one that is too long, of which no more than the limit is held."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) <= MAX_LINE:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_LINE)
        yield number, None


def _likely_encoding(sample: bytes, languages: Sequence[str]) -> str:
    """The encoding in which the most words of ``languages`` appear; where they tell none, what charset-normalizer finds."""
    from charset_normalizer import from_bytes

    from mmcs.lexicons.frequency import zipf

    read: dict[str, str] = {}
    for name in _LIKELY:
        with contextlib.suppress(UnicodeDecodeError):
            read[name] = sample.decode(name)
    known = dict.fromkeys(read, 0)
    for language in languages:
        for name, text in read.items():
            known[name] += sum(zipf(word, language) > 0 for word in text.split() if not word.isascii())
    if any(known.values()):
        return max(known, key=lambda name: known[name])  # of equals the first: the commonest
    best = from_bytes(sample, cp_isolation=_LIKELY).best()
    if best is None:
        return ""
    return next((name for name, text in read.items() if text == str(best)), best.encoding)


def _up(share: float) -> float:
    """The next hundredth: what ``--max-damaged`` would have to be."""
    return min(1.0, int(share * 100 + 1) / 100)
