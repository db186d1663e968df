"""What a file is: by its name, by the name of its format, by its first bytes."""

from __future__ import annotations

import pytest

from tracehouse import mime
from tracehouse.spool import layout

HEADS = [
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
    (b"GIF89a\1\0", "image/gif"),
    (b"GIF87a\1\0", "image/gif"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
    (b"BM\x36\0\0\0", "image/bmp"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    (b"\xef\xbb\xbf\n<?xml version='1.0'?>\n<!-- x -->\n<svg/>", "image/svg+xml"),
    (b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif"),
    (b"II*\0\x08\0", "image/tiff"),
    (b"MM\0*\0\0", "image/tiff"),
    (b"\0\0\0\x20ftypisom\0\0\2\0", "video/mp4"),
    (b"\0\0\0\x14ftypqt  \0\0\0\0", "video/quicktime"),
    (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm", "video/webm"),
    (b"\x1a\x45\xdf\xa3\xa3B\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x88matroska", "video/x-matroska"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
    (b"ID3\4\0\0", "audio/mpeg"),
    (b"\xff\xfb\x90\x00", "audio/mpeg"),
    (b"OggS\0\2" + bytes(22) + b"\1\x1e\1vorbis", "audio/ogg"),
    (b"OggS\0\2" + bytes(22) + b"\1*\x80theora", "video/ogg"),
    (b"fLaC\0\0\0\x22", "audio/flac"),
    (b"<!DOCTYPE html><html>", "text/html"),
    (b"no such thing", None),
    (b"<?xml version='1.0'?><feed/>", None),
    (b"", None),
]


@pytest.mark.parametrize("head,expected", HEADS, ids=lambda value: str(value)[:30])
def test_the_first_bytes_tell_the_type(head: bytes, expected: str | None) -> None:
    assert mime.sniff(head[: mime.HEAD]) == expected


@pytest.mark.parametrize(
    "path,expected",
    [
        ("out/epoch3.png", "image/png"),
        ("A.JPG", "image/jpeg"),
        ("a.b/c.jpeg", "image/jpeg"),
        ("x.svg", "image/svg+xml"),
        ("clip.mov", "video/quicktime"),
        ("clip.mkv", "video/x-matroska"),
        ("x.txt", None),
        ("dir.png/file", None),
        ("png", None),
        ("", None),
    ],
)
def test_the_suffix_tells_the_type(path: str, expected: str | None) -> None:
    assert mime.by_suffix(path) == expected


@pytest.mark.parametrize(
    "name,kind,expected",
    [
        ("jpg", "image", "image/jpeg"),
        ("JPEG", "image", "image/jpeg"),
        (".png", "image", "image/png"),
        ("image/png", "image", "image/png"),
        ("mov", "video", "video/quicktime"),
        ("ogg", "video", "video/ogg"),
        ("ogg", "audio", "audio/ogg"),
        ("webm", "audio", "audio/webm"),
        ("gif", "video", "image/gif"),
        ("xyz", "image", "image/xyz"),
        ("not a name\r\nX-Evil: 1", "image", None),
        ("", "image", None),
    ],
)
def test_the_format_tells_the_type(name: str, kind: str, expected: str | None) -> None:
    assert mime.by_format(name, kind) == expected


@pytest.mark.parametrize(
    "kind,suffix",
    [("image/jpeg", "jpg"), ("video/quicktime", "mov"), ("image/svg+xml", "svg"), ("image/x-évil/../", "bin")],
)
def test_a_file_ends_as_its_type_says(kind: str, suffix: str) -> None:
    assert mime.suffix_of(kind) == suffix
    assert layout.is_media_name("0" * 64 + "." + suffix)
