"""tracehouse records LLM traces and training runs into a local spool, which survives crashes and months offline;
``tracehouse sync`` or the agent ``tracehoused`` uploads it.

>>> import tracehouse as cm
>>> run = cm.init(project="my-bot", session_id="run-001")
>>> said = cm.log_user("hello")
>>> said = cm.log_assistant("hi there")
>>> cm.finish(outcome="good")
True

Importing it touches nothing: no file, no network, no thread, and nothing outside the standard library. ``__version__`` is its version.
Examples in docstrings take this package as ``cm``, and ``tracehouse.wandb`` as ``wandb``.
"""

from __future__ import annotations

from tracehouse import late
from tracehouse.defaults import (
    current,
    current_run,
    finish,
    flush,
    init,
    init_run,
    log,
    log_assistant,
    log_attachment,
    log_messages,
    log_thinking,
    log_tool_result,
    log_tool_use,
    log_user,
    run_finish,
    run_log,
    span,
)
from tracehouse.exceptions import (
    ApiError,
    ArgumentError,
    ClaudeMonitorError,
    MediaError,
    MediaTooLarge,
    MediaUnreadable,
    NotActiveError,
    SpoolError,
    SpoolFormatError,
    TracehouseError,
)
from tracehouse.run import Run
from tracehouse.spans import Span
from tracehouse.training import TrainingRun
from tracehouse.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse import wandb
    from tracehouse.attach import attach_run
    from tracehouse.media import Audio, Html, Image, Video
    from tracehouse.reading import read
    from tracehouse.tracing import traced

__version__ = VERSION

__all__ = [
    "ApiError",
    "ArgumentError",
    "Audio",
    "ClaudeMonitorError",
    "Html",
    "Image",
    "MediaError",
    "MediaTooLarge",
    "MediaUnreadable",
    "NotActiveError",
    "Run",
    "Span",
    "SpoolError",
    "SpoolFormatError",
    "TracehouseError",
    "TrainingRun",
    "Video",
    "__version__",
    "attach_run",
    "current",
    "current_run",
    "finish",
    "flush",
    "init",
    "init_run",
    "log",
    "log_assistant",
    "log_attachment",
    "log_messages",
    "log_thinking",
    "log_tool_result",
    "log_tool_use",
    "log_user",
    "read",
    "run_finish",
    "run_log",
    "span",
    "traced",
    "wandb",
]

# what costs time to import, and many jobs never use
_LATE = {
    "Audio": "media",
    "Html": "media",
    "Image": "media",
    "Video": "media",
    "attach_run": "attach",
    "read": "reading",
    "traced": "tracing",
    "wandb": "wandb",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    late.use()
    module = late.outside(f"{__name__}.{_LATE[name]}")
    found = module if name == _LATE[name] else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
