"""The service's files for systemd and launchd: where they go, and what they say for the program that is installed here.

The systemd units are those of the source tree's ``systemd/``, which a wheel carries beside this module.
"""

from __future__ import annotations

import os
import plistlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LABEL", "Unit", "launchd", "program", "system_unit", "user_unit"]

LABEL = "ai.tracehouse.tracehoused"
_EXEC = re.compile(r"^ExecStart=.*? start ", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """A file to write at ``path``, and the commands that make the manager take it up and let go of it."""

    path: str
    text: str
    load: tuple[str, ...]
    enable: tuple[str, ...]
    disable: tuple[str, ...]


def program() -> list[str]:
    """The words that run ``tracehoused``, with absolute paths."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "tracehoused")
    if os.path.isfile(beside) and os.access(beside, os.X_OK):
        return [beside]
    code = "from tracehoused.cli.main import tracehoused; tracehoused(prog_name='tracehoused')"
    return [sys.executable, "-c", code]


def user_unit(environ: Mapping[str, str], root: str = "") -> Unit:
    """For the user's own systemd."""
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    path = f"{root}{config}/systemd/user/tracehoused.service"
    ctl = ("systemctl", "--user")
    name = "tracehoused.service"
    return Unit(
        path, _text(name), (*ctl, "daemon-reload"), (*ctl, "enable", "--now", name), (*ctl, "disable", "--now", name)
    )


def system_unit(user: str, root: str = "") -> Unit:
    """For the system's systemd, an instance for each user."""
    path = f"{root}/etc/systemd/system/tracehoused@.service"
    name = f"tracehoused@{user}.service"
    on, off = ("systemctl", "enable", "--now", name), ("systemctl", "disable", "--now", name)
    return Unit(path, _text("tracehoused@.service"), ("systemctl", "daemon-reload"), on, off)


def launchd(environ: Mapping[str, str], root: str = "") -> Unit:
    """For macOS: an agent of the user's login session."""
    home = environ.get("HOME") or os.path.expanduser("~")
    path = f"{root}{home}/Library/LaunchAgents/{LABEL}.plist"
    fields = {
        "Label": LABEL,
        "ProgramArguments": [*program(), "start", "--foreground"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardErrorPath": f"{home}/Library/Logs/tracehoused.log",
    }
    domain = f"gui/{os.getuid()}"
    return Unit(
        path,
        plistlib.dumps(fields).decode(),
        ("true",),
        ("launchctl", "bootstrap", domain, path),
        ("launchctl", "bootout", f"{domain}/{LABEL}"),
    )


def _text(name: str) -> str:
    here = Path(__file__).parent
    source = here / "units" / name
    if not source.exists():
        source = here.parents[1] / "systemd" / name
    words = " ".join(_quoted(word) for word in program())
    return _EXEC.sub(lambda _: f"ExecStart={words} start ", source.read_text())


def _quoted(word: str) -> str:
    """As systemd reads it."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
