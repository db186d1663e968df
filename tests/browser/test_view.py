"""`tracehouse view` as a person has it: the link in a real browser, the job's own page, and what it logs as it comes."""

from __future__ import annotations

from pathlib import Path

from tests.support import lanes
from tests.support.home import Home

lanes.needs_house()
from tests.support.browser import Visitor  # noqa: E402
from tests.support.viewing import viewed  # noqa: E402

JOB = """
    run = cm.init_run(project="p", name="live", client_run_id="live", system_metrics=False)
    run.log({"loss": 1.0}, step=0)
    print("began", flush=True)
    for line in sys.stdin:
        step = int(line)
        run.log({"loss": 1 / (1 + step)}, step=step)
        with run.rollout(step=step) as trace:
            trace.log_user(f"question {step}")
            trace.finish(outcome="good", metadata={"reward": 0.5})
    run.finish()
"""


def test_a_live_job_is_looked_at_in_the_browser(tmp_path: Path) -> None:
    home = Home(tmp_path, "http://127.0.0.1:9")
    visitor = Visitor(lanes.needs_browser(), tmp_path)
    job = home.start_job(JOB)
    assert job.stdout is not None
    assert job.stdin is not None
    assert job.stdout.readline() == "began\n"
    try:
        with viewed(home) as shown:
            visitor.driver.get(shown.link)
            visitor.wait("location.pathname.startsWith('/r/')")
            visitor.wait("document.querySelector('[data-count=points]')?.textContent === '1'")
            job.stdin.write("1\n2\n3\n")
            job.stdin.flush()
            visitor.wait("document.querySelector('[data-count=points]').textContent === '4'")
            visitor.wait("document.querySelector('.chart td.count').textContent === '4'")
            visitor.shot("view-live")
            visitor.find(".tabs a[href$='/rollouts']").click()
            visitor.wait("document.querySelector('.sample')")
            job.stdin.write("4\n")
            job.stdin.flush()
            visitor.wait("document.querySelector('.steps input').value === '4'")
            assert str(home.spool) in visitor.find("header.bar").text
            assert visitor.texts("header.bar nav a") == ["Runs", "Traces"]
            assert visitor.all("button.danger") == []
            job.communicate(timeout=60)
            visitor.wait("document.querySelector('#head .status').textContent === 'finished'")
            assert visitor.troubles() == []
            assert shown.end() == 0
    finally:
        visitor.quit()
        if job.poll() is None:
            job.kill()
