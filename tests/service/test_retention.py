"""Deletion: only what has ended, is wholly acknowledged and has been so for long; and what remains lets a resumed job go on."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from pathlib import Path

import pytest

from tests.service.support import Site, heard, send
from tests.support.house import House, all_points
from tests.support.proxy import proxied
from tests.support.servers import Received
from tests.support.waiting import wait_until
from tracehoused.config import resolve
from tracehoused.service.ledger import Ledger, Odometer, directory_mark
from tracehoused.service.pruning import note_pruned, note_unknown, prune_session
from tracehoused.upload.engine import Engine

_RUN = 'run = cm.init_run(project="p", client_run_id="r1"); [run.log({"loss": 5.0}) for _ in range(3)]'


def _segments(site: Site) -> list[Path]:
    return sorted(site.spool.glob("run-*/*.jsonl"))


def test_a2_nothing_is_pruned_before_its_grace_is_over(site: Site) -> None:
    site.finished_job(_RUN)
    site.tracehouse("sync")
    assert "nothing to delete" in site.tracehouse("prune").stdout
    assert _segments(site)


def test_a2_nothing_is_pruned_that_is_not_acknowledged(site: Site, house: House) -> None:
    site.finished_job(_RUN)
    house.stop()
    site.tracehouse("prune", "--older-than", "0")
    assert _segments(site)


def test_a2_nothing_is_pruned_that_a_killed_job_logged_after_the_last_acknowledgement(site: Site, house: House) -> None:
    job = site.job(
        'run = cm.init_run(client_run_id="r1"); run.log({"loss": 1.0}); print("ok", flush=True); sys.stdin.readline()\n'
        'run.log({"loss": 2.0}); print("ok", flush=True); sys.stdin.read()'
    )
    assert heard(job) == "ok"
    site.tracehouse("sync", check=False)
    send(job, "on")
    assert heard(job) == "ok"
    job.kill()
    job.wait()
    house.stop()
    told = site.tracehouse("prune", "--older-than", "0")
    assert _segments(site), told.stdout
    house.start()
    site.tracehouse("sync", "--close-dead")
    with house.client() as client:
        (run,) = client.get("/v1/runs").json()["runs"]
        assert [point[4] for point in all_points(client, run["id"], "loss")] == [1.0, 2.0]
    assert "freed" in site.tracehouse("prune", "--older-than", "0").stdout


def test_a2_nothing_is_pruned_while_its_job_lives(site: Site) -> None:
    job = site.job(
        'run = cm.init_run(client_run_id="r1"); run.log({"loss": 1.0}); print("ok", flush=True); sys.stdin.read()'
    )
    assert heard(job) == "ok"
    site.tracehouse("sync", check=False)  # 1 when the job recorded something meanwhile
    site.tracehouse("prune", "--older-than", "0")
    assert _segments(site)


def test_a2_what_is_pruned_leaves_a_receipt_from_which_a_resumed_run_goes_on(site: Site, house: House) -> None:
    site.finished_job(_RUN)
    site.tracehouse("sync")
    dry = site.tracehouse("prune", "--older-than", "0", "--dry-run").stdout
    assert "would free" in dry
    assert _segments(site)
    assert "freed" in site.tracehouse("prune", "--older-than", "0").stdout
    assert not _segments(site)
    assert not list(site.spool.glob(".trash/*"))
    (receipt,) = site.spool.glob("run-*/upload/*/receipt.json")
    fields = json.loads(receipt.read_text())
    assert (fields["next_step"], fields["attempt"], fields["status"]) == (3, 1, "finished")
    site.finished_job(_RUN)
    site.tracehouse("sync")
    with house.client() as client:
        (run,) = client.get("/v1/runs").json()["runs"]
        points = all_points(client, run["id"], "loss")
    assert [(point[1], point[3]) for point in points] == [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5)]


def test_a2_steps_go_on_after_what_is_pruned_where_a_power_failure_left_its_last_segment_empty(
    site: Site, house: House
) -> None:
    site.finished_job(_RUN)
    [segment] = _segments(site)
    segment.with_name(segment.name.replace("000000", "000001")).touch()
    site.tracehouse("sync")
    assert "freed" in site.tracehouse("prune", "--older-than", "0").stdout
    site.finished_job(_RUN)
    site.tracehouse("sync")
    with house.client() as client:
        (run,) = client.get("/v1/runs").json()["runs"]
        assert [point[3] for point in all_points(client, run["id"], "loss")] == list(range(6))


def _no_room() -> None:
    """For a child before its program begins: its files take no byte, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def test_a2_a_prune_that_the_disk_prevents_is_told(site: Site) -> None:
    site.finished_job(_RUN)
    site.tracehouse("sync")
    told = site.run("tracehouse", "prune", "--older-than", "0", check=False, preexec_fn=_no_room)
    assert (told.returncode, "File too large" in told.stdout, "nothing" in told.stdout) == (1, True, False), told
    assert "Traceback" not in told.stderr
    assert _segments(site)


