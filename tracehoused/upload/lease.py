"""One agent at a time uploads a session: ``upload/lease``, flocked on this host, and with a heartbeat for other hosts.

The lease records its own inode, so that in a copy of the session it proves nothing. It ends with its holder; that of a holder that was
stopped (SIGSTOP) expires as one on another host does, when it has had no heartbeat for a minute. On a file system without locks it ends
when its holder's process is gone, or its heartbeat.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time

from tracehouse.exceptions import SpoolError
from tracehouse.spool import durable, layout, liveness
from tracehoused.exceptions import LeaseHeld
from tracehoused.upload.opening import check_dir

__all__ = ["Heartbeat", "Lease"]

NAME = "lease"
EXPIRES_AFTER = 60.0
RENEW_EVERY = 15.0
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Heartbeat:
    """Touches what this process holds, whatever its requests wait for, from one thread, which ends when nothing is held."""

    def __init__(self, every: float = RENEW_EVERY) -> None:
        self._every = every
        self._lock = threading.Lock()
        self._fds: set[int] = set()
        self._runs = False

    def add(self, fd: int) -> None:
        with self._lock:
            if not self._runs:
                threading.Thread(target=self._run, name="tracehouse-lease", daemon=True).start()
                self._runs = True
            self._fds.add(fd)

    def remove(self, fd: int) -> None:
        with self._lock:
            self._fds.discard(fd)

    def _run(self) -> None:
        while True:
            time.sleep(self._every)
            with self._lock:
                self._runs = bool(self._fds)
                if not self._runs:
                    return
                for fd in self._fds:
                    _touch(fd)


_heartbeat = Heartbeat()


class Lease:
    """Held from construction to ``close``; LeaseHeld when another agent has the session, SpoolError where its place leads elsewhere or
    no thread is to be had."""

    def __init__(self, session: str, heartbeat: Heartbeat = _heartbeat) -> None:
        directory = os.path.join(session, layout.UPLOAD)
        durable.private_dir(directory)
        check_dir(directory)
        self._path = os.path.join(directory, NAME)
        self._token = secrets.token_hex(8)
        self._fd = self._acquire()
        self._heartbeat = heartbeat
        try:
            heartbeat.add(self._fd)
        except BaseException as error:  # held without a heartbeat it would be taken by others, and never given up
            self.close()
            if isinstance(error, RuntimeError):
                raise SpoolError(f"no thread is to be had for its lease ({error})", path=session) from error
            raise

    def still_ours(self) -> bool:
        """To be asked right before each request: after a long stop another agent may have taken over."""
        try:
            return os.stat(self._path).st_ino == os.fstat(self._fd).st_ino and self._read().get("token") == self._token
        except OSError:
            return False

    def close(self) -> None:
        self._heartbeat.remove(self._fd)
        try:
            if self.still_ours():
                os.unlink(self._path)
        except OSError:
            pass  # it stays, unlocked, for whoever comes next
        finally:
            os.close(self._fd)

    def _acquire(self) -> int:
        while True:
            fd = os.open(self._path, _FLAGS, durable.FILE_MODE)
            try:
                is_taken = self._take(fd)
            except BaseException:
                os.close(fd)
                raise
            if is_taken and self._is_there(fd):
                return fd
            os.close(fd)

    def _is_there(self, fd: int) -> bool:
        """False when its last holder, or who took over from that one, took it away between our open and our lock."""
        try:
            return os.stat(self._path).st_ino == os.fstat(fd).st_ino
        except FileNotFoundError:
            return False

    def _take(self, fd: int) -> bool:
        """False when it has to be tried again with a new file: an expired lease, still locked, was taken away."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_locked = True
        except BlockingIOError:
            held = _fields(fd)
            if _age(fd, self._path) >= EXPIRES_AFTER and _is_stopped(held):
                if self._is_there(fd):
                    os.unlink(self._path)
                return False
            raise LeaseHeld(
                f"{os.path.dirname(self._path)}: another agent is uploading this session",
                path=self._path,
                holder=_described(held),
            ) from None
        except OSError:
            is_locked = False  # no locks on this file system: what is known of the holder, and its heartbeat, decide
        held = _fields(fd)
        is_over = _is_of_this_boot(held) and (is_locked or _is_gone(held))
        if held.get("inode") == os.fstat(fd).st_ino and not is_over and _age(fd, self._path) < EXPIRES_AFTER:
            raise LeaseHeld(
                f"{os.path.dirname(self._path)}: an agent on {held.get('host')} is uploading this session",
                path=self._path,
                holder=_described(held),
            )
        fields = {
            "token": self._token,
            "pid": os.getpid(),
            "pid_ns": liveness.pid_namespace(),
            "host": os.uname().nodename,
            "boot_id": liveness.boot_id(),
            "inode": os.fstat(fd).st_ino,
        }
        text = json.dumps(fields).encode()
        os.pwrite(fd, text, 0)
        # cut off behind it, not emptied before: ext4 flushes a file that was emptied when it is closed
        os.ftruncate(fd, len(text))
        return True

    def _read(self) -> dict[str, object]:
        return _fields(self._fd)


def _fields(fd: int) -> dict[str, object]:
    try:
        fields = json.loads(os.pread(fd, 4096, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _touch(fd: int) -> None:
    try:
        os.utime(fd)
    except OSError:
        pass  # a full or vanished disk: the lock still tells here, and elsewhere the lease expires


def _is_of_this_boot(held: dict[str, object]) -> bool:
    return held.get("boot_id") == liveness.boot_id()


def _is_gone(held: dict[str, object]) -> bool:
    """Of a holder of this boot: whether its process has ended."""
    pid = held.get("pid")
    if held.get("pid_ns") != liveness.pid_namespace() or not isinstance(pid, int):
        return False
    return not liveness.process_start(pid)


def _is_stopped(held: dict[str, object]) -> bool:
    """Whether the holder cannot go on by itself, where that can be seen; on another machine, or in another pid namespace, its
    silence must do."""
    # the first pid namespaces of two machines often have one number
    if not _is_of_this_boot(held) or held.get("pid_ns") != liveness.pid_namespace():
        return True
    try:
        with open(f"/proc/{held.get('pid')}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t", b"Z", b"X")
    except (OSError, IndexError, ValueError):
        return False


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
