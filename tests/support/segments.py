"""Segments put together by hand, for what no emitter writes: damage, gaps, hostile records."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracehouse.spool import layout, record
from tracehouse.spool.manifest import Manifest, read

UID = "0123456789abcdef" * 2
EPOCH = "00000000000000aa"
AT = "2026-01-02T03:04:05.000006Z"


def manifest(kind: str = "run", name: str = "r", **fields: Any) -> Manifest:
    known = {
        "format": 1,
        "uid": UID,
        "kind": kind,
        "id": name,
        "machine_id": "m",
        "hostname": "h",
        "api_base": "http://127.0.0.1:9",
        "created_at": AT,
        "epoch": EPOCH,
        "credential": None,
    }
    return Manifest({**known, **fields})


def header(of: Manifest, epoch: str = EPOCH, n: int = 0, **fields: Any) -> dict[str, Any]:
    known = {
        "format": 1,
        "epoch": epoch,
        "n": n,
        "attempt": 1,
        "claim": 1,
        "pid": 1,
        "host": "h",
        "boot_id": "b",
        "at": AT,
    }
    return {**known, "session": of.to_dict(), **fields}


def line(seq: int, kind: str, data: object, *, uid: str = UID, epoch: str = EPOCH) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return record.frame(record.checksum_seed(uid, epoch), seq, kind, text)


def metrics(step: int, **values: object) -> dict[str, Any]:
    return {"step": step, "wall_time": AT, "values": values or {"loss": step}}


def span(number: int, session_id: str = "r") -> dict[str, Any]:
    known = {"id": f"span-{number}", "session_id": session_id, "kind": "user_msg", "name": "user message"}
    return {**known, "start_at": AT, "attributes": {"text": f"text {number}"}}


def session(spool: Path, of: Manifest, *segments: Sequence[bytes]) -> Path:
    """A session whose writer, of whom nothing is known, left these segments of lines."""
    directory = spool / layout.session_dir(of.kind, of.id, of.api_base, of.credential)
    os.makedirs(directory, 0o700)
    (directory / layout.MANIFEST).write_text(json.dumps(of.to_dict()))
    for n, lines in enumerate(segments):
        (directory / layout.segment_name(EPOCH, n)).write_bytes(b"".join(lines))
    return directory


def twin(source: Path, spool: Path, old: str, new: str) -> Path:
    """A session that differs from a closed one in its ids only: ``old`` in them becomes ``new``."""
    of = read(str(source))
    fields = {**of.to_dict(), "id": of.id.replace(old, new), "uid": os.urandom(16).hex()}
    target = spool / layout.session_dir(of.kind, fields["id"], of.api_base, of.credential)
    shutil.copytree(source, target)
    (target / layout.MANIFEST).write_text(json.dumps(fields))
    for path in target.glob("*.jsonl"):
        name = layout.parse_segment_name(path.name)
        assert name is not None
        seed = record.checksum_seed(of.uid, name.epoch)
        lines = []
        for raw in path.read_bytes().split(b"\n")[:-1]:
            parsed = record.parse(raw, seed)
            assert parsed is not None, raw
            seq, kind, data = parsed
            told = data.decode().replace(f'"{old}', f'"{new}').replace(of.uid, fields["uid"])
            lines.append(line(seq, kind.decode(), told, uid=fields["uid"], epoch=name.epoch))
        path.write_bytes(b"".join(lines))
    return target
