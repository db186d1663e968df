"""E2, E3, S3: disks that are full, lose their power, drop what was not fsynced, or return other bytes than were written."""

from __future__ import annotations

import os
import random
import shutil
import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from tests.support import lanes
from tests.support.home import ROOT, Held, Home
from tests.support.house import House
from tests.support.lanes import needs_house
from tests.support.trials import hold
from tortures import calls, damage, full_disk, power_loss, unsynced
from tortures.calls import Call
from tortures.disks import mounted
from tortures.lost_writes import NOTHING, REORDERED, SOME, Disk
from tortures.trial import Unavailable
from tracehouse.spool import layout
from tracehoused.service.pruning import tidy


def test_e3_on_a_full_disk_nothing_is_lost_untold_and_all_goes_on_with_space(tmp_path: Path) -> None:
    hold(lambda trial: full_disk.run(trial, short=1), tmp_path, "root", count=6, seed=13)


_UNTIL_FULL = """
run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
logged = 0
while run.flush():
    run.log({"i": cm.Image(b"GIF89a" + os.urandom(30_000))})
    logged += 1
print(logged)
"""


def test_e3_jobs_that_fill_a_disk_leave_an_agent_the_room_to_empty_it(tmp_path: Path) -> None:
    """Were the last byte theirs, no note could be taken of what is sent, and nothing be deleted, once a server can be reached."""
    needs_house()
    with ExitStack() as stack:
        house = stack.enter_context(House(tmp_path / "data"))
        try:
            disk = stack.enter_context(mounted(tmp_path / "small", "tmpfs", size=16 << 10))
        except Unavailable as reason:
            lanes.require("root", str(reason))
        home = Home(disk.path, house.url).with_key(house.key)
        logged = int(home.job(_UNTIL_FULL))
        assert logged > 100
        assert home.sync().code == 0
        assert home.run("prune", str(home.spool), "--older-than", "0").code == 0
        assert not list(home.spool.glob("*/media/*"))
        with Held(house) as held:
            assert len(held.media("r")) >= logged - 1  # the last one was told not to be kept


@pytest.mark.timeout(900)
def test_e2_what_flush_was_true_for_survives_a_power_failure(tmp_path: Path) -> None:
    """One point for each of ext4's data modes, and xfs."""
    hold(power_loss.run, tmp_path, "root", count=len(power_loss.KINDS), seed=2)


def test_e2_what_flush_was_true_for_needs_nothing_that_was_not_fsynced(tmp_path: Path) -> None:
    """After any system call of a job and of an agent; five mutants that forget an fsync, or do it too late, are caught."""
    hold(unsynced.run, tmp_path, "strace", count=50)


def test_s3_damage_costs_what_it_hits_and_invents_nothing(tmp_path: Path) -> None:
    needs_house()
    hold(damage.run, tmp_path, "house", count=2000, seed=3)


_CALLS = """
import os, sys
at = sys.argv[1]
fd = os.open(f"{at}/file", os.O_RDWR | os.O_CREAT)
os.write(fd, b"what is there")
os.truncate(f"{at}/file", 5)
os.posix_fallocate(fd, 0, 100)
os.pwritev(fd, [b"x"], 3)
os.copy_file_range(fd, fd, 5, 0, 20)
os.symlink("file", f"{at}/link")
"""


def test_row_6_takes_no_call_that_it_does_not_know(tmp_path: Path) -> None:
    """Else what it would have lost is never looked for."""
    (tmp_path / "spool").mkdir()
    command = [sys.executable, "-c", _CALLS, str(tmp_path / "spool")]
    try:
        with pytest.raises(NotImplementedError, match=r"copy_file_range, fallocate, pwritev2?, symlink, truncate"):
            calls.traced(command, dict(os.environ), tmp_path / "calls", tmp_path)
    except Unavailable as reason:
        lanes.require("strace", str(reason))
    disk = Disk("/spool").apply_all([Call("openat", 1.0, 1.0, ("/spool/file",), creates=True)])
    disk.apply_all([Call("write", 1.0, 1.0, ("/spool/file",), b"what is there")])
    with pytest.raises(NotImplementedError, match="O_TRUNC"):
        disk.apply_all([Call("openat", 2.0, 2.0, ("/spool/file",), creates=True, empties=True)])


def _call(at: float, name: str, *names: str, data: bytes = b"", until: float = 0) -> Call:
    paths = tuple(os.path.normpath(f"/disk/{one}") for one in names)
    return Call(name, at, until or at, paths, data, creates=name == "openat")


