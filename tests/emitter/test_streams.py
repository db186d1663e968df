"""Where a job's standard streams are closed, their numbers are given out again: to nothing of ours."""

from __future__ import annotations

from pathlib import Path

from tests.support import jobs

BEGIN = """
for stream in (0, 1, 2): os.close(stream)
run = cm.init_run(client_run_id='r', capture_env=False, system_metrics=False)
run.log({'a': 1})
run.log_image('i', b'GIF89a')
"""


def test_s3_what_a_library_says_on_a_closed_stream_damages_nothing(tmp_path: Path) -> None:
    job = jobs.run(
        BEGIN
        + """
for stream in (0, 1, 2):
    try:
        os.write(stream, b'NCCL WARN half a line ')
    except OSError:
        pass
    run.log({'a': 2})
""",
        tmp_path,
    )
    assert job.code == 0
    session = jobs.only_session(tmp_path)
    assert [one["values"]["a"] for one in jobs.of_type(session, "metrics")] == [1, 2, 2, 2]
    assert jobs.gaps(session) == {}


def test_e2_what_a_daemon_puts_in_a_closed_streams_place_takes_no_record(tmp_path: Path) -> None:
    job = jobs.run(
        BEGIN
        + """
from tracehouse.spool import liveness
for stream in (0, 1, 2): os.dup2(os.open(os.devnull, os.O_RDWR), stream)
run.log({'a': 2})
writers = os.path.join(os.environ['TRACEHOUSE_SPOOL_DIR'], '.writers')
held = [liveness.read_lock(writers, name[:-5])['held'] for name in os.listdir(writers)]
os._exit(0 if run.flush() and held == [True] else 1)
""",
        tmp_path,
    )
    assert job.code == 0
    session = jobs.only_session(tmp_path)
    assert [one["values"]["a"] for one in jobs.of_type(session, "metrics")] == [1, 2]
