"""Files of the user's, kept in the run: short texts and JSON as artifacts, all else as media of type "file"."""

from __future__ import annotations

import json
import os

from tracehouse.exceptions import MediaError
from tracehouse.wandb import told
from tracehouse.wandb.files import File, type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.training import TrainingRun

SMALL = 256 * 1024
_TEXTS = ("application/json", "application/yaml", "application/x-yaml", "application/toml", "application/xml")


def keep(inner: TrainingRun, name: str, path: str, *, step: int) -> dict[str, Any]:
    """Keep one file; says how, as the facts that stand in a list of files. One that cannot be kept is told, once, and noted."""
    fact: dict[str, Any] = {"path": name}
    try:
        fact["size"] = size = os.path.getsize(path)
        read = _short_text(path) if size <= SMALL else None
        if read is not None:
            kind, data = read
            inner.add_artifact(name, data=data, kind=kind)
            return {**fact, "artifact": name}
        inner.log({name: File(path, caption=os.path.basename(path))}, step=step)
    except (MediaError, OSError) as error:
        told.once(f"file {name!r}", f"not kept: {error}")
        return {**fact, "kept": False, "reason": str(error)}
    return {**fact, "media": name}


def files_below(directory: str) -> list[str]:
    """Paths of all files below a directory, relative to it."""
    found = []
    for parent, folders, names in os.walk(directory):
        folders.sort()
        found += [os.path.relpath(os.path.join(parent, name), directory) for name in sorted(names)]
    return found


def _short_text(path: str) -> tuple[str, Any] | None:
    """(kind, data) of a file that is text by its name and content; None for another."""
    kind = type_of(path)
    if not (kind.startswith("text/") or kind in _TEXTS or kind == "application/octet-stream"):
        return None
    with open(path, "rb") as file:
        data = file.read(SMALL + 1)
    if len(data) > SMALL or b"\0" in data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    try:
        return ("json", json.loads(text)) if path.endswith(".json") else ("text", text)
    except (ValueError, RecursionError):
        return "text", text


class Saved:
    """The files that ``save`` names, and those in the run's own directory: looked at again when the run ends."""

    def __init__(self, inner: TrainingRun) -> None:
        self._inner = inner
        self._later: dict[str, str] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def add(self, path: str, name: str, *, now: bool, again: bool, step: int) -> None:
        """``now``: keep it at once; ``again``: at the end, if it has changed by then."""
        path = os.path.abspath(path)
        if now:
            self._keep(path, name, step)
        if again:
            self._later[path] = name

    def finish(self, directory: str | None, step: int) -> None:
        """Keep what is new or has changed, in the run's directory too."""
        for path, name in list(self._later.items()):
            self._keep(path, name, step)
        for name in files_below(directory) if directory is not None else ():
            self._keep(os.path.join(os.path.abspath(str(directory)), name), f"files/{name}", step)

    def _keep(self, path: str, name: str, step: int) -> None:
        try:
            found = os.stat(path)
        except OSError as error:
            told.once(f"file {name!r}", f"not kept: {error}")
            return
        looks = (found.st_size, found.st_mtime_ns)
        if self._seen.get(path) != looks:
            self._seen[path] = looks
            keep(self._inner, name, path, step=step)
