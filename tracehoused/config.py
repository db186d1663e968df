"""The agent's settings: flag > environment > ``config.toml`` in the user's config directory > default; each knows its source.

``config.toml`` is flat, one key a setting::

    spools = ["~/runs/spool", "/scratch/*/spool"]
    jobs = 8
    limit_rate = "2M/s"
    retention_grace = "3d"

The variable of a setting is TRACEHOUSE_ and its name in capitals (of ``spools``: TRACEHOUSE_SPOOL_DIR). An empty one says nothing.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from tracehouse.exceptions import ArgumentError
from tracehouse.spool.keys import DEFAULT_API_BASE, normalise_api_base
from tracehouse.spool.places import default_config_dir, default_spool_dir, default_state_dir
from tracehoused import values
from tracehoused.exceptions import ConfigError

__all__ = ["SETTINGS", "Setting", "Settings", "config_path", "resolve"]

Parse = Callable[[object], Any]


@dataclass(frozen=True)
class Setting:
    """One setting: how it is read, what it is by default (a function of the environment where it depends on it)."""

    name: str
    parse: Parse
    default: Any
    help: str
    variable: str = ""

    @property
    def env(self) -> str:
        return self.variable or "TRACEHOUSE_" + self.name.upper()


def _address(raw: object) -> str:
    try:
        return normalise_api_base(raw if isinstance(raw, str) else repr(raw))
    except ArgumentError as error:
        raise ValueError(f"is no address: {error}") from None


_TABLE = (
    Setting(
        "spools", values.paths, lambda e: (default_spool_dir(e),), "directories to upload from", "TRACEHOUSE_SPOOL_DIR"
    ),
    Setting("state_dir", values.path, default_state_dir, "where the agent notes down what it did"),
    Setting("api_base", _address, DEFAULT_API_BASE, "the server of `login`, and of what named neither one nor a key"),
    Setting("jobs", values.count, 4, "sessions uploaded at a time"),
    Setting("batch_points", values.count, 1000, "most metric points in a request"),
    Setting("batch_spans", values.count, 1000, "most spans in a request"),
    Setting("batch_bytes", values.size, 1 << 20, "most bytes in a request, media apart"),
    Setting("timeout", values.duration, 60.0, "seconds to wait for a server"),
    Setting("ca_file", values.path, None, "PEM certificates to trust besides the usual ones"),
    Setting("limit_rate", values.rate, None, "most bytes per second, all uploads together"),
    Setting("allow_plain_http", values.flag, False, "send keys and records unencrypted to other machines"),
    Setting("rescan_every", values.duration, 60.0, "seconds between looks at everything, file events or not"),
    Setting("retention_grace", values.duration, 86400.0, "seconds that an uploaded session stays in the spool"),
    Setting("stall_after", values.duration, 600.0, "seconds without a record until a living job counts as stalled"),
    Setting("dead_after", values.duration, 3600.0, "seconds without a heartbeat until a job elsewhere counts as dead"),
    Setting("spool_max_bytes", values.size, None, "most bytes in a spool; what is uploaded goes first"),
    Setting("spool_max_files", values.count, None, "most files and directories in a spool"),
    Setting("metrics_port", values.port, None, "port on loopback for Prometheus"),
    Setting("metrics_file", values.path, None, "file for the node exporter's textfile collector"),
    Setting("on_stall", values.command, None, "program to run when a job stalls"),
    Setting(
        "log_file", values.path, lambda e: os.path.join(default_state_dir(e), "tracehoused.log"), "the agent's log"
    ),
    Setting("log_level", values.choice("debug", "info", "warning", "error"), "info", "least level that is logged"),
    Setting("log_max_bytes", values.size, 10 << 20, "size at which the log is rotated"),
    Setting("log_keep", values.count, 5, "rotated logs to keep"),
)
SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _TABLE}


@dataclass(frozen=True)
class Settings:
    """The effective settings; times are in seconds, sizes in bytes, paths absolute. ``sources`` says where each is from."""

    spools: tuple[str, ...]
    state_dir: str
    api_base: str
    jobs: int
    batch_points: int
    batch_spans: int
    batch_bytes: int
    timeout: float
    ca_file: str | None
    limit_rate: float | None
    allow_plain_http: bool
    rescan_every: float
    retention_grace: float
    stall_after: float
    dead_after: float
    spool_max_bytes: int | None
    spool_max_files: int | None
    metrics_port: int | None
    metrics_file: str | None
    on_stall: tuple[str, ...] | None
    log_file: str
    log_level: str
    log_max_bytes: int
    log_keep: int
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


def config_path(environ: Mapping[str, str]) -> str:
    """Where config.toml is looked for; it need not exist."""
    return os.path.join(default_config_dir(environ), "config.toml")


def resolve(flags: Mapping[str, object] | None = None, *, environ: Mapping[str, str]) -> Settings:
    """The settings. ``flags`` are by name, None or an empty tuple meaning not given.

    ConfigError, naming the setting, the value and its source, for one that cannot be right or is unknown.
    """
    flags = flags or {}
    path = config_path(environ)
    file = _read(path)
    _refuse_unknown(file, path)
    _refuse_unknown(flags, "flags")
    found = {name: _effective(setting, flags, environ, file, path) for name, setting in SETTINGS.items()}
    _follow_state_dir(found)
    chosen = {name: value for name, (value, _) in found.items()}
    return Settings(**chosen, sources={name: source for name, (_, source) in found.items()})


def _effective(
    setting: Setting,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: Mapping[str, object],
    path: str,
) -> tuple[Any, str]:
    """(value, source) from the first place that says something."""
    for raw, source in _said(setting, flags, environ, file, path):
        try:
            return setting.parse(raw), source
        except ValueError as error:
            message = f"{setting.name} = {raw!r} in {source}: {error}"
            raise ConfigError(message, name=setting.name, value=raw, source=source) from None
    default = setting.default
    return (default(environ) if callable(default) else default), "default"


def _said(
    setting: Setting,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    file: Mapping[str, object],
    path: str,
) -> Iterator[tuple[object, str]]:
    if flags.get(setting.name) not in (None, ()):
        yield flags[setting.name], f"--{setting.name.replace('_', '-')}"
    if environ.get(setting.env):
        yield environ[setting.env], setting.env
    if setting.name in file:
        yield file[setting.name], path


def _follow_state_dir(found: dict[str, tuple[Any, str]]) -> None:
    """The log lies in the state directory, wherever that was put."""
    if found["log_file"][1] == "default":
        found["log_file"] = (os.path.join(found["state_dir"][0], "tracehoused.log"), "default")


def _read(path: str) -> Mapping[str, object]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        with open(path, "rb") as file:
            found: dict[str, object] = toml.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", name="", source=path) from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}", name="", source=path) from error
    return found


def _refuse_unknown(said: Mapping[str, object], source: str) -> None:
    for name in said:
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(SETTINGS)}"
            raise ConfigError(f"unknown setting {name!r} in {source}", name=name, source=source, hint=hint)
