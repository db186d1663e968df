"""The service's files for systemd: what its own tools say of them, and what `install` writes."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service.support import ROOT, Site
from tests.support.waiting import wait_until
from tracehoused.service.notify import Notifier
from tracehoused.service.units import LABEL, launchd

UNITS = ROOT / "systemd"
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def _analyze(*words: str) -> str:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_analyze
@pytest.mark.parametrize("name", ["tracehoused.service", "tracehoused@.service"])
def test_units_have_nothing_that_systemd_complains_of(name: str) -> None:
    assert not _analyze("verify", "--man=no", str(UNITS / name))


@needs_analyze
def test_the_instance_unit_is_hardened() -> None:
    told = _analyze("security", "--offline=yes", str(UNITS / "tracehoused@.service"))
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert level is not None
    assert float(level[1]) <= 4.0


def test_install_writes_the_unit_with_this_program_and_uninstall_removes_it(alone: Site) -> None:
    alone.environ["DESTDIR"] = str(alone.home / "root")
    unit = Path(f"{alone.home}/root{alone.home}/.config/systemd/user/tracehoused.service")
    alone.environ["XDG_CONFIG_HOME"] = str(alone.home / ".config")
    assert str(unit) in alone.tracehoused("install").stdout
    (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    assert line.startswith("ExecStart=/")
    assert line.endswith(" start --foreground")
    alone.tracehoused("uninstall")
    assert not unit.exists()
    alone.tracehoused("install", "--system")
    assert Path(f"{alone.home}/root/etc/systemd/system/tracehoused@.service").exists()


def test_the_launchd_agent_starts_at_login_is_kept_alive_and_logs_where_macos_looks(tmp_path: Path) -> None:
    unit = launchd({"HOME": "/Users/me & you"}, str(tmp_path))
    assert unit.path == f"{tmp_path}/Users/me & you/Library/LaunchAgents/{LABEL}.plist"
    fields = plistlib.loads(unit.text.encode())
    assert fields["Label"] == LABEL
    *program, start, foreground = fields["ProgramArguments"]
    assert (start, foreground) == ("start", "--foreground")
    assert Path(program[0]).is_absolute()
    assert subprocess.run([*program, "--version"], capture_output=True, cwd=ROOT, timeout=60).returncode == 0
    assert fields["RunAtLoad"] is True
    assert fields["KeepAlive"] == {"SuccessfulExit": False}  # one that failed or was killed; not one that was stopped
    assert fields["ProcessType"] == "Background"
    assert fields["Umask"] == 0o077
    assert fields["StandardErrorPath"] == "/Users/me & you/Library/Logs/tracehoused.log"
    assert fields.keys() == {
        "Label", "ProgramArguments", "RunAtLoad", "KeepAlive", "ProcessType", "Umask", "StandardErrorPath",
    }  # fmt: skip
    domain = f"gui/{os.getuid()}"
    assert unit.enable == ("launchctl", "bootstrap", domain, unit.path)
    assert unit.disable == ("launchctl", "bootout", f"{domain}/{LABEL}")


def test_the_agent_tells_its_manager_when_it_is_ready_and_that_it_lives(alone: Site, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(60)
        alone.environ.update(NOTIFY_SOCKET=str(address), WATCHDOG_USEC="3000000")
        code = "from tracehoused.cli.main import tracehoused; tracehoused()"
        process = subprocess.Popen([sys.executable, "-c", code, "start", "--foreground"], env=alone.environ)
        try:
            assert b"READY=1" in manager.recv(4096)
            assert b"WATCHDOG=1" in manager.recv(4096)
            assert alone.pidfile()["manager"] == "systemd"
            process.terminate()
            wait_until(lambda: b"STOPPING=1" in manager.recv(4096), what="its end being told")
        finally:
            assert process.wait(60) == 0


def test_without_a_manager_nothing_is_told() -> None:
    notifier = Notifier({})
    notifier.tell("READY=1")
    assert not notifier.is_managed
    assert notifier.watchdog is None
