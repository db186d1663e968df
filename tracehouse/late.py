"""What is loaded late, so that import and the first record are quick; a fork loads all of it.

A module that another thread is loading while a process forks stays locked in the child: whoever needs it there waits for ever.
``logging`` is not among them, since it has hooks of its own for a fork: see ``tracehouse.telling``.
"""

from __future__ import annotations

MODULES = (
    "hashlib",
    "email.message",
    "email.parser",
    "importlib.metadata",
    "importlib.metadata._adapters",
    "json",
    "platform",
    "shlex",
    "subprocess",
    "traceback",
    "tracehouse.attach",
    "tracehouse.environment",
    "tracehouse.history",
    "tracehouse.media",
    "tracehouse.model_card",
    "tracehouse.monitor",
    "tracehouse.pixels",
    "tracehouse.plain",
    "tracehouse.recorded",
    "tracehouse.redact",
    "tracehouse.spool.budget",
    "tracehouse.spool.keys",
    "tracehouse.tools",
    "wave",
    "zlib",
)


def load() -> None:
    """All that a child may need; what cannot be loaded now is left to it."""
    for name in MODULES:
        try:
            __import__(name)
        except (ImportError, OSError):
            continue
