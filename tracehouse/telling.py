"""Words for the user, on the ``tracehouse`` logger, which is loaded when there are some."""

from __future__ import annotations

from tracehouse import late


def say(level: str, text: str, *args: object, exc_info: bool = False) -> bool:
    """``level``: debug, info, warning or error. False where no file can be opened now, not even the logging module's."""
    try:
        logging = late.outside("logging")
    except (ImportError, OSError):
        return False
    getattr(logging.getLogger("tracehouse"), level)(text, *args, exc_info=exc_info, stacklevel=2)
    return True
