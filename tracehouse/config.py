"""What a job was told about where its records go: arguments first, then TRACEHOUSE_* variables, then defaults."""

from __future__ import annotations

import os
import sys

from tracehouse import late
from tracehouse.exceptions import ArgumentError, SpoolError
from tracehouse.spool import layout, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracehouse.redact import Redaction, Redactor
    from tracehouse.spool.manifest import Manifest

DEFAULT_API_BASE = "https://tracehouse.ai"
# the published SDK's "online" and "offline" come to the same here: a job only ever writes to its spool
MODES = ("online", "offline", "disabled")
_NO = ("", "0", "false", "no", "off")
_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")


class Settings:
    """``spool_dir`` is absolute; ``credential`` a key's fingerprint, "anon" or None; ``key`` the key itself if it was given in
    code and is to be kept, for the credential file alone."""

    __slots__ = (
        "agent_version",
        "api_base",
        "credential",
        "disabled",
        "hostname",
        "key",
        "machine_id",
        "redactor",
        "spool_dir",
    )

    def __init__(
        self,
        *,
        spool_dir: str,
        api_base: str,
        machine_id: str,
        hostname: str,
        agent_version: str | None = None,
        credential: str | None = None,
        key: str | None = None,
        disabled: bool = False,
        redactor: Redactor | None = None,
    ) -> None:
        self.spool_dir = spool_dir
        self.api_base = api_base
        self.machine_id = machine_id
        self.hostname = hostname
        self.agent_version = agent_version
        self.credential = credential
        self.key = key
        self.disabled = disabled
        self.redactor = redactor


def resolve(
    environ: Mapping[str, str],
    *,
    api_key: str | None = None,
    api_base: str | None = None,
    machine_id: str | None = None,
    hostname: str | None = None,
    agent_version: str | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    anonymous: bool | None = None,
    mode: str | None = None,
    redact: Redaction = None,
    transport: object = None,
) -> Settings:
    """Settings of a trace or run. ArgumentError (SpoolError for the spool's path) when they cannot be right."""
    late.use()
    if transport is not None:
        raise ArgumentError(
            "transport= has no meaning here: records go to a spool, and `tracehouse sync` uploads them; "
            "give api_base= (or TRACEHOUSE_API_BASE) to choose the server"
        )
    disabled = _mode(mode, environ) == "disabled"
    if sys.platform == "win32" and not disabled:
        raise SpoolError("tracehouse records on Linux and macOS only", hint="use WSL, or mode='disabled'")
    base = _api_base(api_base or environ.get("TRACEHOUSE_API_BASE") or DEFAULT_API_BASE)
    credential, key = _credential(api_key, anonymous, environ)
    node = hostname or _node()
    return Settings(
        spool_dir=_spool_dir(spool_dir, environ),
        api_base=base,
        machine_id=str(machine_id or _machine_id()),
        hostname=str(node),
        agent_version=None if agent_version is None else str(agent_version),
        credential=credential,
        key=key,
        disabled=disabled,
        redactor=_redactor(redact),
    )


def of_manifest(manifest: Manifest, spool_dir: str, redact: Redaction = None) -> Settings:
    """Settings of a session that is there already."""
    return Settings(
        spool_dir=spool_dir,
        api_base=manifest.api_base,
        machine_id=manifest.machine_id,
        hostname=manifest.hostname,
        agent_version=manifest.agent_version,
        credential=manifest.credential,
        redactor=_redactor(redact),
    )


def truthy(value: str | None) -> bool:
    """Whether a variable says yes: set, and not "", "0", "false", "no" or "off"."""
    return value is not None and value.strip().lower() not in _NO


def _mode(mode: str | None, environ: Mapping[str, str]) -> str:
    chosen = mode or environ.get("TRACEHOUSE_MODE") or MODES[0]
    if chosen not in MODES:
        where = "mode" if mode else "TRACEHOUSE_MODE"
        raise ArgumentError(f"{where} must be one of {MODES}, got {chosen!r}")
    return chosen


def _api_base(url: str) -> str:
    if url == DEFAULT_API_BASE:
        return url
    from tracehouse.spool.keys import normalise_api_base

    return normalise_api_base(url)


def _credential(
    api_key: str | None, anonymous: bool | None, environ: Mapping[str, str]
) -> tuple[str | None, str | None]:
    """(what the manifest names, the key to keep)."""
    if api_key and anonymous:
        raise ArgumentError("api_key and anonymous=True exclude each other: anonymous records are public, and nobody's")
    if anonymous:
        return "anon", None
    key = api_key or environ.get("TRACEHOUSE_API_KEY")
    if key:
        from tracehouse.spool.keys import check_key

        key = check_key(key)
        save = api_key and truthy(environ.get("TRACEHOUSE_SAVE_KEY", "1"))
        return layout.fingerprint(key), key if save else None
    if anonymous is None and truthy(environ.get("TRACEHOUSE_ANON")):
        return "anon", None
    return None, None


def _spool_dir(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> str:
    named = "spool_dir" if given else "TRACEHOUSE_SPOOL_DIR"
    path = os.path.abspath(os.path.expanduser(os.fsdecode(given))) if given else places.default_spool_dir(environ)
    if (given or environ.get(named)) and os.path.exists(path) and not os.path.isdir(path):
        raise SpoolError(f"{named} is a file", path=path, hint="name a directory; it is made where it is missing")
    return path


def _node() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _machine_id() -> str:
    system = os.uname().sysname if hasattr(os, "uname") else sys.platform
    return f"{_node() or 'unknown'}-{system}".lower()


def rank(environ: Mapping[str, str]) -> int | None:
    """This process's rank in a distributed job; 0 outside of one; None for a variable that makes no sense."""
    told = next((environ[name] for name in _RANKS if name in environ), "0")
    return int(told) if told.isdigit() else None


def _redactor(redact: Redaction) -> Redactor | None:
    if redact is None:
        return None
    from tracehouse.redact import Redactor

    return Redactor(redact)
