"""All errors of tracehouse, one tree; each class can also be caught by the built-in name after it.

::

    ClaudeMonitorError = TracehouseError
    ├── ApiError                         a server refused a request: ``status``, ``message``
    ├── ArgumentError (ValueError)       an argument that cannot be right: an unknown kind, a key without ``ba_``
    ├── NotActiveError (RuntimeError)    there is no run to log to
    ├── MediaError (TypeError)           data that is no image, video, sound or page
    │   ├── MediaUnreadable (OSError)    a file that is missing or cannot be read: ``errno``, ``filename``
    │   └── MediaTooLarge (ValueError)   over the limit: ``size``, ``limit`` in bytes
    └── SpoolError                       the spool cannot be used: ``path``, ``hint``
        └── SpoolFormatError             written by a newer tracehouse: ``found``, ``known``

Only wrong arguments raise while a job runs; what goes wrong with the disk is told on the ``tracehouse`` logger.
"""

from __future__ import annotations


class ClaudeMonitorError(Exception):
    """Base of all errors of tracehouse. The name is the service's, from an earlier time; ``TracehouseError`` is the same.

    >>> try:
    ...     cm.log_user("hello")
    ... except cm.ClaudeMonitorError as error:
    ...     print(error)
    no active run — call tracehouse.init() first
    """


TracehouseError = ClaudeMonitorError


class ApiError(ClaudeMonitorError):
    """A server answered with a status that is no success.

    ``status`` is the HTTP status, ``message`` the text of the answer's body. Logging uses no network and raises none of these; the
    name is kept for scripts that catch it.

    >>> print(cm.ApiError(503, "down for maintenance"))
    503: down for maintenance
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message

    def __reduce__(self) -> tuple[type[ApiError], tuple[int, str]]:
        return type(self), (self.status, self.message)


class ArgumentError(ClaudeMonitorError, ValueError):
    """An argument is wrong; the message names the value and what would be right.

    >>> cm.Run(api_key="sk-1234")
    Traceback (most recent call last):
    tracehouse.exceptions.ArgumentError: api_key should start with 'ba_' ...
    """


class NotActiveError(ClaudeMonitorError, RuntimeError):
    """Something was to be logged, and no run was begun.

    >>> cm.run_log({"loss": 0.5})
    Traceback (most recent call last):
    tracehouse.exceptions.NotActiveError: no active training run — call tracehouse.init_run() first
    """


class MediaError(ClaudeMonitorError, TypeError):
    """The data given as media is nothing that can be stored as such.

    >>> cm.Image(42)
    Traceback (most recent call last):
    tracehouse.exceptions.MediaError: cm.Image: unsupported data <class 'int'> ...
    """


class MediaUnreadable(MediaError, OSError):
    """A media file is missing or cannot be read; ``errno``, ``strerror`` and ``filename`` as in OSError.

    >>> run = cm.init_run(project="rl")
    >>> run.log_image("sample", "missing.png")
    Traceback (most recent call last):
    tracehouse.exceptions.MediaUnreadable: cannot read media file 'missing.png': No such file or directory
    """

    filename: str

    def __init__(self, errno: int, strerror: str, filename: str) -> None:
        super().__init__(errno, strerror, filename)
        self.errno = errno
        self.strerror = strerror
        self.filename = filename

    def __str__(self) -> str:
        return f"cannot read media file {self.filename!r}: {self.strerror}"


class MediaTooLarge(MediaError, ValueError):
    """Media of ``size`` bytes, where ``limit`` bytes are the most.

    >>> cm.Video(bytes(26 * 2**20))
    Traceback (most recent call last):
    tracehouse.exceptions.MediaTooLarge: the data is 27,262,976 bytes; media may have at most 26,214,400 bytes (25 MiB)
    """

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"{what} is {size:,} bytes; media may have at most {limit:,} bytes ({limit >> 20} MiB)")
        self.what = what
        self.size = size
        self.limit = limit

    def __reduce__(self) -> tuple[type[MediaTooLarge], tuple[str, int, int]]:
        return type(self), (self.what, self.size, self.limit)


class SpoolError(ClaudeMonitorError):
    """The spool, or a session in it, cannot be used.

    ``path`` is the file or directory meant, or None; ``hint`` what to do about it, or "".

    >>> cm.read("/nowhere")
    Traceback (most recent call last):
    tracehouse.exceptions.SpoolError: cannot read the spool: No such file or directory: /nowhere
    """

    def __init__(self, message: str, *, path: str | None = None, hint: str = "") -> None:
        told = message if path is None else f"{message}: {path}"
        super().__init__(f"{told} ({hint})" if hint else told)
        self.message = message
        self.path = path
        self.hint = hint


class SpoolFormatError(SpoolError):
    """A session of format ``found``, where formats up to ``known`` can be read.

    >>> cm.SpoolFormatError(found=2, known=1).hint
    'upgrade tracehouse-sdk'
    """

    def __init__(self, found: int, known: int, path: str | None = None) -> None:
        super().__init__(
            f"spool format {found} is newer than {known}, the newest this version knows",
            path=path,
            hint="upgrade tracehouse-sdk",
        )
        self.found = found
        self.known = known

    def __reduce__(self) -> tuple[type[SpoolFormatError], tuple[int, int, str | None]]:
        return type(self), (self.found, self.known, self.path)


__all__ = [
    "ApiError",
    "ArgumentError",
    "ClaudeMonitorError",
    "MediaError",
    "MediaTooLarge",
    "MediaUnreadable",
    "NotActiveError",
    "SpoolError",
    "SpoolFormatError",
    "TracehouseError",
]
