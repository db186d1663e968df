"""Finding a run that another process has begun: a worker's parent's, or one on a shared file system."""

from __future__ import annotations

import os

from tracehouse import config
from tracehouse.exceptions import ArgumentError, NotActiveError
from tracehouse.session import open_run
from tracehouse.spool import layout, manifest
from tracehouse.training import RUN_VARIABLE, TrainingRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tracehouse.redact import Redaction
    from tracehouse.session import NoSession, Session
    from tracehouse.spool.manifest import Manifest


def attach_run(
    client_run_id: str | None = None,
    *,
    spool_dir: str | os.PathLike[str] | None = None,
    mode: str | None = None,
    redact: Redaction = None,
) -> TrainingRun:
    """A run that another process began, to log to it and roll out in it; it is never finished from here.

    It is looked for in ``spool_dir`` by its ``client_run_id``, or else where TRACEHOUSE_RUN says, which ``init_run`` sets for the
    processes it starts. Works on any node that sees the spool. Raises NotActiveError where neither leads to a run, ArgumentError where
    several runs bear the id (for different keys or servers).

    >>> run = cm.init_run(client_run_id="night-7")
    >>> here = cm.attach_run("night-7")  # as in a worker process, or on another node
    >>> here.log({"worker/reward": 1.0})
    """
    settings = config.resolve(os.environ, spool_dir=spool_dir, mode=mode, redact=redact)
    told = os.environ.get(RUN_VARIABLE, "")
    if settings.disabled or (client_run_id is None and told == "disabled"):
        settings.disabled = True
        return _attached(open_run(client_run_id or "disabled", settings, None, None))
    known, directory = _found(client_run_id, settings.spool_dir, told)
    found = config.of_manifest(known, os.path.dirname(directory), redact)
    return _attached(open_run(known.id, found, known.project, known.name))


def _attached(session: Session | NoSession) -> TrainingRun:
    run = TrainingRun.__new__(TrainingRun)
    run.begin_attached(session)
    return run


def _found(client_run_id: str | None, spool_dir: str, told: str) -> tuple[Manifest, str]:
    """The run's manifest and its directory."""
    if client_run_id is None and not told:
        raise NotActiveError(
            f"no run to attach to: give its client_run_id, or start this process from one that called init_run ({RUN_VARIABLE})"
        )
    known = _manifest(told) if told else None
    if client_run_id is None:
        if known is None or known.kind != "run":
            raise NotActiveError(
                f"no run to attach to: {RUN_VARIABLE} names {told}, which {_why_not(told, known)}: give the run's client_run_id "
                "(and spool_dir), or unset the variable"
            )
        return known, told
    if known is not None and (known.kind, known.id) == ("run", client_run_id):
        return known, told
    found = _named(client_run_id, spool_dir)
    if not found:
        raise NotActiveError(f"no run {client_run_id!r} in {spool_dir}")
    if len(found) > 1:
        paths = ", ".join(path for _, path in found)
        raise ArgumentError(f"several runs are {client_run_id!r}, for different keys or servers: {paths}")
    return found[0]


def _why_not(path: str, known: Manifest | None) -> str:
    if known is not None:
        return f"is a {known.kind}, not a run"
    try:
        manifest.read(path)
    except FileNotFoundError:
        return "holds no run" if os.path.lexists(path) else "is not there"
    except (OSError, ValueError) as error:
        return f"is no run that can be read ({error})"
    return "was being made"


def _named(client_run_id: str, spool_dir: str) -> list[tuple[Manifest, str]]:
    try:
        names = sorted(os.listdir(spool_dir))
    except OSError:
        return []
    start = layout.session_dir("run", client_run_id, "", None)[:-16]
    paths = [os.path.join(spool_dir, name) for name in names if name.startswith(start) and layout.is_session_dir(name)]
    manifests = [(_manifest(path), path) for path in paths]
    return [(known, path) for known, path in manifests if known is not None and known.id == client_run_id]


def _manifest(directory: str) -> Manifest | None:
    try:
        return manifest.read(directory)
    except (OSError, ValueError):
        return None
