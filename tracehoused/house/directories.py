"""Directories of the house's own, whose names outlast a power failure."""

from __future__ import annotations

from pathlib import Path

from tracehouse.spool import durable

__all__ = ["make_lasting"]


def make_lasting(path: Path) -> None:
    """A 0700 directory, made where it is missing, and so are its parents. The name of one that is there is made durable, too: who made
    it may have been killed before that."""
    path = path.absolute()
    made = [one for one in path.parents if not one.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=durable.DIR_MODE)
    for one in (path, *made):
        durable.sync_dir(str(one.parent))
