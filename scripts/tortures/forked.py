"""Parts of a system in processes of their own, each of which dies by SIGKILL at a step that it is told: between any two effects on the
disk or the network, or in the middle of a write."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping
from typing import Any, Callable

from tracehouse.spool import appending, durable
from tracehoused.http.client import Client

_EFFECTS = ("sync_data", "sync_dir", "create", "publish_once", "replace", "move", "private_dir")


class Steps:
    """Counts down to the process's end; None: it lives."""

    def __init__(self) -> None:
        self.left: int | None = None

    def one(self) -> None:
        if self.left is None:
            return
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def around(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            self.one()
            result = effect(*args, **more)
            self.one()
            return result

        return counted

    def within(self, write: Callable[[int, bytes], Any]) -> Callable[[int, bytes], Any]:
        """A write that may be cut off in its middle."""

        def counted(fd: int, data: bytes) -> Any:
            self.one()
            if self.left == 0:
                os.write(fd, bytes(data)[: len(data) // 2])
            self.one()
            return write(fd, data)

        return counted

    def install(self) -> None:
        """In a process that is to end with its part: what it does is counted from now on."""
        # a record of the emitter's is one write(2), which a SIGKILL leaves whole or undone
        for place, names in ((durable, _EFFECTS), (appending, ("write",)), (Client, ("send",))):
            for name in names:
                setattr(place, name, self.around(getattr(place, name)))
        for name in ("write_all",):
            setattr(durable, name, self.within(getattr(durable, name)))


class Part:
    """A forked process that runs ``main(steps)``; ``environ`` is its own."""

    def __init__(self, main: Callable[[Steps], None], environ: Mapping[str, str]) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            os._exit(_run(main, environ))
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


def _run(main: Callable[[Steps], None], environ: Mapping[str, str]) -> int:
    try:
        os.environ.clear()
        os.environ.update(environ)
        steps = Steps()
        steps.install()
        main(steps)
        return 0
    except BaseException:  # noqa: BLE001 - the top of a process
        traceback.print_exc()
        sys.stderr.flush()
        return 70