def _is_elsewhere(site: Site) -> None:
    """The spool is moved to another disk, and a link is in its place."""
    shutil.copytree(site.spool, site.home / "disk")
    shutil.rmtree(site.spool)
    site.spool.symlink_to(site.home / "disk")


def _lock_is_gone(site: Site) -> None:
    for lock in (site.spool / ".writers").iterdir():
        lock.unlink()


def test_s2_a_process_that_nobody_knows_to_live_goes_on_behind_what_was_pruned(site: Site, house: House) -> None:
    job = site.job("""
        import gc
        def once():
            run = cm.TrainingRun(client_run_id="r1", capture_env=False, system_metrics=False)
            for _ in range(5):
                run.log({"loss": 1.0})
            run.finish()
        for _ in range(3):
            once()
            print("ok", flush=True)
            sys.stdin.readline()
            gc.collect()
    """)
    for come_to_pass in (_lock_is_gone, _is_elsewhere):
        assert heard(job) == "ok"
        site.tracehouse("sync", check=False)
        come_to_pass(site)
        told = site.tracehouse("prune", str(site.spool.resolve()), "--older-than", "0")
        assert not _segments(site), told.stdout
        send(job, "on")
    assert heard(job) == "ok"
    site.tracehouse("sync")
    with house.client() as client:
        (run,) = client.get("/v1/runs").json()["runs"]
        assert [point[3] for point in all_points(client, run["id"], "loss")] == list(range(15))


def test_a15_the_time_of_another_boot_which_may_be_another_machines_makes_nothing_older(tmp_path: Path) -> None:
    """A state directory may be in a home that several machines share."""
    first = Odometer(str(tmp_path))
    first.save()
    (saved,) = tmp_path.glob("*.json")
    saved.write_text(json.dumps({**json.loads(saved.read_text()), "boot_id": "another"}))
    assert Odometer(str(tmp_path)).now() - first.now() < 1.0


def test_a2_the_agent_prunes_after_the_grace(site: Site) -> None:
    site.finished_job(_RUN)
    site.environ.update(TRACEHOUSE_RETENTION_GRACE="1", TRACEHOUSE_RESCAN_EVERY="1")
    site.start()
    wait_until(
        lambda: list(site.spool.glob("run-*/upload/*/receipt.json")) and not _segments(site), what="its deletion"
    )
    assert site.status()["agent"]["sessions"]["settled"] == 1


def test_a2_run_once_sees_its_deletions_through(site: Site) -> None:
    site.finished_job(
        """
        for n in range(6):
            run = cm.init_run(project="p", client_run_id=f"r{n}", capture_env=False, system_metrics=False)
            run.finish()
        """
    )
    site.environ.update(TRACEHOUSE_RETENTION_GRACE="0s")
    site.tracehoused("run-once")
    assert len(_segments(site)) == 6
    site.tracehoused("run-once")
    assert not _segments(site)


