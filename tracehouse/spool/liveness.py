"""Which writers live: one locked file per writing process, whose mtime is its heartbeat."""

from __future__ import annotations

import os
import sys

from tracehouse.spool import durable, layout
from tracehouse.values import encode

if sys.platform != "win32":
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEARTBEAT_SECONDS = 30
MAX_LOCK = 4096


def boot_id() -> str:
    """What tells this boot of this machine from any other; "" where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read().strip().decode()
    except OSError:
        return _sysctl("kern.boottime") if sys.platform == "darwin" else ""


def pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def process_start(pid: int) -> str:
    """When a process started, in the system's own form; "" when there is none or the system does not say.

    One that has ended, and whose parent has not asked after it yet, is none.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        return _ps_start(pid) if sys.platform == "darwin" else ""


def _output(*command: str) -> str:
    import subprocess

    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _sysctl(name: str) -> str:
    return _output("/usr/sbin/sysctl", "-n", name)


def _ps_start(pid: int) -> str:
    return _output("/bin/ps", "-o", "lstart=", "-p", str(pid))


def create_lock(writers_dir: str, epoch: str, at: str) -> int:
    """Make and lock this process's lock file; the returned fd holds the lock until the process ends or closes it."""
    path = os.path.join(writers_dir, layout.lock_name(epoch))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        os.unlink(path)  # left by a try that was interrupted: nobody else has this epoch
        fd = os.open(path, flags, 0o600)
    fd = durable.clear_of_streams(fd)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # a file system without locks: the heartbeat alone must do
        pid = os.getpid()
        fields = {
            "format": 1,
            "epoch": epoch,
            "pid": pid,
            "start": process_start(pid),
            "boot_id": boot_id(),
            "pid_ns": pid_namespace(),
            "host": os.uname().nodename,
            "inode": os.fstat(fd).st_ino,
            "at": at,
        }
        os.write(fd, encode(fields).encode("utf-8", "backslashreplace") + b"\n")
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


def read_lock(writers_dir: str, epoch: str) -> dict[str, Any] | None:
    """The fields of a lock file plus ``held`` (flocked by someone now), ``genuine`` (not a copy) and ``heartbeat``
    (mtime, epoch seconds by the file server's clock); None when there is no readable one."""
    import json

    path = os.path.join(writers_dir, layout.lock_name(epoch))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        fields = json.loads(os.read(fd, MAX_LOCK))
        if not isinstance(fields, dict):
            return None
        fields["genuine"] = fields.get("inode") == found.st_ino
        fields["heartbeat"] = found.st_mtime
        fields["held"] = _is_held(fd)
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(fd)
    return fields


def _is_held(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def is_locked(path: str) -> bool:
    """Whether some process on this machine, or another one of a file system that tells, holds the lock of this file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _is_held(fd)
    finally:
        os.close(fd)


def lives_here(lock: dict[str, Any]) -> bool | None:
    """Whether a writer lives, from what this machine can prove: True, False, or None when it can prove nothing
    (another host or boot, another pid namespace, a copied lock)."""
    if not lock["genuine"]:
        return None
    if lock["held"]:
        return True
    here = (boot_id(), pid_namespace())
    if not here[0] or (lock.get("boot_id"), lock.get("pid_ns")) != here:
        return None
    pid, start = lock.get("pid"), lock.get("start")
    if not isinstance(pid, int) or not start:
        return None
    return bool(process_start(pid) == start)


def probably_lives(writers_dir: str, epoch: str, now: float) -> bool:
    """For a writer that asks whether it is alone: proof where there is one, else a heartbeat of three periods' age at most."""
    lock = read_lock(writers_dir, epoch)
    if lock is None or not lock["genuine"]:
        return False
    proven = lives_here(lock)
    return now - lock["heartbeat"] < 3 * HEARTBEAT_SECONDS if proven is None else proven
