"""What the agent may not read, or finds broken, costs itself: all else goes on, it is told of once, and is taken up once it can be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.support import Site, heard, is_alive, modes_hold, send, without_privileges
from tests.support import lanes
from tests.support.house import House, all_points
from tests.support.waiting import wait_until
from tracehouse.spool import layout

_RUNS = """
    for name in sys.argv[1:]:
        run = cm.TrainingRun(client_run_id=name, system_metrics=False, capture_env=False)
        run.log({"loss": 1.0})
        run.finish()
"""
_TALKER = """
    runs = [cm.TrainingRun(client_run_id=name, system_metrics=False, capture_env=False) for name in sys.argv[1:]]
    for line in sys.stdin:
        for run in runs:
            run.log({"loss": float(line)})
        print("logged", flush=True)
"""


@pytest.fixture
def closing(site: Site, tmp_path: Path) -> Iterator[Site]:
    """A home in which modes keep out the agent; they are opened again at the end."""
    if not modes_hold(tmp_path):
        lanes.require("privileges", "no mode keeps root out here")
    site.environ.update(TRACEHOUSE_RESCAN_EVERY="1", TRACEHOUSE_JOBS="2")
    yield site
    for path in site.spool.glob("run-*"):
        path.chmod(0o700)


def _held(house: House) -> dict[str, list[float]]:
    with house.client() as client:
        runs = client.get("/v1/runs").json()["runs"]
        return {run["client_run_id"]: [point[4] for point in all_points(client, run["id"], "loss")] for run in runs}


def _wait_for(house: House, *names: str, loss: tuple[float, ...] = (1.0,)) -> None:
    wanted = {name: list(loss) for name in names}
    wait_until(lambda: _held(house) == wanted, what=lambda: f"{wanted}, not {_held(house)}")


def _logged(site: Site, said: str) -> list[dict[str, Any]]:
    return [line for line in site.log() if said in line["message"]]


def _troubles(site: Site) -> dict[str, str]:
    return {one["session"]: f"{one['state']}: {one['trouble']}" for one in site.status()["agent"]["troubles"]}


def _problems(site: Site) -> dict[str, str]:
    return {one["path"]: one["problem"] for one in site.status()["agent"]["spools"]}


def test_a3_sessions_that_may_not_be_read_or_written_to_hold_up_no_other_are_told_of_and_go_out_once_they_may(
    closing: Site, house: House
) -> None:
    closing.finished_job(_RUNS, "a", "b", "c", "d")
    found = [Path(entry.path) for entry in os.scandir(closing.spool) if entry.name.startswith("run-")]
    # with as many as would take all places of passes
    shut = [found[0], *(closing.spool / f"run-x{n}-{n:016x}" for n in range(3))]
    for path in shut:
        path.mkdir(exist_ok=True)
        path.chmod(0)
    upload = found[1] / layout.UPLOAD
    upload.mkdir(0o500)
    pid = closing.start(preexec_fn=without_privileges)
    names = [path.name.split("-")[1] for path in found[2:]]
    _wait_for(house, *names)
    closing.finished_job(_RUNS, "late")
    _wait_for(house, *names, "late")
    wait_until(lambda: len(_logged(closing, "Permission denied")) == 5, what=lambda: str(closing.log()))
    troubles = _troubles(closing)
    assert set(troubles) == {str(path) for path in (*shut, found[1])}
    assert all(troubles[str(path)].startswith("waiting: cannot be read: Permission denied") for path in shut)
    assert f"chmod -R u+rwX {shut[0]}" in closing.tracehoused("status").stdout
    for path in (*shut, upload):
        path.chmod(0o700)
    _wait_for(house, "a", "b", "c", "d", "late")
    assert is_alive(pid)
    assert len(_logged(closing, "cannot be read")) == len(shut)


def test_a3_live_sessions_that_become_unreadable_do_not_end_the_agent_and_are_taken_up_again(
    closing: Site, house: House
) -> None:
    pid = closing.start(preexec_fn=without_privileges)
    names = ["a", "b", "c"]
    job = closing.job(_TALKER, *names)
    send(job, "1")
    assert heard(job) == "logged"
    _wait_for(house, *names)
    for path in closing.spool.glob("run-*"):
        path.chmod(0)
    send(job, "2")
    assert heard(job) == "logged"
    wait_until(
        lambda: len(_logged(closing, "cannot be read")) == 3 or not is_alive(pid), what=lambda: str(closing.log())
    )
    assert is_alive(pid), closing.log()
    for path in closing.spool.glob("run-*"):
        path.chmod(0o700)
    _wait_for(house, *names, loss=(1.0, 2.0))


def test_a6_spools_that_cannot_be_used_from_the_start_or_any_more_end_nothing_are_told_of_and_taken_up_again(
    site: Site, house: House
) -> None:
    site.environ["TRACEHOUSE_RESCAN_EVERY"] = "1"
    never, lost = site.home / "file" / "spool", site.home / "mount" / "spool"
    never.parent.write_text("")
    spools = [word for path in (never, lost, site.spool) for word in ("--spool", str(path))]
    assert site.tracehoused("run-once", *spools, check=False).returncode == 1
    pid = site.start(*spools)
    lost.parent.rename(site.home / "away")
    lost.parent.write_text("")
    wait_until(lambda: len(_logged(site, "cannot be used")) == 2 or not is_alive(pid), what=lambda: str(site.log()))
    site.finished_job(_RUNS, "a")
    _wait_for(house, "a")
    wrong = {str(path): f"the spool cannot be used: Not a directory: {path}" for path in (never, lost)}
    assert _problems(site) == {**wrong, str(site.spool): ""}
    assert wrong[str(never)] in site.tracehoused("status").stdout
    never.parent.unlink()
    lost.parent.unlink()
    (site.home / "away").rename(lost.parent)
    wait_until(lambda: len(_logged(site, "can be used again")) == 2, what=lambda: str(site.log()))
    for number, spool in enumerate((never, lost)):
        site.environ["TRACEHOUSE_SPOOL_DIR"] = str(spool)
        site.finished_job(_RUNS, str(number))
    _wait_for(house, "a", "0", "1")
    assert is_alive(pid)
    assert not any(_problems(site).values())


def test_an_agent_that_cannot_use_any_spool_does_not_start_and_its_log_has_the_reason(alone: Site) -> None:
    spool = alone.home / "file" / "spool"
    spool.parent.write_text("")
    done = alone.tracehoused("start", "--spool", str(spool), check=False)
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert [line["level"] for line in _logged(alone, "the agent ends: the spool cannot be used")] == ["critical"]
