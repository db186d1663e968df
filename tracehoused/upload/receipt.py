"""What remains of a session at a destination whose records were deleted here: ``upload/<destination>/receipt.json``."""

from __future__ import annotations

import json
import os
from typing import Any

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import layout
from tracehoused.upload.opening import read_file

__all__ = ["read_receipt"]

_MOST = 1 << 20


def read_receipt(directory: str) -> dict[str, Any] | None:
    """``directory``: a destination's, in the session. None where there is no receipt, or none that can be read."""
    try:
        found = json.loads(read_file(os.path.join(directory, layout.RECEIPT), _MOST))
    except (TracehouseError, OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
