"""What could keep uploads from working on this machine, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tracehouse.exceptions import TracehouseError
from tracehouse.spool import keys
from tracehouse.spool.places import default_config_dir
from tracehoused.config import Settings
from tracehoused.http.asking import ask_about_key, speaks
from tracehoused.http.retry import Verdict
from tracehoused.identities.credentials import NoCredential, find
from tracehoused.service.ledger import Odometer
from tracehoused.service.pidfile import PidFile
from tracehoused.service.watcher import MOST_WATCHES, Watcher, file_system
from tracehoused.text import argument

__all__ = ["Finding", "examine"]

_LITTLE_SPACE = 1 << 30
_FEW_INODES = 10_000


@dataclass(frozen=True)
class Finding:
    """``grave``: "ok", "note" (worth knowing) or "wrong" (something will not work). ``remedy``: what to do."""

    what: str
    grave: str
    told: str
    remedy: str = ""


def examine(settings: Settings, environ: Mapping[str, str], spools: list[str]) -> Iterator[Finding]:
    """One finding after the other; the network is asked last."""
    yield from _versions()
    for spool in spools or list(settings.spools):
        yield from _directory("spool", spool)
    yield from _directory("state", settings.state_dir)
    yield _keys(environ)
    yield _events()
    yield _agent(settings)
    yield _clock(settings)
    yield from _server(settings, environ)


def _versions() -> Iterator[Finding]:
    try:
        ours = version("tracehouse-sdk")
    except PackageNotFoundError:
        ours = "from its sources"
    parts = ", ".join(f"{name} {version(name)}" for name in ("httpx", "watchdog", "click"))
    yield Finding("version", "ok", f"tracehouse-sdk {ours}, Python {sys.version.split()[0]}, {parts}")


def _directory(what: str, path: str) -> Iterator[Finding]:
    if not os.path.isdir(path):
        yield Finding(what, "note", f"{path} is not there yet", "it is made when it is first needed")
        return
    found = os.stat(path)
    if found.st_uid != os.getuid():
        yield Finding(
            what, "wrong", f"{path} belongs to uid {found.st_uid}", "run this as that user, or choose another"
        )
    elif not os.access(path, os.W_OK | os.X_OK):
        yield Finding(what, "wrong", f"{path} cannot be written to", f"chmod u+rwx {path}")
    elif found.st_mode & 0o077:
        yield Finding(what, "wrong", f"{path} is open to others (mode {found.st_mode & 0o777:o})", f"chmod 700 {path}")
    else:
        yield Finding(what, "ok", f"{path} ({file_system(path) or 'file system unknown'})")
    yield from _space(what, path)


def _space(what: str, path: str) -> Iterator[Finding]:
    free, told = shutil.disk_usage(path).free, os.statvfs(path)
    if free < _LITTLE_SPACE:
        yield Finding(
            what,
            "wrong",
            f"{free / 1e6:.0f} MB are free there",
            "make room: `tracehouse prune` deletes what is uploaded",
        )
    if told.f_files and told.f_favail < _FEW_INODES:
        yield Finding(what, "wrong", f"{told.f_favail} files more fit there", "make room: `tracehouse prune`")


def _keys(environ: Mapping[str, str]) -> Finding:
    path = keys.credentials_path(default_config_dir(environ))
    try:
        stored = keys.load(default_config_dir(environ))
    except keys.KeyFileError as error:
        return Finding("key", "wrong", str(error), f"correct or remove {path}, and log in again")
    if os.path.exists(path) and os.stat(path).st_mode & 0o077:
        return Finding("key", "wrong", f"{path} can be read by others", f"chmod 600 {path}")
    given = " and TRACEHOUSE_API_KEY" if environ.get("TRACEHOUSE_API_KEY") else ""
    if not stored and not given:
        return Finding("key", "wrong", "there is no key", "`tracehouse login`, or set TRACEHOUSE_API_KEY")
    return Finding("key", "ok", f"{len(stored)} kept in {path}{given}")


def _events() -> Finding:
    watcher = Watcher()
    problem = watcher.problem
    watcher.close()
    if problem:
        return Finding("events", "note", problem, "uploads still work, up to half a minute later")
    most = _limit("max_user_watches")
    if most is not None and most < 4 * MOST_WATCHES:
        return Finding(
            "events", "note", f"a user has {most} watches in all", "sysctl fs.inotify.max_user_watches=65536"
        )
    return Finding("events", "ok", f"file events work, {MOST_WATCHES} watches at most are used")


def _limit(name: str) -> int | None:
    try:
        with open(f"/proc/sys/fs/inotify/{name}", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _agent(settings: Settings) -> Finding:
    pidfile = PidFile(settings.state_dir)
    found = pidfile.running()
    if found is None:
        return Finding(
            "agent",
            "note",
            f"it does not run: {pidfile.last()}",
            "`tracehoused start`, or now and then `tracehouse sync`",
        )
    return Finding("agent", "ok", f"it runs, pid {found.pid}, since {found.since}")


def _clock(settings: Settings) -> Finding:
    try:
        Odometer(settings.state_dir).now()
    except OSError as error:
        return Finding("clock", "wrong", f"no steady clock: {error}")
    year = time.gmtime().tm_year
    if year < 2024:
        return Finding(
            "clock", "wrong", f"the clock says it is {year}", "set it: TLS and times in records depend on it"
        )
    return Finding("clock", "ok", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


def _server(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    # what a job's manifest would say, whose api_base it takes from the same variable
    api_base = environ.get("TRACEHOUSE_API_BASE") or settings.api_base
    credential = find(api_base, None, environ=environ, allow_plain_http=settings.allow_plain_http)
    if isinstance(credential, NoCredential):
        yield Finding("server", "wrong", credential.reason, credential.hint)
        return
    try:
        answer = ask_about_key(api_base, credential.token, timeout=settings.timeout, ca_file=settings.ca_file)
    except TracehouseError as error:
        yield Finding("server", "wrong", str(error), "see `tracehoused config`")
        return
    if speaks(answer):
        yield Finding("server", "ok", f"{api_base} answers")
    elif answer.verdict is Verdict.UNAUTHORIZED:
        yield Finding(
            "server",
            "wrong",
            f"{api_base} does not take the key",
            f"`tracehouse login --api-base {argument(api_base)}`",
        )
    elif answer.status is None:
        remedy = "is the network up? Proxies: HTTPS_PROXY, NO_PROXY; certificates: ca_file. Jobs can go on meanwhile"
        yield Finding("server", "wrong", f"{api_base} cannot be reached: {answer.reason}", remedy)
    else:
        yield Finding("server", "note", f"{api_base} answers: {answer.reason}", "is it the right api_base?")
