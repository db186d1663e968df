"""Which agent runs: one for each state directory. Its file is locked while it lives, and names it by pid, start time and boot.

The lock is the proof. Without one (some file systems have none) the pid counts only with the same start time on the same boot, so
that a reused pid or a restarted machine is never taken for an agent.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tracehouse.spool import durable, liveness

__all__ = ["AgentProcess", "PidFile"]

_NAME = "agent.pid"
_MOST = 64 * 1024
_LOOKS = 20
_PAUSE = 0.05
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True)
class AgentProcess:
    """An agent. ``words``: the options it was started with; ``manager``: "systemd" where that started it, else ""."""

    pid: int
    start: str
    boot_id: str
    host: str
    since: str
    spools: list[str] = field(default_factory=list)
    log_file: str | None = None
    words: list[str] = field(default_factory=list)
    manager: str = ""

    @property
    def is_here(self) -> bool:
        """On this boot of this machine: its pid means something."""
        return self.boot_id == liveness.boot_id()

    @property
    def is_alive(self) -> bool:
        """For an agent that ``is_here``: whether its process is there still."""
        return bool(self.start) and liveness.process_start(self.pid) == self.start

    def signal(self, number: int) -> bool:
        """Send a signal to it and to nobody else; False when it has ended."""
        if not self.is_alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


class PidFile:
    """The file in a state directory. ``take`` makes this process its agent until ``release``."""

    def __init__(self, state_dir: str) -> None:
        self.path = os.path.join(state_dir, _NAME)
        self._fd = -1

    def running(self) -> AgentProcess | None:
        """The agent that runs, if one does; pid 0 where it does not say who it is."""
        found = self._read()
        for _ in range(_LOOKS):
            if not liveness.is_locked(self.path):
                break
            if found is not None and (found.is_alive or not found.is_here):
                return found
            time.sleep(_PAUSE)  # it has just begun, or is about to end
            found = self._read()
        else:
            return found or AgentProcess(0, "", "", "", "")
        if found is not None and found.is_here and not self._has_locks():
            return found if liveness.process_start(found.pid) == found.start else None
        return None

    def last(self) -> str:
        """Why none runs, in words."""
        found = self._read()
        if found is None:
            return "it was stopped, or never started here"
        if not found.is_here:
            return (
                f"the last one (pid {found.pid} on {found.host}) ended with a restart of the machine, or runs nowhere"
            )
        if liveness.process_start(found.pid) not in ("", found.start):
            return f"the last one ended without a word; its pid {found.pid} is another process by now"
        return f"the last one (pid {found.pid}) ended without a word"

    def take(self, fields: Mapping[str, Any]) -> AgentProcess | None:
        """Become the agent: None, or the one that is it already. OSError where the file cannot be written."""
        durable.private_dir(os.path.dirname(self.path))
        fd = os.open(self.path, _FLAGS, durable.FILE_MODE)
        other = self._lock(fd)
        if other is not None:
            os.close(fd)
            return other
        self._fd = fd
        self.write(fields)
        return None

    def _lock(self, fd: int) -> AgentProcess | None:
        """None when it is ours, or where there are no locks; else whose it is."""
        for _ in range(_LOOKS):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                other = self.running()
                if other is not None or not isinstance(error, BlockingIOError):
                    return other
                time.sleep(_PAUSE)  # who looks whether it is locked has it for a moment
            else:
                return None
        return AgentProcess(0, "", "", "", "")

    def write(self, fields: Mapping[str, Any]) -> None:
        """Say more about this agent. OSError leaves what was said, or no whole word of it."""
        pid = os.getpid()
        ours = AgentProcess(pid, liveness.process_start(pid), liveness.boot_id(), os.uname().nodename, **fields)
        data = json.dumps(asdict(ours)).encode()
        try:
            # in one go, with blanks over what was longer: it is read at any time
            if os.pwrite(self._fd, data.ljust(os.fstat(self._fd).st_size), 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error

    def release(self) -> None:
        """The file stays, empty: taking it away would race with the next agent."""
        try:
            os.ftruncate(self._fd, 0)
        except OSError:
            pass  # with no lock it names nobody that runs
        finally:
            os.close(self._fd)
            self._fd = -1

    def _has_locks(self) -> bool:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def _read(self) -> AgentProcess | None:
        try:
            with open(self.path, "rb") as file:
                return AgentProcess(**json.loads(file.read(_MOST)))
        except (OSError, ValueError, TypeError):
            return None
