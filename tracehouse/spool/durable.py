"""The one place that makes bytes and names durable, and that publishes files. Nothing else calls fsync, rename or link."""

from __future__ import annotations

import errno
import os
import sys

DIR_MODE = 0o700
FILE_MODE = 0o600

_LAST_STREAM = 2
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
# what a file system answers that cannot fsync a directory at all: nothing more can be done there
_NO_DIR_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EISDIR)
# what macOS answers for file systems that know no F_FULLFSYNC, networks' above all: an fsync is the most that can be had there
_NO_FULL_SYNC = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY)


def sync_data(fd: int) -> None:
    """Wait until the file's data is on the disk itself."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
            os.fsync(fd)
    else:
        os.fdatasync(fd)


def sync_file(path: str) -> bool:
    """``sync_data`` of a file by its path; False for one that is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        sync_data(fd)
    finally:
        os.close(fd)
    return True


def sync_dir(path: str) -> None:
    """Make the names in a directory durable, where that can be done at all."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # that of everybody's homes or scratch directories, which one may pass through and not read
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_DIR_SYNC:
            raise
    finally:
        os.close(fd)


def clear_of_streams(fd: int) -> int:
    """The same open file under a number that is no standard stream's. Where one of these is closed, its number is the next to be given
    out: what a library writes there would be in the file, and what a daemon puts in its place would have what is for the file."""
    if fd > _LAST_STREAM:
        return fd
    try:
        return another(fd)
    finally:
        os.close(fd)


def another(fd: int) -> int:
    """A further number for an open file, no standard stream's either."""
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LAST_STREAM + 1)


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data``, in as many calls as it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def write_once(fd: int, data: bytes) -> None:
    """Write all of ``data`` in one call; OSError where that takes less of it."""
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, "short write")


def touch(path: str) -> None:
    """Change its time to now, as a hint to who watches it; where that cannot be, they find out later."""
    try:
        os.utime(path)
    except OSError:
        pass


def has_name(fd: int) -> bool:
    """Whether an open file can still be found by a name; "no" where the system cannot say."""
    try:
        return os.fstat(fd).st_nlink > 0
    except OSError:
        return False


def is_named(fd: int, path: str) -> bool:
    """Whether an open file is the one of this path; "no" where the system cannot say."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def create(path: str, data: bytes, *, durable: bool = True) -> None:
    """Write a new 0600 file; FileExistsError when there is one. On failure nothing stays behind."""
    fd = clear_of_streams(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE))
    try:
        write_all(fd, data)
        if durable:
            sync_data(fd)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)


def _create_aside(aside: str, data: bytes, *, durable: bool) -> None:
    try:
        create(aside, data, durable=durable)
    except FileExistsError:
        os.unlink(aside)  # left by a try that was interrupted
        create(aside, data, durable=durable)


def publish_once(path: str, data: bytes, unique: str, *, durable: bool = False) -> bool:
    """Make ``path`` appear whole with this content, unless it is there: True when ours is the one that won.

    ``unique`` tells this caller's temporary file from any other's.
    """
    aside = f"{path}.{unique}.tmp"
    _create_aside(aside, data, durable=durable)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # no hard links here: O_EXCL decides, and a reader that meets a half-written file tries again
        try:
            create(path, data, durable=durable)
        except FileExistsError:
            return False
    finally:
        os.unlink(aside)
    return True


def replace(path: str, data: bytes, unique: str, mode: int = FILE_MODE) -> None:
    """Durably replace the content of ``path``, or leave the old one."""
    aside = f"{path}.{unique}.tmp"
    _create_aside(aside, data, durable=True)
    if mode != FILE_MODE:
        os.chmod(aside, mode)
    os.replace(aside, path)
    sync_dir(os.path.dirname(path))


def move(source: str, target: str, *, durable: bool = True) -> None:
    """Rename within one file system and, unless told otherwise, make both names durable."""
    os.rename(source, target)
    if durable:
        parents = {os.path.dirname(source), os.path.dirname(target)}
        for parent in parents:
            sync_dir(parent)


def private_dir(path: str) -> None:
    """A 0700 directory, made where it is missing, and so are its parents: makedirs would leave these open to others."""
    try:
        _make_dir(path)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent in ("", path):
            raise
        private_dir(parent)
        _make_dir(path)


def _make_dir(path: str) -> None:
    try:
        os.mkdir(path, DIR_MODE)
    except FileExistsError:
        return
    try:
        os.chmod(path, DIR_MODE)  # a job's umask may keep itself out of what it makes
    except OSError:
        pass  # a file system without modes


def sync_file_system(path: str) -> None:
    """Start all of a file system's dirty data on its way at once, where the system can (Linux): cheaper than many fsyncs."""
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (ImportError, OSError):
        return  # then they take as long as they take
    try:
        ctypes.CDLL(None, use_errno=True).syncfs(fd)
    finally:
        os.close(fd)
