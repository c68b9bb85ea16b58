"""A file that is not what it was given for is named by its kind, with what to do."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
from PIL import Image

from mmcs.common.file_kind import file_kind


def encoded(form: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, form)
    return content.getvalue()


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", "x")
    return content.getvalue()


def boxes(brand: bytes, *compatible: bytes) -> bytes:
    box = b"ftyp" + brand + bytes(4) + b"".join(compatible)
    return (len(box) + 4).to_bytes(4, "big") + box + bytes(64)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 12345\n"


@pytest.mark.parametrize(
    ("content", "what", "todo"),
    [
        (LFS, "Git LFS pointer", "git lfs pull"),
        (gzip.compress(b"x", mtime=0), "gzip", "gunzip"),
        (bz2.compress(b"x"), "bzip2", "unpack"),
        (lzma.compress(b"x"), "xz", "unpack"),
        (zipped(), "zip", "unpack"),
        (b"PAR1" + bytes(9), "Parquet", "img2dataset"),
        (boxes(b"heic", b"mif1"), "HEIC", "mmcs[heif]"),
        (boxes(b"mif1", b"heic"), "HEIC", "mmcs[heif]"),
        (boxes(b"mif1", b"avif"), "AVIF", "convert"),
        (boxes(b"isom", b"mp42"), "video", "frames"),
        (encoded("JPEG2000"), "JPEG 2000", "convert"),
        (encoded("TIFF"), "TIFF", "convert"),
        (encoded("WEBP"), "WebP", ""),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG", "render"),
        (b"<!-- made by hand --><svg/>", "SVG", "render"),
        (b"<!DOCTYPE html><title>404</title>", "web page", "download"),
        (b'{"url": "https://host/a.jpg"}\n', "JSON", ""),
        ("Пёс\tHund\n".encode(), "text", ""),
        ("é".encode() * 4096, "text", ""),
        (b"", "empty", "download"),
        (bytes(9000), "zero bytes", "download"),
    ],
)
def test_the_kind_is_named(content: bytes, what: str, todo: str) -> None:
    kind = file_kind(content[:4096])
    assert kind is not None
    assert what in kind.what and todo in kind.todo


@pytest.mark.parametrize("content", [b"\x01\x02\x03\x04", b"\x00\x00\x00\x05ab", b"a\0b"])
def test_an_unknown_kind_is_none(content: bytes) -> None:
    assert file_kind(content) is None