def test_a2_over_its_budget_a_spool_loses_what_is_acknowledged_first(site: Site) -> None:
    site.environ.update(TRACEHOUSE_SPOOL_MAX_BYTES="1", TRACEHOUSE_RESCAN_EVERY="1")
    job = site.job(
        'run = cm.init_run(client_run_id="r2"); run.log({"loss": 1.0}); print("ok", flush=True); sys.stdin.read()'
    )
    assert heard(job) == "ok"
    site.finished_job(_RUN)
    site.start()
    wait_until(lambda: len(_segments(site)) == 1, what="the deletion of the one that has ended")
    wait_until(lambda: any("budget" in line["message"] for line in site.log()), what="a warning")


def test_a2_a_deletion_that_was_cut_short_is_undone(site: Site) -> None:
    site.finished_job(_RUN)
    (segment,) = _segments(site)
    trash = site.spool / ".trash" / segment.parent.name
    trash.mkdir(parents=True)
    segment.rename(trash / segment.name)
    site.start()
    wait_until(lambda: _segments(site) == [segment], what="its return")
    wait_until(lambda: all(s["uploaded"] and s["records"] for s in site.sessions()), what="its upload")


def test_a4_what_was_deleted_here_and_then_lost_there_is_told(site: Site, house: House, tmp_path: Path) -> None:
    house.stop()
    shutil.copytree(house.data, tmp_path / "before")
    house.start()
    site.finished_job(_RUN)
    site.tracehouse("sync")
    site.tracehouse("prune", "--older-than", "0")
    (deleted,) = (one["records"] for one in site.sessions())
    house.stop()
    shutil.rmtree(house.data)
    shutil.copytree(tmp_path / "before", house.data)
    house.start()
    site.finished_job(_RUN)
    told = site.tracehouse("sync").stderr
    assert f"{deleted} records are gone" in told
    assert [one["forgotten"] for one in site.sessions()] == [deleted]
    assert f"{deleted} records are gone" in site.tracehouse("status").stdout
    done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert f"{deleted} records were deleted here" in done.stderr
    assert "are gone" not in site.tracehouse("sync").stderr
    site.tracehouse("prune", "--older-than", "0")
    assert [one["forgotten"] for one in site.sessions()] == [deleted]


def test_a7_what_is_logged_as_the_last_answer_arrives_is_sent_by_the_next_pass(site: Site, house: House) -> None:
    lives = 0

    def rule(request: Received) -> None:
        nonlocal lives
        if request.method == "PATCH" and lives < 3:
            lives += 1
            site.finished_job(_RUN)

    with proxied(house.url, rule) as server:
        site.environ.update(TRACEHOUSE_API_BASE=server.url)
        site.finished_job(_RUN)
        for _ in range(5):
            site.tracehoused("run-once", check=False)
    assert lives
    with house.client() as client:
        (run,) = client.get("/v1/runs").json()["runs"]
        assert len(all_points(client, run["id"], "loss")) == 3 * (1 + lives)


def test_a7_what_is_logged_right_after_a_deletion_is_not_taken_for_deleted(site: Site, house: House) -> None:
    site.finished_job(_RUN)
    site.tracehouse("sync")
    (session,) = map(str, site.spool.glob("run-*"))
    engine = Engine(resolve(environ=site.environ), site.environ)
    ledger = Ledger(str(site.state), str(site.spool))
    note_unknown(engine, ledger, str(site.spool), 0.0)
    pruned = prune_session(engine, session)
    assert not pruned.kept
    site.finished_job(_RUN)
    note_pruned(ledger, pruned)
    note = ledger.get(os.path.basename(session))
    assert note is None or note.mtime != directory_mark(session)
    engine.close()


def _outside(tmp_path: Path) -> Path:
    """A directory of somebody else's, with names such as a spool has."""
    outside = tmp_path / "outside"
    (outside / "kept.removed").mkdir(parents=True)
    for name in ("precious.txt", f"{'b' * 64}.png", "00000000000000aa-000000.jsonl", "kept.removed/too.txt"):
        (outside / name).write_text("precious")
    return outside


