"""One script through the published SDK to one house, and through ours and `tracehouse sync` to another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e import held
from tests.support.house import ROOT, House

SCRIPTS = Path(__file__).with_name("scripts")
ABSENT = "(absent)"
THERE = "(there)"
_TIMEOUT = 90


class Case(NamedTuple):
    """A script, and its argument if it takes one."""

    script: str
    argument: str = ""

    @property
    def name(self) -> str:
        return f"{self.script} {self.argument}".rstrip()


class Sides(NamedTuple):
    """A way of logging, and the house that it ends in."""

    python: Path
    house: House
    is_ours: bool


def outcome(side: Sides, case: Case, folder: Path) -> dict[str, Any]:
    """What the script came to (exit code and output) and what the house then holds of it, by path."""
    folder.mkdir()
    with side.house.client() as client:
        before = held.known_ids(client)
        environ = _environ(side, folder)
        done = _run(side.python, [str(SCRIPTS / f"{case.script}.py"), case.argument], environ, folder)
        if side.is_ours:
            _sync(side, environ, folder)
        found = held.state(client, before)
    told = {"exit code": done.returncode, "output": done.stdout.splitlines()}
    return dict(held.leaves({**told, **found}))


def differences(published: dict[str, Any], ours: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Path to (the published SDK's, ours) wherever the two are not the same; a trace or run that only one has is one path."""
    one_sided = _objects(published) ^ _objects(ours)
    first, second = _folded(published, one_sided), _folded(ours, one_sided)
    paths = dict.fromkeys([*first, *second])
    pairs = {path: (first.get(path, ABSENT), second.get(path, ABSENT)) for path in paths}
    # True and 1 are equal in Python, and are not the same
    return {path: pair for path, pair in pairs.items() if repr(pair[0]) != repr(pair[1])}


def _object(path: str) -> str:
    """traces/<id> or runs/<id> of what belongs to one."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in ("traces", "runs") else ""


def _objects(state: dict[str, Any]) -> set[str]:
    return {_object(path) for path in state}


def _folded(state: dict[str, Any], objects: set[str]) -> dict[str, Any]:
    whole = {name: THERE for name in map(_object, state) if name in objects}
    return {**{path: value for path, value in state.items() if _object(path) not in objects}, **whole}


def _environ(side: Sides, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    more = {
        "HOME": str(folder),
        "TRACEHOUSE_API_KEY": side.house.key,
        "TRACEHOUSE_API_BASE": side.house.url,
        "TRACEHOUSE_SPOOL_DIR": str(folder / "spool"),
    }
    return {**kept, **more, **({"PYTHONPATH": str(ROOT)} if side.is_ours else {})}


def _run(python: Path, words: list[str], environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), *(word for word in words if word)]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=_TIMEOUT)


def _sync(side: Sides, environ: dict[str, str], folder: Path) -> None:
    spool = folder / "spool"
    if not spool.is_dir():
        return
    words = ["-m", "tracehoused.cli", "sync", str(spool), "--api-base", side.house.url]
    done = _run(Path(sys.executable), words, environ, folder)
    assert done.returncode == 0, f"sync ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
