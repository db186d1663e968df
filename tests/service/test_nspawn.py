"""The instance unit under a real systemd, booted in a container: it is ready, is killed, is started again, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.support import ROOT, Site, heard, send
from tests.support import lanes
from tests.support.house import House, all_points
from tests.support.waiting import wait_until

_UNIT = "tracehoused@root.service"
_TALKER = """
    run = cm.init_run(project="p", client_run_id="r1", system_metrics=False, capture_env=False)
    print("ready", flush=True)
    for line in sys.stdin:
        run.log({"loss": float(line)})
        print("logged", flush=True)
"""


class Machine:
    """A container whose system is this one's, with changes of its own, and whose first process is systemd."""

    def __init__(self, folder: Path, tree: Path, shared: list[Path]) -> None:
        binds = [f"--bind={path}" for path in shared]
        prefixes = {str(ROOT), *map(os.path.realpath, (sys.prefix, sys.base_prefix))}
        binds += [f"--bind-ro={path}" for path in sorted(prefixes)]
        words = ["systemd-nspawn", f"--directory={tree}", "--register=no", "--keep-unit", f"--machine=th-{os.getpid()}"]
        self.console = folder / "console"
        with self.console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                [*words, "--quiet", "--console=pipe", *binds, "--boot", f"systemd.unit={_UNIT}", "systemd.log_target=console"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip

    def systemctl(self, *words: str) -> str:
        """What it prints in there; "" while nothing answers."""
        first = self._first_process()
        if first is None:
            return ""
        command = ["nsenter", f"--target={first}", "--mount", "--pid", "systemctl", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()

    def _first_process(self) -> int | None:
        try:
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        except FileNotFoundError:
            return None
        return int(children[0]) if children else None

    def is_up(self) -> bool:
        """Whether its systemd answers; the test is skipped where it cannot be booted."""
        if self._nspawn.poll() is not None:
            told = self.console.read_text(errors="replace").strip().splitlines()
            lanes.require("nspawn", f"no container can be booted here: {told[-1] if told else 'it ended at once'}")
        return bool(self.systemctl("show", "--property=Version"))

    def property(self, name: str) -> str:
        return self.systemctl("show", "--value", f"--property={name}", _UNIT)

    def close(self) -> None:
        first = self._first_process()
        if first is not None:
            os.kill(first, signal.SIGKILL)
        self._nspawn.kill()
        self._nspawn.wait()


@pytest.fixture(autouse=True)
def _able() -> None:
    lanes.needs_full()
    lanes.needs_linux()
    lanes.needs_root()
    for program in ("systemd-nspawn", "nsenter", "mount"):
        lanes.needs_tool(program, "nspawn")


@pytest.fixture
def tree(_able: None, tmp_path: Path) -> Iterator[Path]:
    """This system's files; what is written there is seen nowhere else."""
    aside, joined = tmp_path / "aside", tmp_path / "tree"
    for path in (aside, joined):
        path.mkdir()
    mounted: list[Path] = []

    def mount(target: Path, *words: str) -> None:
        done = subprocess.run(["mount", *words, str(target)], capture_output=True, text=True)
        if done.returncode:
            lanes.require("nspawn", f"mount {' '.join(words[:2])}: {done.stderr.strip()}")
        mounted.append(target)

    try:
        mount(aside, "-t", "tmpfs", "none")
        for name in ("up", "work"):
            (aside / name).mkdir()
        mount(joined, "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={aside}/up,workdir={aside}/work")
        yield joined
    finally:
        for target in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(target)], check=True)


def _points(house: House) -> list[float]:
    with house.client() as client:
        runs = client.get("/v1/runs").json()["runs"]
        return [point[4] for run in runs for point in all_points(client, run["id"], "loss")]


def test_the_instance_unit_is_ready_is_killed_is_started_again_and_nothing_is_lost(
    site: Site, house: House, tree: Path, tmp_path: Path
) -> None:
    site.spool.mkdir(mode=0o700)
    system = tree / "etc/systemd/system"
    for wanted in system.glob("*.wants"):
        shutil.rmtree(wanted)  # nothing of this machine's is to run there
    site.environ["DESTDIR"] = str(tree)
    site.tracehoused("install", "--system")
    names = ("TRACEHOUSE_API_BASE", "TRACEHOUSE_API_KEY", "TRACEHOUSE_SPOOL_DIR", "PYTHONPATH")
    told = "".join(f'Environment="{name}={site.environ[name]}"\n' for name in names)
    (system / "tracehoused@.service.d").mkdir()
    (system / "tracehoused@.service.d" / "here.conf").write_text(f"[Service]\n{told}")
    machine = Machine(tmp_path, tree, [site.spool])
    try:
        wait_until(machine.is_up, what="its systemd")
        wait_until(lambda: machine.property("ActiveState") == "active", what=lambda: machine.systemctl("status", _UNIT))
        first = machine.property("MainPID")
        job = site.job(_TALKER)
        assert heard(job) == "ready"
        send(job, "1")
        wait_until(lambda: _points(house) == [1.0], what=lambda: machine.systemctl("status", _UNIT))
        machine.systemctl("kill", "--signal=SIGKILL", _UNIT)
        send(job, "2")
        wait_until(lambda: machine.property("NRestarts") == "1", what=lambda: machine.systemctl("status", _UNIT))
        wait_until(lambda: _points(house) == [1.0, 2.0], what=lambda: machine.systemctl("status", _UNIT))
        assert machine.property("MainPID") not in ("0", first)
        assert machine.property("ActiveState") == "active"
        send(job, "3")
        wait_until(lambda: _points(house) == [1.0, 2.0, 3.0], what=lambda: machine.systemctl("status", _UNIT))
    finally:
        machine.close()
