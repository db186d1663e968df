"""An interrupt (Ctrl-C, a signal handler that raises) may come between any two steps of a call: none may leave the job hanging."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.support import jobs

# each call may end in an interrupt; the ledger has the steps of those that returned
JOB = """
import json, random, signal

run = cm.TrainingRun(capture_env=False, system_metrics=False)
run.log({"loss": 0}, step=-1)
run.flush()

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
chance, returned, interrupts, step = random.Random(3), [], 0, 0
while interrupts < 1500:
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.0005))
        while True:
            run.flush()
            step += 1
            run.log({"loss": step}, step=step)
            returned.append(step)
    except KeyboardInterrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([returned, step]))
"""


def test_e1_no_interrupt_leaves_a_lock_held_or_takes_what_was_logged(tmp_path: Path) -> None:
    job = jobs.run(JOB, tmp_path)
    assert job.code == 0, job.err
    returned, last = json.loads(job.out)
    session = jobs.only_session(tmp_path)
    steps = Counter(point["step"] for point in jobs.of_type(session, "metrics") if point["step"] >= 0)
    assert set(returned) <= set(steps) <= set(range(1, last + 1))
    assert set(steps.values()) == {1}
