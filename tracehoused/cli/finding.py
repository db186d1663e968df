"""The session that is meant by a word on the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from tracehouse.exceptions import SpoolError
from tracehouse.spool import layout
from tracehoused.text import printable
from tracehoused.upload.reader import read_manifest, session_dirs

__all__ = ["find_session"]

_MOST_TOLD = 10


def find_session(session: str, roots: Sequence[str]) -> str:
    """A session's directory: itself, or by its id, its name, or the beginning of its id, in these spools. UsageError where there is
    none, or more than one."""
    if os.path.isdir(session) and layout.is_session_dir(os.path.basename(os.path.normpath(session))):
        return os.path.abspath(session)
    names = {path: _names_of(path) for root in roots for path in session_dirs(root)}
    found = (
        [path for path in names if names[path][0] == session]
        or [path for path in names if session in (names[path][1], os.path.basename(path))]
        or [path for path in names if names[path][0].startswith(session)]
    )
    if not found:
        raise click.UsageError(f"no session {session!r} in {', '.join(roots) or 'any spool'}")
    if len(found) > 1:
        # two may have one id: of another server, or in another spool
        are_alike = len({names[path][0] for path in found}) < len(found)
        told = ", ".join(printable(path if are_alike else names[path][0]) for path in found[:_MOST_TOLD])
        raise click.UsageError(f"{session!r} could be any of: {told}")
    return found[0]


def _names_of(path: str) -> tuple[str, str | None]:
    """A session's id, and its name if it has one; one that cannot be read goes by its directory's name."""
    try:
        manifest = read_manifest(path)
    except (SpoolError, OSError):
        return os.path.basename(path), None
    return manifest.id, manifest.name
