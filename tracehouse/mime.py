"""MIME types of media: by suffix, by the name of a format, by the first bytes. Pure."""

from __future__ import annotations

import re

HEAD = 512  # how many of the first bytes `sniff` wants to see

_BY_SUFFIX = {
    "png": "image/png",
    "apng": "image/apng",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "svg": "image/svg+xml",
    "avif": "image/avif",
    "heic": "image/heic",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "ico": "image/x-icon",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "ogv": "video/ogg",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "html": "text/html",
    "htm": "text/html",
}
_SUFFIX_OF = {mime: suffix for suffix, mime in reversed(_BY_SUFFIX.items())}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"mif1": "image/heic",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
}
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_MIME = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")
_FORMAT = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_SUFFIX = re.compile(r"[a-z0-9]{1,8}")


def by_suffix(path: str) -> str | None:
    """The type that the end of a file's name tells, in whatever case."""
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return _BY_SUFFIX.get(name.rpartition(".")[2].lower()) if "." in name else None


def by_format(name: str, kind: str) -> str | None:
    """The type meant by `jpg`, `.mov`, `image/png`; ``<kind>/<name>`` for one not known; None where it is no name."""
    word = name.strip().lower().lstrip(".")
    if _MIME.fullmatch(word):
        return word
    known = _BY_SUFFIX.get(word)
    if known is not None and {known.partition("/")[0], kind} != {"audio", "video"}:
        return known
    return f"{kind}/{word}" if _FORMAT.fullmatch(word) else None


def sniff(head: bytes) -> str | None:
    """The type that the first HEAD bytes tell, or None."""
    for start, mime in _STARTS:
        if head.startswith(start):
            return mime
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:4] == b"OggS":
        return "video/ogg" if b"theora" in head[:64] else "audio/ogg"
    return _markup(head)


def _markup(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text):
        return "image/svg+xml"
    return "text/html" if text.startswith((b"<!doctype html", b"<html")) else None


def suffix_of(mime: str) -> str:
    """How a file of this type ends, without the dot: letters and digits, 8 at most."""
    known = _SUFFIX_OF.get(mime)
    if known is not None:
        return known
    word = mime.rpartition("/")[2]
    return word if _SUFFIX.fullmatch(word) else "bin"
