"""The agent as a service: one for each state directory, told by signals, told of by its pid file, its log and its snapshot.

SIGTERM, SIGINT: finish the requests under way and end (the second time: at once). SIGHUP: read the configuration again.
SIGUSR1: upload all there is, then end. SIGUSR2: publish a fresh snapshot.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable

from tracehouse.exceptions import SpoolError, TracehouseError
from tracehouse.spool import durable
from tracehouse.spool.places import default_config_dir
from tracehoused.config import Settings, config_path, resolve
from tracehoused.service import logfile, snapshot
from tracehoused.service.agent import Agent
from tracehoused.service.exposition import Exposition
from tracehoused.service.keeping import Keeping
from tracehoused.service.lookout import Lookout
from tracehoused.service.notify import Notifier
from tracehoused.service.pidfile import AgentProcess, PidFile
from tracehoused.upload.engine import Engine

__all__ = ["Service"]

log = logging.getLogger("tracehoused")

_AGES = ("at", "oldest_unacknowledged")
_NO_SPOOL = {"sessions": 0, "settled": 0, "bytes": 0, "files": 0, "polled": False}
# what a live session's own journal says is enough meanwhile: a copy costs two fsyncs, as much as its journal for the same records
_COPY_SECONDS = 30.0


class Service:
    """``flags``: settings given as options. ``words``: those options as they were given, for a restart. ``terminal``: log there,
    not to the file. ``ready``: called once when the spools are watched and looked through."""

    def __init__(
        self,
        flags: Mapping[str, object],
        environ: Mapping[str, str],
        *,
        words: Sequence[str],
        terminal: bool,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._flags = flags
        self._environ = environ
        self._words = list(words)
        self._terminal = terminal
        self._ready = ready
        self._notifier = Notifier(environ)
        self._counts = snapshot.Counts()
        self._since = _utc_now()
        self._settings = resolve(flags, environ=environ)
        self._pidfile = PidFile(self._settings.state_dir)
        self._again = False
        self._ended = False
        self._served = False
        self._drains = False
        self._published: dict[str, Any] = {}
        self._agent: Agent | None = None
        self._engine: Engine | None = None

    def run(self) -> AgentProcess | None:
        """Be the agent until told to stop: None; or the agent that there is already. TracehouseError, OSError if it cannot be."""
        self._listen()  # first: whoever knows its pid may send it a signal
        other = self._pidfile.take(self._told())
        if other is not None:
            return other
        try:
            with _reason_logged():
                self._log_as(self._settings)
                self._serve()
                while self._again and not self._ended:
                    self._again = False
                    self._reload()
                    self._serve()
        finally:
            self._notifier.tell("STOPPING=1")
            self._pidfile.release()
        return None

    def run_once(self) -> tuple[AgentProcess | None, bool]:
        """One try for all there is: (the agent that runs already, whether nothing is left)."""
        self._listen()
        other = self._pidfile.take(self._told())
        if other is not None:
            return other, False
        try:
            with _reason_logged():
                self._log_as(self._settings)
                self._serve(once=True)
        finally:
            self._pidfile.release()
        assert self._agent is not None
        return None, not self._agent.failed and not self._lookout.spools.unusable

    def _told(self) -> dict[str, Any]:
        return {
            "since": self._since,
            "spools": list(self._settings.spools),
            "log_file": None if self._terminal else self._settings.log_file,
            "words": self._words,
            "manager": "systemd" if self._notifier.is_managed else "",
        }

    def _log_as(self, settings: Settings) -> None:
        path = None if self._terminal else settings.log_file
        terminal = sys.stderr if self._terminal else None
        logfile.begin(settings.log_level, path, most=settings.log_max_bytes, keep=settings.log_keep, terminal=terminal)

    def _serve(self, *, once: bool = False) -> None:
        settings = self._settings
        self._engine = Engine(settings, self._environ, copy_every=_COPY_SECONDS)
        self._engine.on_sent(self._counts.sent)
        self._engine.on_answer(self._counts.answered)
        lookout = Lookout(
            settings.spools,
            settings.state_dir,
            rescan_every=min(settings.rescan_every, (self._notifier.watchdog or 3600.0) / 3),
            dead_after=settings.dead_after,
            credentials=_keys(self._environ),
        )
        self._lookout = lookout
        self._keeping = Keeping(self._engine, lookout, settings)
        self._exposition = Exposition(settings, self._take)
        self._agent = Agent(self._engine, lookout, jobs=settings.jobs, beat=self._beat)
        lookout.open()
        self._refuse_to_start()
        self._heed()
        log.info("tracehoused %s started, pid %d", _version(), os.getpid())
        try:
            self._expose()
            self._served = True
            if once:
                self._agent.run_once()
                self._keeping.finish(lambda: not self._ended)
            else:
                self._agent.run()
        finally:
            self._keeping.close()
            self._exposition.stop()
            self._publish()
            self._engine.close()
            log.info("tracehoused stopped")

    def _refuse_to_start(self) -> None:
        """Where none of the spools can be used: who starts an agent is there to hear it. Later it is waited for one that can."""
        spools = self._lookout.spools
        if spools.unusable and not spools and not self._served:
            raise SpoolError("; ".join(spools.unusable.values()))

    def _expose(self) -> None:
        try:
            self._exposition.start()
        except OSError as error:
            if not self._served:
                raise
            log.error("its metrics cannot be asked for: %s", error)

    def _beat(self) -> None:
        """After each look through the spools."""
        self._ready()
        self._ready = lambda: None
        self._notifier.tell("READY=1", "WATCHDOG=1", f"STATUS={self._in_a_word()}")
        self._keeping.step()
        self._publish(anew=False)

    def _in_a_word(self) -> str:
        return f"{len(self._lookout.sessions)} sessions under way, {len(self._lookout.spools)} spools"

    def _take(self) -> dict[str, Any]:
        told = self._told()
        taken = snapshot.take(self._lookout, self._counts, time.monotonic())
        spools = self._lookout.spools
        never = [
            {**_NO_SPOOL, "path": path, "problem": why}
            for path, why in list(spools.unusable.items())
            if path not in spools
        ]
        taken["spools"] += never
        return {
            **taken,
            "version": _version(),
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "since": told["since"],
            "at": _utc_now(),
            "log_file": told["log_file"],
        }

    def _publish(self, *, anew: bool = True) -> None:
        """``anew``: even if nothing has changed since."""
        try:
            taken = self._take()
            changing = {name: value for name, value in taken.items() if name not in _AGES}
            if anew or changing != self._published:
                self._published = changing
                snapshot.write(self._settings.state_dir, taken)
                self._exposition.publish(taken)
                self._lookout.save()
        except OSError as error:
            log.warning("cannot write the status: %s", error)

    def _reload(self) -> None:
        try:
            settings = resolve(self._flags, environ=self._environ)
            durable.private_dir(settings.state_dir)
            self._log_as(settings)
        except (OSError, TracehouseError) as error:
            log.error("the configuration is as before, for what is there now is wrong: %s", error)
        else:
            self._settings = settings
            log.info("the configuration was read again")
        try:
            self._pidfile.write(self._told())
        except OSError as error:
            log.warning("the pid file tells what was before: %s", error)

    def _listen(self) -> None:
        def stop(*_: object) -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            self._ended = True
            self._end()

        def reload(*_: object) -> None:
            self._again = True
            self._end()

        def drain(*_: object) -> None:
            self._drains = True
            if self._agent is not None:
                self._agent.drain_then_stop()

        def publish(*_: object) -> None:
            if self._agent is not None:
                self._publish()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)
        signal.signal(signal.SIGUSR1, drain)
        signal.signal(signal.SIGUSR2, publish)

    def _heed(self) -> None:
        """What a signal asked for before there was an agent, or while there was an earlier one."""
        assert self._agent is not None
        if self._drains:
            self._agent.drain_then_stop()
        if self._ended or self._again:
            self._end()

    def _end(self) -> None:
        if self._engine is not None:
            self._engine.stop()
        if self._agent is not None:
            self._agent.stop()


@contextmanager
def _reason_logged() -> Iterator[None]:
    """An error that ends the agent is in its log as well: who would be told of it may have gone."""
    try:
        yield
    except (OSError, TracehouseError) as error:  # any other is logged as a defect
        log.critical("the agent ends: %s", error)
        raise


def _keys(environ: Mapping[str, str]) -> list[str]:
    """Files whose change may bring a key."""
    return [os.path.join(default_config_dir(environ), "credentials.json"), config_path(environ)]


def _version() -> str:
    try:
        return version("tracehouse-sdk")
    except PackageNotFoundError:
        return "unknown"  # run from its sources


def _utc_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
