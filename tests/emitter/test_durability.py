"""E2, E3, E5, E6: what log() has returned from is there, whatever comes; the disk never raises; no line is ever broken."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import tracehouse as cm
from tests.support import jobs, lanes
from tests.support.waiting import wait_until


def test_e2_sigkill_after_n_records_leaves_n(tmp_path: Path) -> None:
    job = jobs.run(
        "cm.init(session_id='s')\nfor n in range(1000): cm.log_user(str(n))\nos.kill(os.getpid(), 9)", tmp_path
    )
    assert job.code == -signal.SIGKILL
    assert jobs.texts(jobs.only_session(tmp_path)) == [str(n) for n in range(1000)]


def test_e2_sigkill_at_any_moment_leaves_what_was_told(tmp_path: Path) -> None:
    script = "cm.init(session_id='s')\nn = 0\nwhile True:\n    cm.log_user(str(n)); os.write(1, b'.'); n += 1"
    process = jobs.start(script, tmp_path)
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 1)
    wait_until(lambda: len(os.read(process.stdout.fileno(), 4096)) > 100)  # type: ignore[union-attr]
    process.kill()
    process.communicate()
    said = jobs.texts(jobs.only_session(tmp_path))
    assert len(said) > 100
    assert said == [str(n) for n in range(len(said))]


def test_e2_one_log_is_one_write(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    script = (
        "import os\nimport tracehouse as cm\nrun = cm.init(session_id='s')\nrun.log_user('first')\n"
        "os.write(1, b'begin')\nfor n in range(10): run.log_user('x')\nos.write(1, b'end')\nos._exit(0)"
    )
    import sys

    done = subprocess.run(
        [strace, "-f", "-e", "trace=write,writev,pwrite64", sys.executable, "-c", script],
        env=jobs.environ(tmp_path),
        capture_output=True,
        text=True,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr.lower():
        lanes.require("strace", "strace may not trace here")
    lines = done.stderr.partition('"begin"')[2].partition('"end"')[0].splitlines()
    assert sum('\\"type\\":\\"span\\"' in line or '{\\"crc' in line for line in lines) == 10


def test_e2_flush_and_finish_say_that_it_is_on_the_disk(tmp_path: Path) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path)
    run.log_user("x")
    assert run.flush() is True
    assert run.finish(outcome="good") is True


def test_e2_everything_is_synced_within_seconds_without_being_asked(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    script = "import tracehouse as cm\nrun = cm.init(session_id='s')\nrun.log_user('x')\nprint(flush=True)\ninput()"
    import sys

    trace = tmp_path / "trace"
    process = subprocess.Popen(
        [strace, "-f", "-o", str(trace), "-e", "trace=fdatasync,fsync", sys.executable, "-c", script],
        env=jobs.environ(tmp_path / "spool"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    wait_until(lambda: "fdatasync" in trace.read_text() and "fsync(" in trace.read_text().replace("fdatasync", ""))
    process.communicate("\n")


def test_e2_init_log_and_with_wait_for_no_fsync(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    script = """
import os, sys
import tracehouse as cm
print(os.getpid())
with cm.Run(session_id='s') as run:
    run.log_user('x')
with cm.TrainingRun(client_run_id='r', system_metrics=False, capture_env=False) as run:
    run.log({'a': 1})
    with run.rollout() as t: t.log_user('x')
sys.stdout.flush()
os._exit(0)
"""
    import sys

    done = subprocess.run(
        [strace, "-f", "-o", str(tmp_path / "trace"), "-e", "trace=/sync", sys.executable, "-c", script],
        env=jobs.environ(tmp_path / "spool"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    trace = (tmp_path / "trace").read_text().splitlines()
    assert [line for line in trace if "sync" in line and line.split()[0] == done.stdout.strip()] == []


def _job_on_a_small_disk(spool: Path, limit: int, body: str) -> jobs.Job:
    """RLIMIT_FSIZE gives a short write and then EFBIG, as a full disk gives ENOSPC."""
    return jobs.run(
        f"""
