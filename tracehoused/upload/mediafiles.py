"""Media files in a spool, as bodies of requests: sent only when their content is what their name says."""

from __future__ import annotations

import json
import os
from hashlib import sha256 as digest

from tracehouse.exceptions import SpoolError
from tracehouse.spool import layout
from tracehoused.exceptions import BodyError
from tracehoused.http.request import FileBody
from tracehoused.upload.batch import Batch
from tracehoused.upload.context import Context
from tracehoused.upload.opening import open_checked

__all__ = ["UNSUPPORTED", "checked_media", "may_come", "media_of"]

UNSUPPORTED = "unsupported"

_READ = 256 * 1024
_OF_FILE = "media file "


def media_of(context: Context, batch: Batch, *, read: bool = True) -> FileBody | str | None:
    """The file of a media record; a reason when it can never be sent as it is; None to leave it for later.

    ``read``: as of ``checked_media``.
    """
    fields = json.loads(batch.parts[0])
    name, size = fields.get("file"), fields.get("size")
    if not isinstance(name, str) or not layout.is_media_name(name) or not isinstance(size, int):
        return f"the record names no media file: {name!r}"
    types = context.capabilities.media_types
    if fields.get("media_type") not in types:
        if not context.capabilities.known:
            context.troubles.append("the destination does not tell which media it takes")
            return None
        return f"{UNSUPPORTED}: this destination takes {', '.join(types)}, not {fields.get('media_type')}"
    path = os.path.join(context.session, layout.MEDIA, name)
    return checked_media(path, size, name.partition(".")[0], read=read)


def checked_media(path: str, size: int, sha256: str, *, read: bool = True) -> FileBody | str:
    """The file, or why it can never be sent. ``read``: its content is looked at now, and not only as it is sent."""
    try:
        fd = open_checked(path)
    except FileNotFoundError:
        return f"{_OF_FILE}missing: it was not copied along, or was lost with the power"
    except SpoolError as error:
        return f"{_OF_FILE}unusable: {error}"
    read = read or size == 0  # of nothing there is no last part that could be kept back as it is sent
    found = digest()
    try:
        if os.fstat(fd).st_size != size:
            return f"{_OF_FILE}damaged: {os.fstat(fd).st_size} bytes, its record says {size}"
        part = bytearray(_READ)
        while read and (count := os.readv(fd, [part])):
            found.update(memoryview(part)[:count])
    finally:
        os.close(fd)
    if read and found.hexdigest() != sha256:
        return f"{_OF_FILE}damaged: its content does not match its name"
    return FileBody(path, size, opener=lambda: _reopened(path), sha256=sha256)


def _reopened(path: str) -> int:
    try:
        return open_checked(path)
    except SpoolError as error:
        raise BodyError(f"{path} changed before it was sent: {error}", path=path) from error


def may_come(reason: str) -> bool:
    """Whether what is wrong is the file, which a later copy of a session that still grows may bring."""
    return reason.startswith(_OF_FILE)
