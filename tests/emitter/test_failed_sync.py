"""S2, E2: what a failed fsync leaves in doubt is written again, or given up and told; never taken for safe."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.support import jobs, lanes
from tracehouse.spool import layout

_SCRIPT = """
import glob, os, threading
import tracehouse as cm

failed = threading.Event()

def unlink(frame, event, _):
    if event == "call" and frame.f_code.co_name == "read_back":
        for path in glob.glob(os.environ["TRACEHOUSE_SPOOL_DIR"] + "/*/*.jsonl"):
            os.unlink(path)
        failed.set()

threading.setprofile(unlink)
run = cm.init(session_id="s")
for n in range(10): run.log_user(str(n))
assert failed.wait(60)
print(run.flush(), end=" ")
run.log_user("after")
print(run.flush())
"""


def test_e2_records_in_doubt_that_cannot_be_read_back_are_told_to_be_lost(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    inject = "inject=fdatasync:error=EIO:when=2"
    done = subprocess.run(
        [strace, "-f", "-o", "/dev/null", "-e", inject, sys.executable, "-c", _SCRIPT],
        env=jobs.environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False True\n", done.stderr
    session = jobs.only_session(tmp_path)
    [dropped] = jobs.of_type(session, "dropped")
    assert dropped["records"] >= 10
    assert set(dropped["reasons"]) == {"EIO"}
    assert jobs.texts(session) == ["after"]


_SYNCED = """
import os
import tracehouse as cm
run = cm.init(session_id="s")
run.log_user("x")
print(run.flush(), run.flush(), run.finish(), len([name for name in os.listdir(run.spool_path) if name.endswith(".jsonl")]))
"""


def test_e2_a_spool_in_a_directory_that_may_not_be_read_is_synced_as_far_as_can_be(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    unreadable = ["-P", str(tmp_path), "-e", "trace=openat", "-e", "inject=openat:error=EACCES"]
    done = subprocess.run(
        [strace, "-f", "-o", "/dev/null", *unreadable, sys.executable, "-c", _SYNCED],
        env=jobs.environ(tmp_path / "spool"),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True True True 1\n", done.stderr


_REFUSED = """
import errno, time
from tracehouse.spool import writer

real, left = os.close, [1, 2]

def close(fd):
    path = os.readlink(f"/proc/self/fd/{fd}") if left else ""
    real(fd)
    if path.endswith(".jsonl"):
        left.pop()
        raise OSError(errno.EDQUOT, "refused")

now = lambda: "2026-01-01T00:00:00.000Z"
writer.writer_of(os.environ["TRACEHOUSE_SPOOL_DIR"], now, segment_bytes=2000)
run = cm.init(session_id="s")
os.close = close
for n in range(20): run.log_user(f"{n} " + "x" * 200)
print(len(left), run.flush(), run.flush())
"""


def test_e3_a_close_that_fails_raises_nowhere_and_its_records_are_written_again(tmp_path: Path) -> None:
    lanes.needs_linux()
    done = jobs.run(_REFUSED, tmp_path)
    assert done.out == "0 False True\n", done.err
    assert "refused" in done.err
    session = jobs.only_session(tmp_path)
    assert [text.split()[0] for text in jobs.texts(session)] == [str(n) for n in range(20)]
    assert not jobs.of_type(session, "dropped")
    lines = b"".join(path.read_bytes() for path in session.glob("*.jsonl")).count(b'"type":"span"')
    assert lines > 20


# where sys.platform says macOS, whose fcntl answers as it does on file systems that know no F_FULLFSYNC
_FULL_SYNC = """
import errno, fcntl

real, answer = fcntl.fcntl, 0

def answering(fd, command, *args):
    if command == fcntl.F_FULLFSYNC:
        raise OSError(answer, os.strerror(answer))
    return real(fd, command, *args)

fcntl.F_FULLFSYNC, fcntl.fcntl, sys.platform = 51, answering, "darwin"
run = cm.init(session_id="s")
for answer in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY, errno.EIO, errno.ENOTSUP):
    run.log_user(errno.errorcode[answer])
    print(run.flush(), end=" ")
"""


def test_e2_where_macos_cannot_sync_to_the_platter_an_fsync_must_do(tmp_path: Path) -> None:
    done = jobs.run(_FULL_SYNC, tmp_path)
    assert done.out == "True True True True False True ", done.err
    session = jobs.only_session(tmp_path)
    assert len(jobs.texts(session)) == 6
    assert not jobs.of_type(session, "dropped")


_PICTURE = """
import os, sys
import tracehouse as cm
run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
picture = run.spool_path + "/media/" + sys.argv[1]
run.log_image("picture", b"GIF89a")
before = os.stat(picture).st_ino
print(run.flush(), os.stat(picture).st_ino == before, end=" ")
kept = os.open(picture, os.O_RDONLY)  # so that its number is not given to the next
print(run.flush(), os.stat(picture).st_ino == before, len(os.listdir(os.path.dirname(picture))))
"""


def test_e2_a_media_file_whose_fsync_failed_is_written_again(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    name = hashlib.sha256(b"GIF89a").hexdigest() + ".gif"
    session = layout.session_dir("run", "r", "https://tracehouse.ai", None)
    failing = ["-P", str(tmp_path / session / "media" / name), "-e", "inject=fdatasync:error=EIO:when=1"]
    done = subprocess.run(
        [strace, "-f", "-o", "/dev/null", *failing, sys.executable, "-c", _PICTURE, name],
        env=jobs.environ(tmp_path, TRACEHOUSE_API_BASE="", TRACEHOUSE_API_KEY="", TRACEHOUSE_ANON=""),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False True True False 1\n", done.stderr
    assert (tmp_path / session / "media" / name).read_bytes() == b"GIF89a"
    assert not jobs.of_type(tmp_path / session, "dropped")
