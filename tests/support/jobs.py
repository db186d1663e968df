"""A job as its own process, and what it left in its spool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from tracehouse import exits
from tracehouse.spool import layout, manifest, record

ROOT = Path(__file__).resolve().parents[2]


class Job(NamedTuple):
    """How a job ended: its exit code (negative: a signal) and what it printed."""

    code: int
    out: str
    err: str


class Logged(NamedTuple):
    """One valid record: which writer's, its number there, its type and its object."""

    epoch: str
    seq: int
    type: str
    data: dict[str, Any]


def environ(spool: Path | str, **more: str) -> dict[str, str]:
    """The environment of a job that logs to that spool."""
    return {**os.environ, "TRACEHOUSE_SPOOL_DIR": str(spool), "PYTHONPATH": str(ROOT), **more}


def start(script: str, spool: Path | str, *args: str, **more: str) -> subprocess.Popen[str]:
    """Begin a job whose script has tracehouse as ``cm``, and os, sys."""
    return subprocess.Popen(
        [sys.executable, "-c", _whole(script), *args],
        env=environ(spool, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script: str, spool: Path | str, *args: str, **more: str) -> Job:
    """Run a job to its end."""
    process = start(script, spool, *args, **more)
    out, err = process.communicate(timeout=100)
    return Job(process.returncode, out, err)


def run_file(script: str, spool: Path, directory: Path, *args: str, **more: str) -> Job:
    """Run a job from a file, as ``python job.py``: multiprocessing's spawn needs one."""
    path = directory / "job.py"
    path.write_text(_whole(script))
    done = subprocess.run(
        [sys.executable, str(path), *args], env=environ(spool, **more), capture_output=True, text=True, timeout=100
    )
    return Job(done.returncode, done.stdout, done.stderr)


def _whole(script: str) -> str:
    return "import os, sys\nimport tracehouse as cm\n" + textwrap.dedent(script)


def sessions(spool: Path | str) -> list[Path]:
    """Directories of the sessions in a spool."""
    return sorted(path for path in Path(spool).iterdir() if layout.is_session_dir(path.name))


def records(session: Path) -> list[Logged]:
    """All valid records of a session by writer and number, each once; damage raises AssertionError."""
    uid = manifest.read(str(session)).uid
    found: dict[tuple[str, int], Logged] = {}
    for path in sorted(session.glob("*.jsonl")):
        name = layout.parse_segment_name(path.name)
        assert name is not None, path
        for line in path.read_bytes().split(b"\n")[:-1]:
            parsed = record.parse(line, record.checksum_seed(uid, name.epoch))
            assert parsed is not None, f"damaged line in {path}: {line[:200]!r}"
            seq, kind, data = parsed
            found.setdefault((name.epoch, seq), Logged(name.epoch, seq, kind.decode(), json.loads(data)))
    return [found[key] for key in sorted(found)]


def of_type(session: Path, *types: str) -> list[dict[str, Any]]:
    """The objects of the records of these types, as ``records`` orders them."""
    return [one.data for one in records(session) if one.type in types]


def only_session(spool: Path | str) -> Path:
    """The one session of a spool."""
    [found] = sessions(spool)
    return found


def texts(session: Path) -> list[str]:
    """What the spans of a session say, in order."""
    return [span["attributes"].get("text", "") for span in of_type(session, "span")]


def gaps(session: Path) -> dict[str, list[int]]:
    """Numbers missing between the first and last record of each writer."""
    by_epoch: dict[str, set[int]] = {}
    for one in records(session):
        by_epoch.setdefault(one.epoch, set()).add(one.seq)
    missing = {epoch: sorted(set(range(1, max(seqs) + 1)) - seqs) for epoch, seqs in by_epoch.items()}
    return {epoch: numbers for epoch, numbers in missing.items() if numbers}


def close_all() -> None:
    """Close what this process has open, before its directories go."""
    for session in list(exits._open):
        session.close()
