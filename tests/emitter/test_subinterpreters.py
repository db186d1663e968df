"""A job in a subinterpreter, which may have no daemon threads, and whose neighbours' frames are not to be touched."""

from __future__ import annotations

from pathlib import Path

from tests.support import jobs


def test_e3_a_job_in_a_subinterpreter_records_and_ends_as_any(tmp_path: Path) -> None:
    job = jobs.run(
        """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
one = interpreters.create()
print(interpreters.run_string(one, '''
import sys
sys.path[:] = %r
import tracehouse as cm
run = cm.init_run(client_run_id="r", capture_env=False, system_metrics=False)
run.log({"a": 1})
assert run.flush()
''' % sys.path))
interpreters.destroy(one)
""",
        tmp_path,
    )
    assert (job.code, job.out, job.err) == (0, "None\n", "")
    session = jobs.only_session(tmp_path)
    assert [one["values"] for one in jobs.of_type(session, "metrics")] == [{"a": 1}]
    assert [one["status"] for one in jobs.of_type(session, "exit")] == ["finished"]
