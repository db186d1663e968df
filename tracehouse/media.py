"""Media: what the user has (a path, bytes, a picture, an array), with its MIME type, ready for the session's ``media/``."""

from __future__ import annotations

import os

from tracehouse import mediafile, mime
from tracehouse.exceptions import MediaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.redact import Redactor

    Bytes = bytes


class _Media:
    """Data with their MIME type. ``mime`` and ``caption`` may be set; a file given by its path is read when it is logged."""

    media_type = ""
    _default_mime = ""
    _unsupported = ""

    def __init__(self, data: object, *, caption: str | None = None, format: str | None = None) -> None:  # noqa: A002
        self.caption = caption
        self.mime = self._default_mime
        self._path: str | None = None
        self._data: Bytes = b""
        wanted = None if format is None else self._by_format(format)
        if isinstance(data, _Media) and data.media_type == self.media_type:
            vars(self).update(vars(data))
            self.mime = wanted or data.mime
            self.caption = data.caption if caption is None else caption
        elif isinstance(data, (str, os.PathLike)):
            self._take_path(os.fspath(data), wanted)
        else:
            self._take_bytes(data, format, wanted)

    @property
    def bytes(self) -> Bytes:
        """The data; those of a path are read anew each time. MediaUnreadable, MediaTooLarge."""
        return self._data if self._path is None else b"".join(mediafile.pieces(self._path))

    def spool_into(self, directory: str) -> mediafile.Spooled:
        """Put the data into that directory (made where it is missing), as ``<sha256>.<suffix>``, once for equal data.

        Not yet durable. MediaUnreadable, MediaTooLarge for the user's file; other OSErrors are the directory's.
        """
        if self._path is None:
            return mediafile.store(self._data, directory, self.mime)
        return mediafile.copy(self._path, directory, self.mime)

    def _by_format(self, format: str) -> str:  # noqa: A002
        found = mime.by_format(format, self.media_type)
        if found is None:
            raise MediaError(f"format must be a name like 'png' or a MIME type, got {format!r}")
        return found

    def _take_path(self, path: str | Bytes, wanted: str | None) -> None:
        self._path = os.fsdecode(path)
        try:
            head = mediafile.head(self._path, mime.HEAD)
        except MediaError:
            head = b""  # told when it is logged, after the values beside it were recorded
        told = mime.by_suffix(self._path)
        self.mime = told if told is not None and self._is_ours(told) else wanted or self._sniffed(head)

    def _take_bytes(self, data: Any, format: str | None, wanted: str | None) -> None:  # noqa: A002
        if isinstance(data, (bytes, bytearray, memoryview)):
            mediafile.check_size("the data", memoryview(data).nbytes)
            self._data = bytes(data)
        elif hasattr(type(data), "read"):
            self._data = mediafile.read(data)
        else:
            made = self._encode(data, format)
            if made is None:
                raise MediaError(self._unsupported.format(type(data)))
            self._data, name = made
            wanted = self._by_format(name)
        mediafile.check_size("the data", len(self._data))
        self.mime = wanted or self._sniffed(self._data[: mime.HEAD])

    def _encode(self, data: object, format: str | None) -> tuple[Bytes, str] | None:  # noqa: A002
        """The bytes and their format's name of what is not encoded yet; None for what this class does not take."""
        return None

    def _is_ours(self, found: str) -> bool:
        return found.startswith(f"{self.media_type}/")

    def _sniffed(self, head: Bytes) -> str:
        found = mime.sniff(head)
        return found if found is not None and self._is_ours(found) else self._default_mime

    def __repr__(self) -> str:
        what = f"{len(self._data):,} bytes" if self._path is None else repr(self._path)
        return f"<{type(self).__name__} {self.mime}, {what}>"


class Image(_Media):
    """A picture, 25 MiB at most.

    ``data``: a file path; bytes; an open binary file; a Pillow image; a matplotlib figure; a numpy array or torch tensor
    (shapes and scaling: ``tracehouse.pixels``). ``format`` names the format of bytes, or the one to make of a picture or
    array ("png" by default; others need Pillow). MediaError (a TypeError) for anything else, MediaTooLarge. A path is looked at when
    it is logged: MediaUnreadable for a file that cannot be read comes then, after the values beside it were recorded.

    >>> cm.Image(b"GIF89a...", caption="epoch 3").mime
    'image/gif'
    """

    media_type = "image"
    _default_mime = "image/png"
    _unsupported = "cm.Image: unsupported data {} — pass a file path, raw bytes, a PIL Image, or a numpy array."

    def _encode(self, data: Any, format: str | None) -> tuple[Bytes, str] | None:  # noqa: A002
        from tracehouse import pixels

        if pixels.is_pillow(data):
            return pixels.pillow_picture(data, format)
        if pixels.is_array(data):
            return pixels.picture(data, format)
        return _figure(data, format) if hasattr(data, "savefig") else None