import logging, resource, signal
logging.basicConfig(level='WARNING', format='%(message)s')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = cm.init(session_id='s')
run.log_user('before')
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
{body}
""",
        spool,
    )


def test_e3_a_full_disk_costs_nothing_when_space_returns(tmp_path: Path) -> None:
    job = _job_on_a_small_disk(
        tmp_path,
        4096,
        "for n in range(100): run.log_user(str(n))\nfull = run.flush()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "run.log_user('after')\nprint(full, run.flush())",
    )
    assert job.code == 0, job.err
    assert job.out == "True True\n" or job.out == "False True\n"
    assert sorted(set(jobs.texts(jobs.only_session(tmp_path)))) == sorted(["before", *map(str, range(100)), "after"])


def test_e3_what_a_full_disk_costs_is_counted_and_told(tmp_path: Path) -> None:
    job = _job_on_a_small_disk(
        tmp_path,
        1,
        "text = 'x' * 1_000_000\nfor n in range(20): run.log_user(text)\nfull = run.flush()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "run.log_user('after')\nprint(full, run.flush())",
    )
    assert job.code == 0, job.err
    assert job.out == "False True\n"
    assert "cannot write to the spool" in job.err
    session = jobs.only_session(tmp_path)
    [dropped] = jobs.of_type(session, "dropped")
    kept = [text for text in jobs.texts(session) if len(text) == 1_000_000]
    assert dropped["records"] + len(kept) == 20
    assert sum(dropped["reasons"].values()) == dropped["records"]
    assert set(dropped["reasons"]) <= {"EFBIG", "ENOSPC"}
    assert 4 <= len(kept) <= 8
    assert jobs.texts(session)[0] == "before"
    assert "after" in jobs.texts(session)


def test_e3_what_a_full_disk_costs_at_the_end_of_the_job_is_counted_and_told(tmp_path: Path) -> None:
    """Space never returns, but a count still finds its place."""
    job = _job_on_a_small_disk(tmp_path, 4096, "for n in range(3): run.log_user('x' * 100_000)")
    assert job.code == 0, job.err
    session = jobs.only_session(tmp_path)
    assert jobs.texts(session) == ["before"]
    [dropped] = jobs.of_type(session, "dropped")
    assert dropped["records"] == sum(dropped["reasons"].values()) >= 3
    assert f"{dropped['records']} records could not be written to the spool {tmp_path}" in job.err


def test_e3_at_the_end_it_is_told_how_much_of_what_is_lost_the_spool_tells_itself(tmp_path: Path) -> None:
    """One session's count finds its place, the other's does not: its directory is gone, and a file in its place."""
    job = _job_on_a_small_disk(
        tmp_path,
        4096,
        "for n in range(3): run.log_user('x' * 100_000)\n"
        "import glob, shutil\nother = cm.Run(session_id='other')\n"
        "[place] = glob.glob(os.environ['TRACEHOUSE_SPOOL_DIR'] + '/trace-other-*')\nshutil.rmtree(place)\nopen(place, 'w').close()\n"
        "other.log_user('x')",
    )
    assert job.code == 0, job.err
    [session] = [path for path in jobs.sessions(tmp_path) if path.is_dir()]
    [dropped] = jobs.of_type(session, "dropped")
    [told] = re.findall(
        r"(\d+) records could not .* lost with this process; the spool itself tells of (\d+) of them", job.err
    )
    assert int(told[1]) == dropped["records"]
    assert int(told[0]) - int(told[1]) >= 1


def test_e3_where_not_even_a_count_can_be_written_it_is_told(tmp_path: Path) -> None:
    job = _job_on_a_small_disk(tmp_path, 1, "for n in range(3): run.log_user('x')")
    assert job.code == 0, job.err
    assert jobs.of_type(jobs.only_session(tmp_path), "dropped") == []
    assert re.search(r"[4-9] records could not be written to the spool .* and are lost with this process", job.err)


def test_e3_a_job_that_lost_nothing_says_nothing(tmp_path: Path) -> None:
    job = jobs.run("cm.init(session_id='s'); cm.log_user('x')", tmp_path)
    assert (job.code, job.err) == (0, "")


def test_e3_a_full_file_system(tmp_path: Path) -> None:
    lanes.needs_root()
    lanes.needs_linux()
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,nr_inodes=32", "none", str(mount)]).returncode:
        lanes.require("root", "may not mount here")
    try:
        job = jobs.run(
            "spool = os.environ['TRACEHOUSE_SPOOL_DIR']\nrun = cm.init(session_id='s')\n"
            "for n in range(200): run.log_user(f'{n:0100}')\nfull = run.flush()\n"
            "run.log_attachment('x')\nother = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)\n"
            "other.log({'a': 1, 'i': cm.Image(b'GIF89a' * 9000)})\n"
            "os.unlink(os.path.join(os.path.dirname(spool), 'filler'))\n"
            "run.log_user('after')\nprint(full, run.flush())",
            _filled(mount),
        )
        assert job.code == 0, job.err
        assert job.out == "False True\n"
        found = next(s for s in jobs.sessions(mount / "spool") if s.name.startswith("trace"))
        assert [int(text) for text in jobs.texts(found)[:200]] == list(range(200))
        assert jobs.texts(found)[-1] == "after"
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def _filled(mount: Path) -> Path:
    with open(mount / "filler", "wb") as file:
        file.write(b"\0" * 64 * 1024)
    return mount / "spool"


def test_e3_a_read_only_spool_raises_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o500)
    is_root = os.geteuid() == 0
    if is_root and subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", str(spool)]).returncode:
        lanes.require("root", "may not mount here, and no mode keeps root out")
    try:
        job = jobs.run(
            "run = cm.init(session_id='s')\nrun.log_user('x')\nprint(run.flush(), run.finish())\n"
            "t = cm.init_run(); t.log({'a': 1, 'i': cm.Image(b'GIF89a')}); print(t.finish())",
            spool,
        )
    finally:
        if is_root:
            subprocess.run(["umount", str(spool)], check=True)
    assert job.code == 0, job.err
    assert job.out == "False False\nFalse\n"


def test_e3_a_spool_dir_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(cm.SpoolError, match=f"spool_dir is a file: {file} .name a directory"):
        cm.Run(spool_dir=file)
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(file))
    with pytest.raises(cm.SpoolError, match=f"TRACEHOUSE_SPOOL_DIR is a file: {file} .name a directory"):
        cm.Run()


@pytest.mark.parametrize("text", ["x" * (17 << 20), "日" * 5_600_000, "\ud800" * 2_800_000])
def test_e3_what_is_over_the_limit_of_a_record_is_refused_and_costs_nothing_else(tmp_path: Path, text: str) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path)
    run.log_user("before")
    with pytest.raises(ValueError, match="over the limit"):
        run.log_user(text)
    run.log_user("after")
    run.finish()
    assert jobs.texts(jobs.only_session(tmp_path)) == ["before", "after"]


def test_e3_metrics_are_written_before_their_media_fail(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, capture_env=False, system_metrics=False)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    image, good = cm.Image(picture), cm.Image(b"GIF89a")
    picture.unlink()
    with pytest.raises(cm.MediaUnreadable):
        run.log({"a": 1, "bad": image, "good": good, "b": 2})
    run.finish()
    session = next(s for s in tmp_path.iterdir() if s.name.startswith("run-"))
    assert [one["values"] for one in jobs.of_type(session, "metrics")] == [{"a": 1, "b": 2}]
    assert [one["key"] for one in jobs.of_type(session, "media")] == ["good"]


def test_e5_no_text_breaks_a_line(tmp_path: Path) -> None:
    nasty = ["\ud800", "a\nb\r\u2028\u2029\x85", "\0", "é漢🙂", '"\\', "x" * 100_000]
    run = cm.Run(session_id="s", spool_dir=tmp_path)
    for text in nasty:
        run.log_user(text)
        run.log(kind="tool_use", name=text, attributes={text: text}, parent_span_id=text)
    run.finish()
    session = jobs.only_session(tmp_path)
    spans = jobs.of_type(session, "span")
    assert [span["attributes"]["text"] for span in spans[::2]] == nasty
    assert [span["name"] for span in spans[1::2]] == nasty
    assert jobs.gaps(session) == {}


def test_e5_nan_costs_nothing_beside_it(tmp_path: Path) -> None:
    run = cm.TrainingRun(spool_dir=tmp_path, capture_env=False, system_metrics=False)
    run.log({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 2**60 + 1, "e": object(), "f": {1, 2}, "g": b"x"})
    run.finish()
    [one] = jobs.of_type(jobs.only_session(tmp_path), "metrics")
    tagged = [{"_type": "number", "value": text} for text in ("NaN", "Infinity", "-Infinity")]
    assert [one["values"][key] for key in "abcd"] == [*tagged, 2**60 + 1]
    assert one["values"]["f"] == [1, 2]


def test_e5_every_line_is_plain_json(tmp_path: Path) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path)
    run.log_tool_use("t", {"x": math.nan, "y": {"deep": [math.inf]}, "z": 1 + 2j})
    run.finish(metadata={"reward": math.nan})

    def refuse(name: str) -> None:
        raise AssertionError(name)

    lines = [line for path in jobs.only_session(tmp_path).glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len([json.loads(line, parse_constant=refuse) for line in lines]) > 3


def test_e6_a_key_given_in_code_is_kept_for_the_agent_and_never_in_the_spool(tmp_path: Path) -> None:
    key = "ba_" + "secret" * 5
    job = jobs.run(
        "import logging\nlogging.basicConfig(level='INFO', format='%(message)s')\n"
        f"cm.init(api_key={key!r}, session_id='s')\ncm.log_user('x')\ncm.init_run(api_key={key!r}).log({{'a': 1}})",
        tmp_path / "spool",
        TRACEHOUSE_CONFIG_DIR=str(tmp_path / "config"),
    )
    assert job.code == 0, job.err
    [kept] = [path for path in (tmp_path / "config").iterdir() if path.suffix == ".json"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert key in kept.read_text()
    assert str(kept) in job.err
    assert key not in job.err
    for path in (tmp_path / "spool").rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes()


def test_e6_the_key_is_not_kept_where_that_is_not_wanted(tmp_path: Path) -> None:
    jobs.run(
        "cm.init(api_key='ba_secretsecret', session_id='s')",
        tmp_path / "spool",
        TRACEHOUSE_CONFIG_DIR=str(tmp_path / "config"),
        TRACEHOUSE_SAVE_KEY="0",
    )
    assert not (tmp_path / "config").exists()


def test_s5_everything_is_the_users_own(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        run = cm.TrainingRun(spool_dir=tmp_path / "new" / "spool", capture_env=False, system_metrics=False)
        run.log({"i": cm.Image(b"GIF89a")})
        run.finish()
    finally:
        os.umask(old)
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_s5_the_directories_are_the_users_own_whatever_the_jobs_umask(tmp_path: Path) -> None:
    script = "os.umask(0o177)\nrun = cm.init_run(capture_env=False)\nrun.log_image('i', b'GIF89a')\nprint(run.flush())"
    assert jobs.run(script, tmp_path / "a" / "spool").out == "True\n"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}


def test_e2_without_a_home_all_goes_to_one_place_wherever_the_job_goes(tmp_path: Path) -> None:
    lanes.needs_linux()
    script = """
        os.makedirs(sys.argv[1] + "/elsewhere")
        os.chdir(sys.argv[1])
        run = cm.init_run(capture_env=False, system_metrics=False)
        run.log({"a": 0})
        os.chdir("elsewhere")
        run.log_image("picture", b"GIF89a")
        print(run.finish())
    """
    assert jobs.run(script, "", str(tmp_path), HOME="~", XDG_STATE_HOME="").out == "True\n"
    session = jobs.only_session(tmp_path / "~" / ".local" / "state" / "tracehouse" / "spool")
    assert len(jobs.of_type(session, "metrics")) == len(jobs.of_type(session, "media")) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_info_line_says_where_and_how_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="tracehouse"):
        cm.Run(session_id="s", spool_dir=tmp_path).finish()
    [line] = [one.getMessage() for one in caplog.records if one.levelno == logging.INFO]
    assert str(jobs.only_session(tmp_path)) in line
    assert f"tracehouse sync {tmp_path}" in line


def test_e3_the_limit_of_open_files_raises_nothing(tmp_path: Path) -> None:
    job = jobs.run(
        "import resource\nrun = cm.init(session_id='s')\nrun.log_user('before')\n"
        "held = []\nresource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "try:\n    while True: held.append(os.open('/dev/null', 0))\nexcept OSError: pass\n"
        "other = cm.Run(session_id='t')\nother.log_user('t')\nrun.log_user('x')\n"
        "for fd in held: os.close(fd)\nother.log_user('u')\nprint(run.flush(), other.flush())",
        tmp_path,
    )
    assert job.out == "True True\n", job.err
    said = [jobs.texts(session) for session in jobs.sessions(tmp_path)]
    assert sorted(sorted(texts) for texts in said) == [["before", "x"], ["t", "u"]]


def test_e3_traces_that_live_at_once_have_a_segment_each_where_the_limit_of_open_files_lets_them(
    tmp_path: Path,
) -> None:
    job = jobs.run(
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
        "traces = [cm.Run(session_id=f't{n}') for n in range(200)]\n"
        "for turn in range(3):\n    for one in traces: one.log_user(str(turn))\n"
        "more = [cm.Run(session_id=f'u{n}') for n in range(100)]\n"
        "for one in more: one.log_user('0')\n"
        "print(len(os.listdir('/dev/fd')))",
        tmp_path,
    )
    assert 200 < int(job.out) < 256 + 30, job.err
    sessions = {session.name: session for session in jobs.sessions(tmp_path)}
    texts = [jobs.texts(session) for name, session in sorted(sessions.items())]
    assert sorted(texts) == [["0"]] * 100 + [["0", "1", "2"]] * 200
    assert (
        sum(len(list(session.glob("*.jsonl"))) for session in sessions.values()) <= 300 + 100
    )  # and not one for each record


def test_e3_a_removed_session_directory_is_made_again(tmp_path: Path) -> None:
    import shutil

    run = cm.Run(session_id="s", spool_dir=tmp_path)
    run.log_user("gone")
    run.finish()
    shutil.rmtree(jobs.only_session(tmp_path))
    run.log_user("kept")
    assert run.flush()
    assert jobs.texts(jobs.only_session(tmp_path)) == ["kept"]


def test_s2_what_a_failed_fsync_may_have_lost_is_written_again(tmp_path: Path) -> None:
    strace = lanes.needs_tool("strace")
    script = (
        "import tracehouse as cm\nrun = cm.init(session_id='s')\nfor n in range(10): run.log_user(str(n))\n"
        "print(run.flush(), end=' ')\nrun.log_user('after')\nprint(run.flush())"
    )
    import sys

    done = subprocess.run(
        [strace, "-f", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=2", sys.executable, "-c", script],
        env=jobs.environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False True\n", done.stderr
    assert "cannot write to the spool" in done.stderr
    session = jobs.only_session(tmp_path)
    assert jobs.texts(session) == [*map(str, range(10)), "after"]
    [first, second] = sorted(session.glob("*.jsonl"))
    again = [line for line in second.read_bytes().splitlines() if line in first.read_bytes()]
    assert len(again) >= 10
