"""What the beginning of a session tells its user, and keeps for the agent."""

from __future__ import annotations

import os
import sys

from tracehouse.spool import layout, liveness
from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse.config import Settings
    from tracehouse.session import NoSession, Session


_kept: set[tuple[str, str]] = set()


def tell(session: Session | NoSession) -> None:
    """One INFO line on the logger ``tracehouse``; and a key given in code is kept, in a thread: nothing here waits for a disk."""
    settings = session.settings
    if settings.disabled:
        return
    keep_key(settings)
    # while nobody has imported logging, nobody can have asked for INFO
    logging = sys.modules.get("logging")
    if logging is None:
        return
    if logging.getLogger("tracehouse").isEnabledFor(logging.INFO):
        say("info", "%s", line(session.kind, session.id, session.directory, settings))


def line(kind: str, session_id: str, directory: str, settings: Settings) -> str:
    """Where the records go, where the key is, and what uploads them."""
    parts = [f"recording {kind} {session_id!r} to {directory}"]
    if settings.credential == "anon":
        parts.append("it will be public once uploaded")
    if settings.key is not None:
        from tracehouse.spool.keys import credentials_path

        parts.append(f"the API key is kept in {credentials_path()} for {settings.api_base}")
    if not liveness.is_locked(os.path.join(settings.spool_dir, layout.AGENT_LOCK)):
        from shlex import quote

        parts.append(f"no agent is running for this spool: upload with `tracehouse sync {quote(settings.spool_dir)}`")
    return "; ".join(parts)


def keep_key(settings: Settings) -> None:
    """The key given in code into the user's credential file, unless it is there."""
    key, which = settings.key, (settings.credential or "", settings.api_base)
    if key is None or which in _kept:
        return
    _kept.add(which)
    from threading import Thread

    try:
        Thread(target=_save, args=(key, settings.api_base), name="tracehouse-key").start()
    except RuntimeError:
        # no more threads to be had: late in the process, or at its limit
        _save(key, settings.api_base)


def _save(key: str, api_base: str) -> None:
    from tracehouse.exceptions import TracehouseError
    from tracehouse.spool.keys import save_key

    try:
        save_key(key, api_base)
    except (OSError, TracehouseError) as error:
        say(
            "warning",
            "the API key could not be kept for the agent (%s): give it to the upload itself, as TRACEHOUSE_API_KEY",
            error,
        )
