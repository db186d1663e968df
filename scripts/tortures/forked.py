"""Parts of a system in processes of their own, each of which dies by SIGKILL at a step that it is told: between any two effects on the
disk or the network, or in the middle of a write. What they fsynced is noted, for a power failure to keep."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable

from tracehouse.spool import appending, durable
from tracehoused.http.client import Client

_EFFECTS = ("sync_dir", "create", "publish_once", "replace", "move", "private_dir")
# within these, and where retention deletes: a name comes or goes
_NAMES = ("link", "unlink", "rename", "rmdir")
GROUPS = (
    ("write",),
    ("write_all",),
    ("sync_data", "sync_dir"),
    ("create", "publish_once", "replace", "private_dir", "link"),
    ("move", "rename", "unlink", "rmdir"),
    ("send",),
)
KINDS = tuple(kind for kinds in GROUPS for kind in kinds)

# the kind of effect that counts (empty: any), and how many times one is passed by
Crash = tuple[str, int]


class Fsynced:
    """How much of each file is on the disk itself, as the processes that share ``log`` note it."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def note(self, inode: int, size: int) -> None:
        with open(self._log, "ab", buffering=0) as file:
            os.writev(file.fileno(), [f"{inode} {size}\n".encode()])

    def died(self, kind: str) -> None:
        """Of which kind the effect was at which a process dies now."""
        with open(self._log.with_suffix(".deaths"), "ab", buffering=0) as file:
            os.writev(file.fileno(), [f"{kind}\n".encode()])

    def deaths(self) -> list[str]:
        path = self._log.with_suffix(".deaths")
        return path.read_text().split() if path.exists() else []

    def lose_tails(self, paths: Iterable[Path]) -> None:
        """Cut files, which only grow, to what was fsynced of them."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        safe = {int(inode): int(size) for inode, size in map(str.split, lines)}
        for path in paths:
            found = path.stat()
            if found.st_size > safe.get(found.st_ino, 0):
                os.truncate(path, safe.get(found.st_ino, 0))


class Steps:
    """Counts down to the process's end; None: it lives."""

    def __init__(self, fsynced: Fsynced) -> None:
        self._fsynced = fsynced
        self.left: int | None = None
        self._kind = ""

    def end_at(self, crash: Crash | None) -> None:
        """Before or after an effect from now on."""
        self._kind, self.left = crash or ("", None)

    def one(self, kind: str) -> None:
        if self.left is None or self._kind not in ("", kind):
            return
        if self.left == 0:
            self._fsynced.died(kind)
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def around(self, kind: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            self.one(kind)
            result = effect(*args, **more)
            self.one(kind)
            return result

        return counted

    def noted(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        """An fsync, of which is noted what it covers."""

        def counted(fd: int) -> None:
            found = os.fstat(fd)
            self.one("sync_data")
            sync(fd)
            self._fsynced.note(found.st_ino, found.st_size)
            self.one("sync_data")

        return counted

    def within(self, write: Callable[[int, bytes], Any]) -> Callable[[int, bytes], Any]:
        """A write that may be cut off in its middle."""

        def counted(fd: int, data: bytes) -> Any:
            self.one("write_all")
            if self.left == 0 and self._kind in ("", "write_all"):
                os.write(fd, bytes(data)[: len(data) // 2])
            self.one("write_all")
            return write(fd, data)

        return counted

    def install(self) -> None:
        """In a process that is to end with its part: what it does is counted from now on."""
        # a record of the emitter's is one write(2), which a SIGKILL leaves whole or undone
        for place, names in ((durable, _EFFECTS), (os, _NAMES), (appending, ("write",)), (Client, ("send",))):
            for name in names:
                setattr(place, name, self.around(name, getattr(place, name)))
        for name, changed in (("write_all", self.within), ("sync_data", self.noted)):
            setattr(durable, name, changed(getattr(durable, name)))


class Part:
    """A forked process that runs ``main(steps)``; ``environ`` is its own."""

    def __init__(self, main: Callable[[Steps], None], environ: Mapping[str, str], fsynced: Fsynced) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            os._exit(_run(main, environ, fsynced))
        self.code: int | None = None

    def wait(self) -> int:
        """Its exit code; negative: the signal that ended it."""
        if self.code is None:
            _, status = os.waitpid(self._pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def kill(self) -> None:
        if self.code is None:
            os.kill(self._pid, signal.SIGKILL)
            self.wait()


def _run(main: Callable[[Steps], None], environ: Mapping[str, str], fsynced: Fsynced) -> int:
    try:
        os.environ.clear()
        os.environ.update(environ)
        steps = Steps(fsynced)
        steps.install()
        main(steps)
        return 0
    except BaseException:  # noqa: BLE001 - the top of a process
        traceback.print_exc()
        sys.stderr.flush()
        return 70
