"""What is loaded late, so that import and the first record are quick.

A module that another thread is loading while a process forks stays locked in the child: whoever needs it there waits for ever. So all
that is ours or Python's is loaded before a fork, once anything here was used. The rest is loaded ``outside``, under a lock that a fork
takes: other people's modules, which may never be needed, and ``logging``, which has hooks of its own for a fork.
"""

from __future__ import annotations

import os
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODULES = (
    "_sha2" if sys.version_info >= (3, 12) else "_sha256",
    "collections.abc",
    "email.message",
    "email.parser",
    "hashlib",
    "importlib.metadata",
    "importlib.metadata._adapters",
    "json",
    "platform",
    "re",
    "shlex",
    "subprocess",
    "traceback",
    "tracehouse.attach",
    "tracehouse.environment",
    "tracehouse.history",
    "tracehouse.media",
    "tracehouse.messages",
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
    *(("ctypes",) if sys.platform.startswith("linux") else ()),
)
# beside what importing it loads
WANDB = ("array", "html", "mimetypes", "tracehouse.wandb")

_is_used = False
_loading = threading.RLock()
_known: set[str] = set()


def use() -> None:
    """What is loaded late may be needed from now on."""
    global _is_used
    _is_used = True


def load() -> None:
    """All that a child may need; what cannot be loaded now is left to it."""
    if not _is_used:
        return
    for name in (*MODULES, *(WANDB if "tracehouse.wandb" in sys.modules else ())):
        try:
            __import__(name)
        except (ImportError, OSError):
            continue


def outside(name: str) -> Any:
    """A module that is loaded when it is needed, and not for a child that may need it. ImportError."""
    if name not in _known:
        with _loading:
            __import__(name)
            _known.add(name)
    __import__(name)
    return sys.modules[name]


def _acquire() -> None:
    _loading.acquire()


def _release() -> None:
    _loading.release()


def _renew() -> None:
    global _loading
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_renew)
    os.register_at_fork(before=load)  # the later one comes first: nothing is loaded while the lock is held for a fork