def _left(calls: list[Call], variant: str, into: Path) -> list[dict[str, bytes]]:
    """Names and data, as failures left them: as many as it takes to meet with all that chance may leave."""
    disk = Disk("/disk").apply_all(calls)
    found = []
    for seed in range(400 if variant == REORDERED else 1):
        left = into / "left"
        disk.leave(left, variant, random.Random(seed))
        found.append({path.name: path.read_bytes() for path in left.iterdir()})
        shutil.rmtree(left)
    return found


def test_row_6_keeps_any_names_that_were_not_fsynced_and_no_half_of_a_rename(tmp_path: Path) -> None:
    calls = [_call(1, "openat", "old"), _call(2, "rename", "old", "new"), _call(3, "openat", "last")]
    names = {"+".join(sorted(left)) for left in _left(calls, REORDERED, tmp_path)}
    assert names == {"", "old", "new", "last", "last+old", "last+new"}


def test_row_6_keeps_any_writes_that_were_not_fsynced_and_any_size(tmp_path: Path) -> None:
    of_file = [_call(1, "openat", "one"), _call(2, "write", "one", data=b"s"), _call(3, "fsync", "one")]
    calls = [*of_file, _call(4, "fsync", "."), *(_call(5 + n, "write", "one", data=b"%d" % n) for n in range(3))]
    assert {left["one"] for left in _left(calls, NOTHING, tmp_path)} == {b"s"}
    kept = {left["one"] for left in _left(calls, REORDERED, tmp_path)}
    zero, one, two = ((b"%d" % n, b"\0") for n in range(3))
    whole = {b"s" + a + b + c for a in zero for b in one for c in two}
    assert kept == {data[:size] for data in whole for size in range(1, 5)}


def test_row_6_keeps_any_pages_of_a_write_that_was_not_fsynced(tmp_path: Path) -> None:
    first, last = b"b" * 3996, b"d" * 10
    of_file = [_call(1, "openat", "one"), _call(2, "write", "one", data=b"a" * 100), _call(3, "fsync", "one")]
    calls = [*of_file, _call(4, "fsync", "."), _call(5, "write", "one", data=first + b"c" * 4096 + last)]
    kept = {left["one"][100:] for left in _left(calls, REORDERED, tmp_path)}
    assert {bytes(3996) + b"c" * 4096 + bytes(10), first + bytes(4096) + last, first + bytes(4096 + 10)} <= kept


def test_row_6_takes_an_fsync_for_what_was_there_when_it_began(tmp_path: Path) -> None:
    """Also of two that overlap."""
    names = [_call(1, "openat", "a"), _call(3, "openat", "b"), _call(5, "openat", "c")]
    calls = [*names, _call(2, "fsync", ".", until=6), _call(4, "fsync", ".", until=7)]
    ordered = sorted(calls, key=lambda call: call.ended)
    assert all(sorted(left) == ["a", "b"] for left in _left(ordered, NOTHING, tmp_path))


def test_row_6_leaves_one_file_for_two_names(tmp_path: Path) -> None:
    calls = [_call(1, "openat", "a"), _call(2, "write", "a", data=b"x" * 10), _call(3, "link", "a", "b")]
    assert all(len(set(left.values())) < 2 for left in _left(calls, REORDERED, tmp_path))


def test_a2_what_is_put_back_from_the_trash_is_there_after_any_failure_and_another_try(tmp_path: Path) -> None:
    """Also where a file system takes the two names of a rename between directories for two changes."""
    spool = tmp_path / "disk" / "spool"
    name = layout.session_dir("run", "r1", "http://127.0.0.1:9", None)
    files = {layout.segment_name("0a1b", 0): b"records", f"{layout.MEDIA}/{'0' * 64}.png": b"a picture"}
    for file, data in files.items():
        path = spool / layout.TRASH / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (spool / name).mkdir()
    before = shutil.copytree(tmp_path / "disk", tmp_path / "before")
    code = f"from tracehoused.service.pruning import tidy; print(tidy([{str(spool)!r}]))"
    try:
        made = calls.traced([sys.executable, "-c", code], dict(os.environ), tmp_path / "calls", ROOT)
    except Unavailable as reason:
        lanes.require("strace", str(reason))
    of_disk = [call for call in made if call.paths and call.paths[0].startswith(str(spool))]
    for end, variant, seed in product(range(len(of_disk) + 1), (SOME, REORDERED), range(4)):
        left = tmp_path / "left"
        Disk(str(tmp_path / "disk"), before).apply_all(of_disk[:end]).leave(left, variant, random.Random(seed))
        tidy([str(left / "spool")])
        session = left / "spool" / name
        held = {file: (session / file).read_bytes() for file in files if (session / file).exists()}
        assert held == files, (end, variant, seed)
        assert not os.listdir(left / "spool" / layout.TRASH), (end, variant, seed)
        shutil.rmtree(left)
