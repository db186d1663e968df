"""Records as JSON lines. Pure."""

from __future__ import annotations

import json

from tracehouse.spool.manifest import Manifest
from tracehoused.export.records import Entry

__all__ = ["line"]


def line(manifest: Manifest, entry: Entry) -> bytes:
    """``{"session","kind","writer","seq","attempt","type","data"}`` and a newline; ``data`` is byte for byte what was recorded.

    ``session`` is the session_id of a trace, the client_run_id of a run; (session, writer, seq) names a record.
    """
    told = {
        "session": manifest.id,
        "kind": manifest.kind,
        "writer": entry.epoch,
        "seq": entry.seq,
        "attempt": entry.attempt,
        "type": entry.type,
    }
    return json.dumps(told, separators=(",", ":")).encode()[:-1] + b',"data":' + entry.data + b"}\n"
