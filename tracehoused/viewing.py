"""A spool looked at in a house of its own: both in this process, the house's data in a private directory, the spool only read.

``<state directory>/views/<name>/`` (0700), or the directory that is asked for::

    house/      the house's data
    agent/      what was read already, so that the next look goes on from there
    spools      of what; no directory without it is taken over, or anything deleted in it
    house.lock  flocked while it is looked at
    address     where, while it is

Nothing of it is worth keeping: a session that has gone from the spool has it all made anew.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import durable, layout
from tracehoused.config import Settings
from tracehoused.house import server
from tracehoused.house.alone import LOCK_FILE, DataInUse, alone_on
from tracehoused.house.state import Options as HouseOptions
from tracehoused.identities.identity import Credential
from tracehoused.options import Options, Own
from tracehoused.service.agent import Agent
from tracehoused.service.lookout import Lookout
from tracehoused.upload.engine import Engine
from tracehoused.upload.reader import read_manifest, session_dirs

__all__ = ["AlreadyViewed", "NotAView", "View", "forget_gone", "view_dir"]

_ADDRESS = "address"
_SPOOLS = "spools"
_STOP_S = 15.0
# a view says within moments of what it is
_BEGINNING_S = 60.0


class AlreadyViewed(Exception):
    """Another process shows this spool. ``address``: where, if it is known."""

    def __init__(self, message: str, address: str | None) -> None:
        super().__init__(message)
        self.address = address


class NotAView(Exception):
    """The directory that is asked for holds something that is no view's."""


def view_dir(settings: Settings, roots: Sequence[str]) -> Path:
    """Where the view of these spools is kept, in the user's state directory."""
    name = sha256(b"\0".join(map(os.fsencode, roots))).hexdigest()[:16]
    return Path(settings.state_dir) / "views" / name


def forget_gone(settings: Settings) -> None:
    """Delete the views of spools that are gone."""
    for place in Path(settings.state_dir, "views").glob("*"):
        try:
            if _is_gone(place):
                with alone_on(place):
                    shutil.rmtree(place)
        except (OSError, DataInUse):
            continue  # looked at


def _is_gone(place: Path) -> bool:
    """Whether no spool of a view is there any more, or it was killed before it said which."""
    try:
        roots = (place / _SPOOLS).read_text(encoding="utf-8", errors="surrogateescape").split("\0")
    except FileNotFoundError:
        return time.time() - place.stat().st_mtime > _BEGINNING_S
    return not any(map(os.path.exists, roots))


class View:
    """Spools, or one session's directory, shown until ``run`` is ended by SIGINT or SIGTERM."""

    def __init__(self, roots: Sequence[str], settings: Settings, environ: Mapping[str, str], place: Path) -> None:
        self._roots = list(roots)
        self._place = place
        self._environ = environ
        self._settings = replace(settings, state_dir=str(place / "agent"), limit_rate=None, ca_file=None)
        self._only = roots[0] if layout.is_session_dir(os.path.basename(roots[0])) else None
        self._engine: Engine | None = None
        self._agent: Agent | None = None
        self._agents_thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.new_link: Callable[[], str] = str

    def run(self, port: int, version: str, ready: Callable[[str], None]) -> None:
        """Serve on loopback. ``ready`` is called with the house's address, from a thread of its own, when it answers.

        Raises AlreadyViewed, NotAView, what the house's start raises, and OSError.
        """
        durable.private_dir(str(self._place))
        if not (self._place / _SPOOLS).is_file() and set(os.listdir(self._place)) - {LOCK_FILE}:
            raise NotAView(f"{self._place} holds something else: name a new or an empty directory")
        try:
            with alone_on(self._place):
                (self._place / _ADDRESS).unlink(missing_ok=True)  # of one that was killed
                (self._place / _SPOOLS).write_text("\0".join(self._roots), encoding="utf-8", errors="surrogateescape")
                self._begin_anew()
                try:
                    house = server.Settings(
                        "127.0.0.1", port, self._place / "house", HouseOptions(version, follows=", ".join(self._roots))
                    )
                    server.run(house, lambda opened: self._begin(opened, ready), self._end)
                finally:
                    self._end()
                    self._close()
        except DataInUse as error:
            raise AlreadyViewed(str(error), _read(self._place / _ADDRESS)) from None

    def sessions(self) -> list[str]:
        """The session directories that are shown."""
        return [path for root in self._roots for path in session_dirs(root)]

    def page(self, wait_s: float) -> str:
        """The page to begin with: of the one session, once the house has it, else of all."""
        found = self.sessions()
        while len(found) == 1 and wait_s > 0 and not self._ended.wait(0.05):
            if (page := self._page_of(found[0])) is not None:
                return page
            wait_s -= 0.05
        return "/"

    def _page_of(self, session: str) -> str | None:
        try:
            manifest = read_manifest(session)
            credential = self._engine.known_credential(manifest) if self._engine else None
            if self._engine is None or not isinstance(credential, Credential):
                return None
            noted = self._engine.checkpoint(session, manifest, self._engine.destination(credential))
        except (TracehouseError, OSError):
            return None
        known = noted.state.facts.get("server_id")
        return f"/{'r' if manifest.kind == 'run' else 't'}/{known}" if known else None

    def _begin(self, opened: server.Opened, ready: Callable[[str], None]) -> None:
        """In the house's own thread: what takes time is begun in others."""
        self.new_link = opened.new_link
        (self._place / _ADDRESS).write_text(opened.url, encoding="ascii")
        own = Own(opened.url, opened.key_file.read_text(encoding="ascii").strip(), str(self._place / "agent" / "known"))
        self._engine = Engine(self._settings, self._environ, Options(own=own), copy_every=60.0)
        lookout = Lookout(
            [os.path.dirname(self._only)] if self._only else self._roots,
            self._settings.state_dir,
            rescan_every=self._settings.rescan_every,
            dead_after=self._settings.dead_after,
            only=self._only,
            marking=False,
        )
        self._agent = Agent(self._engine, lookout, jobs=self._settings.jobs)
        self._agents_thread = threading.Thread(target=self._agent.run, name="tracehouse-view", daemon=True)
        self._agents_thread.start()
        threading.Thread(target=ready, args=(opened.url,), daemon=True).start()

    def _end(self) -> None:
        """No more requests, before the house that they go to ends."""
        self._ended.set()
        if self._engine is not None and self._agent is not None:
            self._engine.stop()
            self._agent.stop()

    def _close(self) -> None:
        if self._agents_thread is not None:
            self._agents_thread.join(_STOP_S)
        if self._engine is not None:
            self._engine.close()
        (self._place / _ADDRESS).unlink(missing_ok=True)

    def _begin_anew(self) -> None:
        """Where a session is shown that the spool holds no more, nothing is kept."""
        try:
            known = set(os.listdir(self._place / "agent" / "known"))
        except FileNotFoundError:
            return
        if not known <= {uid for session in self.sessions() if (uid := _uid(session))}:
            for name in ("house", "agent"):
                shutil.rmtree(self._place / name, ignore_errors=True)


def _uid(session: str) -> str:
    try:
        return read_manifest(session).uid
    except (TracehouseError, OSError):
        return ""


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None
