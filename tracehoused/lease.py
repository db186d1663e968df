"""One agent at a time uploads a session: ``upload/lease``, flocked on this host, and with a heartbeat for other hosts.

The lease records its own inode, so that in a copy of the session it proves nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time

from tracehouse.spool import durable, layout, liveness
from tracehoused.exceptions import LeaseHeld

__all__ = ["Lease"]

NAME = "lease"
EXPIRES_AFTER = 60.0
RENEW_EVERY = 15.0
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Lease:
    """Held from construction to ``close``; LeaseHeld when another agent has the session."""

    def __init__(self, session: str) -> None:
        directory = os.path.join(session, layout.UPLOAD)
        durable.private_dir(directory)
        self._path = os.path.join(directory, NAME)
        self._token = secrets.token_hex(8)
        self._fd = self._acquire()
        self._renewed = time.monotonic()

    def still_ours(self) -> bool:
        """To be asked right before each request: after a long stop another agent may have taken over."""
        try:
            ours = os.stat(self._path).st_ino == os.fstat(self._fd).st_ino and self._read().get("token") == self._token
        except OSError:
            return False
        if ours and time.monotonic() - self._renewed > RENEW_EVERY:
            os.utime(self._fd)
            self._renewed = time.monotonic()
        return ours

    def close(self) -> None:
        if self.still_ours():
            os.unlink(self._path)
        os.close(self._fd)

    def _acquire(self) -> int:
        while True:
            fd = os.open(self._path, _FLAGS, durable.FILE_MODE)
            try:
                self._take(fd)
            except BaseException:
                os.close(fd)
                raise
            try:
                if os.stat(self._path).st_ino == os.fstat(fd).st_ino:
                    return fd
            except FileNotFoundError:
                pass  # its last holder took it away between our open and our lock
            os.close(fd)

    def _take(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LeaseHeld(
                f"{os.path.dirname(self._path)}: another agent is uploading this session",
                path=self._path,
                holder=_described(_fields(fd)),
            ) from None
        except OSError:
            pass  # no locks on this file system: the heartbeat alone decides
        held = _fields(fd)
        if held.get("inode") == os.fstat(fd).st_ino and held.get("boot_id") != liveness.boot_id():
            age = _age(fd, self._path)
            if age < EXPIRES_AFTER:
                raise LeaseHeld(
                    f"{os.path.dirname(self._path)}: an agent on {held.get('host')} is uploading this session",
                    path=self._path,
                    holder=_described(held),
                )
        fields = {
            "token": self._token,
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "boot_id": liveness.boot_id(),
            "inode": os.fstat(fd).st_ino,
        }
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(fields).encode(), 0)

    def _read(self) -> dict[str, object]:
        return _fields(self._fd)


def _fields(fd: int) -> dict[str, object]:
    try:
        fields = json.loads(os.pread(fd, 4096, 0))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _described(fields: dict[str, object]) -> str:
    return f"pid {fields.get('pid')} on {fields.get('host')}"


def _age(fd: int, path: str) -> float:
    """Seconds since the heartbeat, by the file server's clock: a file touched now tells what time it is there."""
    beat = os.fstat(fd).st_mtime
    probe = f"{path}.{secrets.token_hex(4)}"
    durable.create(probe, b"", durable=False)
    try:
        return os.stat(probe).st_mtime - beat
    finally:
        os.unlink(probe)
