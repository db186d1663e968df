"""Deletions that are cut short, that meet what makes no sense, or that cannot be: each costs its own session, and no record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.service.support import ROOT, Site
from tests.support.house import House
from tests.support.segments import AT, EPOCH, header, line, manifest, metrics, session
from tracehouse.spool.layout import segment_name
from tracehoused.config import resolve
from tracehoused.service.ledger import Ledger, Note
from tracehoused.service.pruning import candidates, prune_session, tidy
from tracehoused.service.retention import remove
from tracehoused.upload.engine import Engine
from tracehoused.upload.lease import Lease

_RUN = 'run = cm.init_run(project="p", client_run_id="r1"); [run.log({"loss": 5.0}) for _ in range(3)]'
# dies as it is about to do something to a segment's name, the n-th time
_DYING = """
import os, signal, sys
from tracehoused.cli.main import tracehouse

event, left = sys.argv.pop(1), int(sys.argv.pop(1))

def hook(name, args):
    global left
    if name == event and str(args[0]).endswith(".jsonl"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
tracehouse()
"""
_DEEP = "[" * 100_000
_DEEP_RECORD = '{"a":' + "[" * 50_000 + "]" * 50_000 + "}"


def _killed_prune(site: Site, event: str, nth: int) -> None:
    words = [sys.executable, "-c", _DYING, event, str(nth), "prune", "--older-than", "0"]
    done = subprocess.run(words, env={**site.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def _segments(site: Site) -> list[Path]:
    return sorted(site.spool.glob("run-*/*.jsonl"))


def _in_trash(spool: Path, name: str) -> Path:
    """A session whose deletion was cut short after the move."""
    moved = spool / ".trash" / name / segment_name(EPOCH, 0)
    moved.parent.mkdir(parents=True)
    moved.write_bytes(b"")
    return spool / name / moved.name


def _odd(site: Site, name: str, *records: tuple[str, object], **of_header: object) -> Path:
    """A session of two segments, put together by hand; what is odd is in the second."""
    of = manifest("run", name, api_base=site.environ["TRACEHOUSE_API_BASE"], uid=os.urandom(16).hex())
    begun = ("run", {"client_run_id": name, "name": name, "started_at": AT})
    last = ("segment", header(of, n=1, **of_header)), ("metrics", metrics(6)), *records, ("close", {"at": AT})
    lines = [line(n, *one, uid=of.uid) for n, one in enumerate([("segment", header(of)), begun, *last], 1)]
    return session(site.spool, of, lines[:2], lines[2:])


def test_a2_a_deletion_that_was_decided_is_never_undone_in_part(site: Site) -> None:
    _odd(site, "r1")
    site.tracehouse("sync")
    _killed_prune(site, "os.remove", 2)
    tidy([str(site.spool)])
    assert _segments(site) == []  # some of them would be taken for all that there ever was
    assert list(site.spool.glob(".trash/*")) == []


def test_a4_what_was_never_deleted_here_is_not_gone_when_the_server_forgets_it(site: Site, house: House) -> None:
    site.finished_job(_RUN)
    site.tracehouse("sync")
    _killed_prune(site, "os.rename", 1)
    assert list(site.spool.glob("run-*/upload/*/receipt.json"))
    house.stop()
    key = (house.data / "house.key").read_bytes()
    shutil.rmtree(house.data)
    house.data.mkdir(mode=0o700)
    (house.data / "house.key").write_bytes(key)
    house.start()
    site.finished_job(_RUN)
    assert "gone" not in site.tracehouse("sync").stderr
    assert "1 of 1 sessions proven" in site.tracehouse("verify").stdout


def test_a3_a_session_that_makes_no_sense_keeps_no_other_from_its_deletion(site: Site) -> None:
    _odd(site, "text", next_step="x")
    _odd(site, "endless", next_step=float("inf"))
    _odd(site, "junk", ("media", "{oops}"))
    _odd(site, "list", ("media", "[1]"))
    _odd(site, "deep", ("media", _DEEP_RECORD))
    receipts = {"told": '{"next_step": "x", "claim": 1e999, "bytes": []}', "nested": _DEEP}
    told = {name: _odd(site, name) for name in receipts}
    _odd(site, "zz-good")
    site.tracehouse("sync", check=False)
    for name, text in receipts.items():
        (directory,) = (path for path in (told[name] / "upload").iterdir() if path.is_dir())
        (directory / "receipt.json").write_text(text)
    done = site.tracehouse("prune", "--older-than", "0")
    assert _segments(site) == [], done.stdout
    steps = [json.loads(path.read_text())["next_step"] for path in site.spool.glob("run-*/upload/*/receipt.json")]
    assert steps == [7] * 8


def test_a8_a_lease_that_makes_no_sense_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "lease").write_text("[" * 4000)
    with closing(Lease(str(tmp_path))) as lease:
        assert lease.still_ours()


def test_a2_what_a_killed_prune_left_is_seen_to_without_an_agent(alone: Site) -> None:
    for command in ("prune", "sync"):
        segment = _in_trash(alone.spool, f"run-{command}-{'0' * 16}")
        done = alone.tracehouse(command, check=False)
        assert segment.exists(), done.stderr
        assert "is undone" in done.stderr
    assert list(alone.spool.glob(".trash/*")) == []


def test_rm_leaves_nothing_of_a_session_in_the_trash(tmp_path: Path) -> None:
    segment = _in_trash(tmp_path, f"run-a-{'0' * 16}")
    segment.parent.mkdir()
    remove(str(segment.parent))
    assert list(tmp_path.rglob("*")) == [tmp_path / ".trash"]


def test_a2_a_deletion_that_cannot_be_undone_keeps_no_other_from_it(tmp_path: Path) -> None:
    file, directory, fine = (_in_trash(tmp_path, f"run-{name}-{'0' * 16}") for name in "abc")
    file.parent.write_bytes(b"")
    directory.mkdir(parents=True)
    found = {Path(one.session).name[4]: one.trouble for one in tidy([str(tmp_path)])}
    assert fine.is_file()
    assert sorted(found) == ["a", "b", "c"]
    assert found["a"]
    assert found["b"]
    assert not found["c"]


def test_a2_over_its_budget_a_spool_loses_others_where_the_oldest_may_not_be_deleted(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), str(tmp_path / "spool"))
    ledger.put("large", Note(1, 0.0, 0.0, 2_000_000, 3, 0, False))
    ledger.put("small", Note(1, 1.0, 1.0, 1_000, 3, 0, False))
    found = candidates(ledger, older_than=1e12, odo=2.0, over=500, but={"large"}.__contains__)
    assert found == ["small"]


def test_a8_a_session_that_an_agent_is_at_is_kept_for_the_moment_only(alone: Site) -> None:
    path = str(_odd(alone, "r1"))
    with closing(Engine(resolve(environ=alone.environ), alone.environ)) as engine, closing(Lease(path)):
        pruned = prune_session(engine, path)
    assert pruned.kept
    assert pruned.momentary
