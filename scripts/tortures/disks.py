"""File systems of a row's own, which may be full, small, or lose their power. Root's, under Linux."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tortures.trial import Unavailable

_SHUTDOWN = 0x8004587D
FLUSH_LOG = 1
FLUSH_NOTHING = 2
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def need_root() -> None:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise Unavailable("needs root, under Linux")


def need(home: Path, *kinds: tuple[str, str, int]) -> None:
    """Unavailable unless each (kind, options, size) of disk can be made and mounted here: to be asked before a row's first point."""
    need_root()
    for kind, options, size in kinds:
        try:
            with mounted(home / "needed", kind, options=options, size=size):
                pass
        except OSError as error:
            raise Unavailable(f"{kind} {options}".strip() + f" cannot be mounted here: {error}") from error


def _run(*words: str) -> None:
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    program = shutil.which(words[0], path=path)
    if program is None:
        raise FileNotFoundError(f"there is no {words[0]}")
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


class Disk:
    """``kind``: tmpfs, ext4 or xfs; ``options`` of mount; ``size`` in KiB; ``inodes`` where the table is to be small."""

    def __init__(self, home: Path, kind: str, *, options: str = "", size: int = 0, inodes: int = 0) -> None:
        need_root()
        self.path = home / "disk"
        self.path.mkdir(parents=True)
        self._image = home / "disk.img"
        self._kind = kind
        self._options = options
        self._is_mounted = False
        if kind == "tmpfs":
            self._options = f"size={size}k,nr_inodes={inodes or 4096}"
        else:
            self._image.touch()
            os.truncate(self._image, size * 1024)
            few = ["-N", str(inodes)] if inodes else []
            _run(f"mkfs.{kind}", *(["-q", "-F", "-m", "0", *few] if kind == "ext4" else ["-q", "-f"]), str(self._image))

    def mount(self) -> None:
        if self._kind == "tmpfs":
            _run("mount", "-t", "tmpfs", "-o", self._options, "none", str(self.path))
        else:
            _run("mount", "-t", self._kind, "-o", f"loop,{self._options}".rstrip(","), str(self._image), str(self.path))
        self._is_mounted = True

    def resize(self, size: int) -> None:
        """A tmpfs gets larger, or smaller, while it is used; never smaller than what is in it. ``size`` in KiB."""
        _run("mount", "-o", f"remount,size={size}k", str(self.path))

    def unmount(self) -> None:
        if self._is_mounted:
            _run("umount", str(self.path))
            self._is_mounted = False

    def lose_power(self, how: int) -> None:
        """From now on the disk takes nothing more; what the log held is flushed before, or not."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(fd)


@contextmanager
def mounted(home: Path, kind: str, *, options: str = "", size: int = 0, inodes: int = 0) -> Iterator[Disk]:
    disk = Disk(home, kind, options=options, size=size, inodes=inodes)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
        shutil.rmtree(home)
