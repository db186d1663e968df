"""Why a session cannot be read, in words: whatever lies in it, or is kept from who asks, it costs that session alone."""

from __future__ import annotations

import os

from tracehouse.exceptions import TracehouseError
from tracehoused.text import argument
from tracehoused.upload.state import SENSELESS

__all__ = ["TROUBLES", "why"]

TROUBLES = (TracehouseError, OSError, *SENSELESS)


def why(session: str, error: Exception) -> str:
    """What ``error``, one of TROUBLES, says of a session, and what would help where that is known."""
    if isinstance(error, TracehouseError):
        return str(error)
    if not isinstance(error, OSError):
        return f"it makes no sense: {type(error).__name__}: {error}"
    where = f": {error.filename}" if error.filename else ""
    helps = _opening(session) if isinstance(error, PermissionError) else ""
    return f"{error.strerror or error}{where}{helps}"


def _opening(session: str) -> str:
    try:
        owner = os.lstat(session).st_uid
    except OSError:
        return ""
    if owner == os.geteuid():
        return f"; `chmod -R u+rwX {argument(session)}` opens it"
    return f"; uid {owner}, whose it is, may"
