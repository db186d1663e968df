"""A session that nobody can make sense of, or that is kept from its reader, costs itself: the others beside it are told of as ever."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.service.support import Site
from tests.support import lanes
from tests.support.segments import AT, EPOCH, header, line, manifest, metrics, session
from tracehouse.spool import layout
from tracehouse.spool.manifest import Manifest
from tracehoused.config import resolve
from tracehoused.identities.credentials import Credential
from tracehoused.upload.deadletter import DeadLetter, DeadLetters
from tracehoused.upload.engine import Destination, Engine
from tracehoused.upload.reader import read_manifest

_DEEP = "[" * 100_000
# a lease is read to its first 4 kB
_DEEP_LEASE = "[" * 4000
_TELLING = ["status", "--json"], ["verify", "--json"]


def _session(site: Site, name: str, *records: tuple[str, object]) -> Path:
    of = Manifest(
        {**manifest("run", name, api_base=site.environ["TRACEHOUSE_API_BASE"]).to_dict(), "uid": os.urandom(16).hex()}
    )
    begun = ("run", {"client_run_id": name, "name": name, "started_at": AT})
    every = [("segment", header(of)), begun, ("metrics", metrics(1)), *records, ("close", {"at": AT})]
    return session(site.spool, of, [line(n, kind, data, uid=of.uid) for n, (kind, data) in enumerate(every, 1)])


def _beside(session: Path, *where: str) -> Path:
    path = session.joinpath(layout.UPLOAD, *where)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _told(site: Site, command: list[str], **how: Any) -> dict[str, dict[str, Any]]:
    """What is told of each session, by its directory."""
    done = _run(site, command, **how)
    assert "Traceback" not in done.stderr, done.stderr
    return {one["session"]: one for one in json.loads(done.stdout)["sessions"]}


def _run(site: Site, command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    program = "from tracehoused.cli.main import tracehouse; tracehouse(prog_name='tracehouse')"
    words = [sys.executable, "-c", program, *command]
    return subprocess.run(words, env=site.environ, capture_output=True, text=True, timeout=90, check=False, **how)


def test_a3_no_session_however_odd_ends_what_is_told_of_the_others(site: Site) -> None:
    for name in ("a", "receipt", "nested", "lease", "z"):
        _session(site, name)
    for name, data in {"junk": "{oops}", "deep": '{"a":' + "[" * 50_000 + "]" * 50_000 + "}"}.items():
        _session(site, name, ("media", data))
    site.tracehouse("sync", check=False)
    paths = {one["id"]: Path(one["session"]) for one in site.sessions()}
    assert len(paths) == 7
    _beside(paths["receipt"], "d", layout.RECEIPT).write_text('{"records":"x"}')
    _beside(paths["nested"], "d", layout.RECEIPT).write_text(_DEEP)
    _beside(paths["lease"], "lease").write_text(_DEEP_LEASE)
    status, proofs = (_told(site, command) for command in _TELLING)
    assert set(status) == set(proofs) == set(map(str, paths.values()))
    for name in ("a", "receipt", "nested", "lease", "z"):
        assert status[str(paths[name])]["uploaded"]
        assert proofs[str(paths[name])]["proven"]
    for name in ("junk", "deep"):
        assert "a media record names no file" in proofs[str(paths[name])]["problems"]
    _beside(paths["lease"], "lease").write_text(_DEEP_LEASE)
    done = _run(site, ["rm", "*", "--yes"])
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(site.spool.glob("run-*"))


def _without_privileges() -> None:
    """Modes are to keep out root, too."""
    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_a3_a_session_that_may_not_be_read_is_told_of_as_such_with_what_helps(alone: Site) -> None:
    if os.geteuid() == 0 and not sys.platform.startswith("linux"):
        lanes.require("linux", "no mode keeps root out here")
    opened = _session(alone, "open")
    closed = _session(alone, "closed")
    closed.chmod(0)
    try:
        for command, field in zip(_TELLING, ("trouble", "problems")):
            told = _told(alone, command, preexec_fn=_without_privileges)
            assert set(told) == {str(opened), str(closed)}
            assert "Permission denied" in str(told[str(closed)][field])
            assert f"chmod -R u+rwX {closed}" in str(told[str(closed)][field])
        done = _run(alone, ["rm", "closed", "--yes"], preexec_fn=_without_privileges)
        assert done.returncode == 1
        assert f"{closed.name} cannot be read" in done.stderr
        done = _run(alone, ["rm", str(closed), "--yes"], preexec_fn=_without_privileges)
        assert done.returncode == 1
        assert "NEVER" not in done.stdout
        assert "cannot be read" in done.stdout
        assert f"chmod -R u+rwX {closed}" in done.stderr
    finally:
        closed.chmod(0o700)
    assert list(closed.glob("*.jsonl"))


def test_s5_rm_says_of_a_session_whose_upload_leads_elsewhere_what_it_can_know(alone: Site, tmp_path: Path) -> None:
    linked = _session(alone, "linked")
    (linked / layout.UPLOAD).symlink_to(tmp_path)
    done = alone.tracehouse("rm", linked.name, "--yes", check=False)
    assert done.returncode == 1
    assert "NEVER" not in done.stdout
    assert "cannot be read: left alone, a link where a directory should be" in done.stdout
    assert f"rm -r {linked}" in done.stderr
    assert list(linked.glob("*.jsonl"))


def test_s5_a_status_is_told_without_the_control_characters_in_it(alone: Site) -> None:
    word = "\x1b]0;owned\x07\nrun  forged  finished"
    _session(alone, "told", ("exit", {"status": word, "at": AT}))
    pruned = _session(alone, "pruned")
    _beside(pruned, "d", layout.RECEIPT).write_text(json.dumps({"status": word}))
    for segment in pruned.glob("*.jsonl"):
        segment.unlink()
    shown = alone.tracehouse("status").stdout
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 3


def _letters(site: Site, session: Path) -> DeadLetters:
    engine = Engine(resolve({}, environ=site.environ), site.environ)
    manifest = read_manifest(str(session))
    credential = engine.known_credential(manifest)
    assert isinstance(credential, Credential)
    return engine.checkpoint(str(session), manifest, Destination.of(credential)).dead


def test_s5_a_spools_dead_letters_are_listed_without_the_control_characters_in_them(alone: Site) -> None:
    hostile = "\x1b]0;owned\x07\nrun-forged  all is well"
    path = _session(alone, "told")
    letters = _letters(alone, path)
    for seq, field in enumerate(("epoch", "type", "at", "reason"), 1):
        letter = DeadLetter(EPOCH, 0, 0, 9, seq, "span", "spans", 400, "no", AT)
        letters.add(replace(letter, **{field: hostile}))  # type: ignore[arg-type]
    told = alone.tracehouse("deadletters", "list").stdout
    assert "\x1b" not in told
    assert [line.split()[:2] for line in told.splitlines()] == [[path.name, f"{EPOCH}-{seq}"] for seq in (2, 3, 4)]


def test_a3_a_session_that_another_agent_has_keeps_nobody_from_the_dead_letters_of_the_others(alone: Site) -> None:
    held, free = _session(alone, "held"), _session(alone, "open")
    for path in (held, free):
        _letters(alone, path).add(DeadLetter(EPOCH, 0, 0, 9, 3, "metrics", "metrics", 400, "no", AT))
    lease = _beside(held, "lease")
    lease.touch()
    lease.write_text(json.dumps({"inode": lease.stat().st_ino, "boot_id": "another", "host": "\x1b]0;owned\x07\nfake"}))
    for command, told in (["export"], str(free)), (["drop", "--yes"], "1 given up"):
        done = alone.tracehouse("deadletters", *command, check=False)
        assert (done.returncode, len(done.stdout.splitlines())) == (1, 1)
        assert told in done.stdout
        assert f"{held.name}: " in done.stderr
        assert "is uploading this session" in done.stderr
        assert "\x1b" not in done.stderr
