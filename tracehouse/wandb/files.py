"""Files of any kind, kept beside the run's other media."""

from __future__ import annotations

import os

from tracehouse import mediafile, mime
from tracehouse.exceptions import MediaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.redact import Redactor


class File:
    """A file by its path, or data of a MIME type; 25 MiB at most.

    It is read when it is logged, and raises what ``tracehouse.Image`` does.
    """

    media_type = "file"

    def __init__(
        self, data: str | os.PathLike[str] | bytes, *, caption: str | None = None, kind: str | None = None
    ) -> None:
        self.caption = caption
        self._data: bytes | None = None
        self._path = ""
        if isinstance(data, bytes):
            self._data = data
            mediafile.check_size(caption or "the data", len(data))
        elif isinstance(data, (str, os.PathLike)):
            self._path = os.fsdecode(data)
        else:
            raise MediaError(f"a file is given by its path or its bytes, got {type(data)}")
        self.mime = kind or type_of(self._path)

    def spool_into(self, directory: str) -> mediafile.Spooled:
        """Put the file into that directory, under the name of its content."""
        if self._data is not None:
            return mediafile.store(self._data, directory, self.mime)
        return mediafile.copy(self._path, directory, self.mime)

    def __repr__(self) -> str:
        return f"<File {self.mime}, {self._path or self.caption!r}>"


class Unusable:
    """In the place of a medium that cannot be made: its error is raised when all beside it is recorded."""

    media_type = "file"
    caption = None

    def __init__(self, error: MediaError) -> None:
        self._error = error

    def spool_into(self, directory: str) -> mediafile.Spooled:
        """The error."""
        raise self._error


class JsonFile(File):
    """A value as a file of its JSON text."""

    def __init__(self, text: bytes, caption: str | None) -> None:
        super().__init__(text, caption=caption, kind="application/json")
        self._text = text

    def cleaned(self, redactor: Redactor) -> JsonFile:
        """The file, the texts in it as they may be recorded."""
        from json import loads

        return json_file(redactor.clean(loads(self._text)), self.caption)


def type_of(path: str) -> str:
    """The MIME type that a file's name tells."""
    import mimetypes

    return mime.by_suffix(path) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def json_file(value: Any, caption: str | None) -> JsonFile:
    """A value too long for a record, as a file of JSON."""
    from tracehouse.values import encode

    text = encode({"value": value})[len('{"value":') : -1]
    return JsonFile(text.encode("utf-8", "backslashreplace"), caption)


def is_too_long(value: Any) -> bool:
    """Whether its JSON is too long to stand among the values of a step."""
    from tracehouse.values import encode

    return len(encode({"value": value})) > MAX_VALUE


def bounded(name: str, value: dict[str, Any], kind: str) -> dict[str, Any]:
    """A typed value under its name; a long one as a file of JSON, which the value then names."""
    if not is_too_long(value):
        return {name: value}
    key = f"{name}/data"
    return {name: {"_type": kind, "media": key}, key: json_file(value, f"{name}.json")}


MAX_VALUE = 4 * 1024 * 1024