def _held(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("where", ["media", "upload", "upload/*", ".trash", ".trash/*", "session"])
def test_s5_nothing_is_written_or_deleted_where_a_link_leads(site: Site, tmp_path: Path, where: str) -> None:
    outside = _outside(tmp_path)
    before = _held(outside)
    site.finished_job(_RUN)
    (session,) = site.spool.glob("run-*")
    link = {".trash": site.spool / ".trash", ".trash/*": site.spool / ".trash" / session.name}.get(
        where, session / where
    )
    if where == "upload/*":
        site.tracehouse("sync")
        (link,) = (path for path in (session / "upload").iterdir() if path.is_dir())
        link.rename(tmp_path / "moved")
    elif where == "session":
        link = session
        for path in session.iterdir():
            (outside / path.name).write_bytes(path.read_bytes())
        before = _held(outside)
        session.rename(tmp_path / "moved")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    site.tracehouse("sync", check=False)
    site.environ["TRACEHOUSE_RETENTION_GRACE"] = "0"
    for _ in range(3):
        site.tracehoused("run-once", check=False)
    told = site.tracehouse("status", check=False)
    site.tracehouse("prune", "--older-than", "0", check=False)
    site.tracehouse("verify", check=False)
    site.tracehouse("rm", "--yes", "r1", check=False)
    assert _held(outside) == before, told.stdout


def test_rm_says_what_was_never_uploaded_and_asks(site: Site, house: House) -> None:
    site.finished_job(_RUN)
    refused = site.tracehouse("rm", "r1", check=False)
    assert "NEVER uploaded" in refused.stdout
    assert refused.returncode == 1
    assert _segments(site)
    site.tracehouse("rm", "r1", "--yes")
    assert not list(site.spool.glob("run-*"))


def test_a7_stalled_and_crashed_are_told(site: Site) -> None:
    mark = site.home / "stalled"
    site.environ.update(TRACEHOUSE_RESCAN_EVERY="1")
    site.start("--stall-after", "1s", "--on-stall", f"touch {mark}")
    job = site.job(
        'run = cm.init_run(client_run_id="r1"); run.log({"loss": 1.0}); print("ok", flush=True); sys.stdin.read()'
    )
    assert heard(job) == "ok"
    wait_until(mark.exists, what="the stall's command")
    site.environ.update(TRACEHOUSE_STALL_AFTER="1s")
    assert [s["state"] for s in site.sessions()] == ["stalled"]
    job.kill()
    job.wait()
    wait_until(lambda: [s["state"] for s in site.sessions()] == ["crashed"], what="its end")


def test_a2_a_job_over_its_budget_has_the_agent_make_room_and_then_drops_nothing(site: Site) -> None:
    site.environ.update(TRACEHOUSE_SPOOL_MAX_BYTES="3M", TRACEHOUSE_SPOOL_FULL="drop")
    site.start()  # its own next look is a minute away
    site.finished_job('cm.init(session_id="old"); [cm.log_user("x" * 100_000) for _ in range(20)]; cm.finish()')
    wait_until(lambda: all(s["uploaded"] for s in site.sessions()), what="its upload")
    job = site.job(
        'cm.init(session_id="new"); [cm.log_user("y" * 100_000) for _ in range(20)]; print("ok", flush=True)\n'
        'sys.stdin.readline(); cm.log_user("last"); print(cm.flush(), flush=True)'
    )
    assert heard(job) == "ok"
    wait_until(lambda: not list(site.spool.glob("trace-old-*/*.jsonl")), what="the deletion of what is acknowledged")
    send(job, "")
    assert heard(job) == "True"


def _told(site: Site) -> dict[str, object]:
    (session,) = json.loads(site.tracehouse("status", "--json").stdout)["sessions"]
    return {name: session[name] for name in ("id", "uid", "state", "destination", "uploaded")}


def test_a2_what_is_pruned_is_still_told_of_and_proven(site: Site) -> None:
    site.finished_job(_RUN)
    site.tracehouse("sync")
    before = _told(site)
    site.tracehouse("prune", "--older-than", "0")
    assert not _segments(site)
    assert _told(site) == before
    assert "7 records more were deleted here after they were acknowledged" in site.tracehouse("verify").stdout
