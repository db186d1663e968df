"""An interrupt (Ctrl-C, a signal handler that raises) may come between any two steps of a call: none may leave the job hanging."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.support import jobs

# each call may end in an interrupt; the ledger has the steps of those that returned
JOB = """
import json, random, signal, threading

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

def another():
    run.log({"loss": step + 1}, step=step + 1)
    print(json.dumps([[*returned, step + 1], step + 1, run.flush()]))

thread = threading.Thread(target=another)
thread.start()
thread.join()
"""


# so that many interrupts come while one is opened or sealed
SMALL_SEGMENTS = """
from tracehouse.clock import now
from tracehouse.spool.writer import writer_of

writer_of(os.environ["TRACEHOUSE_SPOOL_DIR"], now, segment_bytes=8192)
"""


@pytest.mark.parametrize("script", [JOB, SMALL_SEGMENTS + JOB.replace("            run.flush()\n", "")])
def test_e1_no_interrupt_leaves_a_lock_held_takes_what_was_logged_or_numbers_two_alike(
    tmp_path: Path, script: str
) -> None:
    job = jobs.run(script, tmp_path)
    assert (job.code, job.err) == (0, "")
    returned, last, is_flushed = json.loads(job.out)
    assert is_flushed
    session = jobs.only_session(tmp_path)
    steps = Counter(point["step"] for point in jobs.of_type(session, "metrics") if point["step"] >= 0)
    assert set(returned) <= set(steps) <= set(range(1, last + 1))
    assert set(steps.values()) == {1}


HANDLER = """
import itertools, json, signal

run = cm.TrainingRun(capture_env=False, system_metrics=False)
chat = cm.Run(session_id="chat")
numbers, counts = [itertools.count(1), itertools.count(1)], [0, 0]

def log(who):
    number = next(numbers[who])
    counts[who] = max(counts[who], number)
    run.log({"who": who, "n": number}, step=number)
    chat.log_user(f"{who} {number}")
    if who and number % 100 == 0:
        run.flush()

signal.signal(signal.SIGALRM, lambda *_: log(1))
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
while counts[0] < 4000 or counts[1] < 500:
    log(0)
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([counts, run.flush(), chat.flush()]))
"""


def test_e1_what_a_signal_handler_logs_in_the_middle_of_a_call_is_recorded_once(tmp_path: Path) -> None:
    job = jobs.run(SMALL_SEGMENTS + HANDLER, tmp_path)
    assert (job.code, job.err) == (0, "")
    counts, *flushed = json.loads(job.out)
    assert flushed == [True, True]
    wanted = Counter((who, n) for who in (0, 1) for n in range(1, counts[who] + 1))
    of_run, of_chat = jobs.sessions(tmp_path)
    points = [point["values"] for point in jobs.of_type(of_run, "metrics")]
    assert Counter((values["who"], values["n"]) for values in points) == wanted
    texts = [span["attributes"]["text"] for span in jobs.of_type(of_chat, "span")]
    assert Counter(tuple(map(int, text.split())) for text in texts) == wanted
    for session in (of_run, of_chat):
        seqs = [record.seq for record in jobs.records(session)]
        assert sorted(seqs) == list(range(1, len(seqs) + 1))


LAST_WORDS = """
import json, random, signal

run = cm.TrainingRun(capture_env=False, system_metrics=False)
chance = random.Random(5)

def child(number):
    run.log({"first": number})

    def end(*_):
        run.log({"last": number})
        os._exit(0 if run.flush() else 1)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.001))
    while True:
        run.log({"more": number})

for number in range(100):
    chance.random()
    pid = os.fork()
    if not pid:
        child(number)
    assert os.waitpid(pid, 0)[1] == 0, "flush() was False"
"""


def test_e1_what_a_signal_handler_logged_is_recorded_though_it_ends_the_process(tmp_path: Path) -> None:
    job = jobs.run(LAST_WORDS, tmp_path)
    assert job.code == 0, job.err
    points = [point["values"] for point in jobs.of_type(jobs.only_session(tmp_path), "metrics")]
    for key in ("first", "last"):
        assert Counter(values[key] for values in points if key in values) == Counter(range(100))


WANDB = """
import itertools, json, signal
import tracehouse.wandb as wandb

wandb.init(settings={"x_disable_stats": True})
numbers = itertools.count()
signal.signal(signal.SIGALRM, lambda *_: wandb.log({"handler": next(numbers)}))
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for n in range(10_000):
    wandb.log({"n": n})
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([n + 1, next(numbers)]))
"""


def test_e1_a_signal_handler_may_call_wandb_log_in_the_middle_of_one(tmp_path: Path) -> None:
    job = jobs.run(WANDB, tmp_path)
    assert job.code == 0, job.err
    points = [point["values"] for point in jobs.of_type(jobs.only_session(tmp_path), "metrics")]
    for key, count in zip(("n", "handler"), json.loads(job.out.splitlines()[-1])):
        assert Counter(values[key] for values in points if key in values) == Counter(range(count))
