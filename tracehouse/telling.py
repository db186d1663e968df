"""Words for the user, on the ``tracehouse`` logger, which is loaded when there are some. What a handler of the job's raises there is
not the job's to get: it called for no word."""

from __future__ import annotations

from tracehouse import late


def say(level: str, text: str, *args: object, exc_info: bool = False) -> bool:
    """``level``: debug, info, warning or error. False where no file can be opened now, not even the logging module's."""
    try:
        logging = late.outside("logging")
    except (ImportError, OSError):
        return False
    try:
        getattr(logging.getLogger("tracehouse"), level)(text, *args, exc_info=exc_info, stacklevel=2)
    except Exception:  # noqa: BLE001 - a user's handler or filter can raise anything
        pass
    return True