class Video(_Media):
    """A video, 25 MiB at most.

    ``data``: a file path, bytes, an open binary file, or an array of frames (T, H, W), (T, H, W, C) or (T, C, H, W),
    which becomes a GIF of ``fps`` frames a second (needs numpy and Pillow). Errors as of Image.

    >>> cm.Video(b"....ftypqt  ").mime
    'video/quicktime'
    """

    media_type = "video"
    _default_mime = "video/mp4"
    _unsupported = "cm.Video: pass a file path or raw bytes. Got {}."

    def __init__(
        self,
        data: object,
        *,
        caption: str | None = None,
        format: str | None = None,  # noqa: A002
        fps: float = 10,
    ) -> None:
        self._fps = fps
        super().__init__(data, caption=caption, format=format)

    def _encode(self, data: Any, format: str | None) -> tuple[Bytes, str] | None:  # noqa: A002
        from tracehouse import pixels

        return pixels.animation(data, self._fps) if pixels.is_array(data) else None

    def _is_ours(self, found: str) -> bool:
        return found.startswith("video/") or found in ("image/gif", "image/webp", "image/apng")


class Audio(_Media):
    """A sound, 25 MiB at most.

    ``data``: a file path, bytes, an open binary file, or an array of samples (n,) or (n, channels), floats in -1…1 or
    16-bit ints, which becomes a WAV file of ``sample_rate`` samples a second. Errors as of Image.

    >>> cm.Audio(b"fLaC....", caption="speaker 2").mime
    'audio/flac'
    """

    media_type = "audio"
    _default_mime = "audio/wav"
    _unsupported = "cm.Audio: unsupported data {} — pass a file path, raw bytes, or a numpy array of samples."

    def __init__(
        self,
        data: object,
        *,
        caption: str | None = None,
        format: str | None = None,  # noqa: A002
        sample_rate: int = 44_100,
    ) -> None:
        self._sample_rate = sample_rate
        super().__init__(data, caption=caption, format=format)

    def _encode(self, data: Any, format: str | None) -> tuple[Bytes, str] | None:  # noqa: A002
        from tracehouse import pixels

        return pixels.sound(data, self._sample_rate) if pixels.is_array(data) else None

    def _is_ours(self, found: str) -> bool:
        # mp4, webm and ogg hold sound alone as well
        return found.startswith("audio/") or found in ("video/mp4", "video/webm", "video/ogg")


class Html(_Media):
    """A page, 25 MiB at most: its text, the path of an ``.html`` file, bytes, or an open file. Errors as of Image.

    >>> cm.Html("<b>it works</b>").bytes
    b'<b>it works</b>'
    """

    media_type = "html"
    _default_mime = "text/html"
    _unsupported = "cm.Html: unsupported data {} — pass HTML text, a file path, or raw bytes."

    def __init__(self, data: object, *, caption: str | None = None, format: str | None = None) -> None:  # noqa: A002
        if isinstance(data, str) and not (data.lower().endswith((".html", ".htm")) and "<" not in data):
            data = data.encode("utf-8", "backslashreplace")
        super().__init__(data, caption=caption, format=format)

    def cleaned(self, redactor: Redactor) -> Html:
        """The page, its text as it may be recorded."""
        text = redactor.text(self.bytes.decode("utf-8", "backslashreplace"))
        return Html(text.encode("utf-8", "backslashreplace"), caption=self.caption)

    def _by_format(self, format: str) -> str:  # noqa: A002
        return self._default_mime

    def _is_ours(self, found: str) -> bool:
        return found == "text/html"


def _figure(figure: Any, format: str | None) -> tuple[Bytes, str]:  # noqa: A002
    from io import BytesIO

    out = BytesIO()
    figure.savefig(out, format=format or "png")
    return out.getvalue(), format or "png"


__all__ = ["Audio", "Html", "Image", "Video"]
