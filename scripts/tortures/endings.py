"""Row 12: every way in which processes begin and end: what was logged by any of them arrives once, and no child ends its parent's run."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
from pathlib import Path

from tests.support import oracle
from tests.support.home import Held, Home
from tests.support.house import House
from tests.support.waiting import wait_until
from tortures import memory, places
from tortures.trial import Trial, Unavailable

TITLE = "fork, spawn, forkserver, threads, atexit, os._exit, KeyboardInterrupt, SIGTERM, no memory, killed for memory"
COUNT = 200
_AT_ONCE = 20
_MEMORY = 64 << 20  # bytes that a job may have more than it had
_KILLED = "killed for memory"
SCRIPT = """
import atexit, multiprocessing, os, signal, sys, threading, time, traceback
import tracehouse as cm
from tests.support.ledger import Ledger
from tests.support.workload import Work

def child(ledger, name, tag):
    book = Ledger(ledger)
    run = cm.attach_run()
    for n in range(20):
        with book.noted("point", name, tag, n, n): run.log({tag: n}, step=n)

def forked(work, tag):
    pid = os.fork()
    if pid == 0:
        try:
            for n in range(20):
                with work.book.noted("point", work.name, tag, n, n): work.run.log({tag: n}, step=n)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def main(ledger, name, how, ending):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where all this runs in a shell's background
    book = Ledger(ledger)
    work = Work(book, name, "main", name)
    work.some(10)
    codes = []
    if how in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(how)
        children = [context.Process(target=child, args=(ledger, name, f"{how}{n}")) for n in range(2)]
        for one in children: one.start()
        work.some(20, start=100)
        for one in children: one.join()
        codes = [one.exitcode for one in children]
    elif how == "os.fork in threads":
        stop = threading.Event()
        def log():
            n = 1_000_000
            while not stop.is_set():
                work.point(n); n += 1
        thread = threading.Thread(target=log); thread.start()
        codes = [forked(work, f"forked{n}") for n in range(3)]
        stop.set(); thread.join()
    elif how == "daemon thread":
        def log():
            n = 1_000_000
            while True:
                work.point(n); n += 1
        threading.Thread(target=log, daemon=True).start()
        work.some(20, start=100)
    elif how == "threads":
        threads = [threading.Thread(target=lambda n=n: [work.point(1000 * n + k) for k in range(30)]) for n in range(1, 5)]
        for one in threads: one.start()
        for one in threads: one.join()
    if any(codes): sys.exit(f"the children ended with {codes}")
    print("ready", flush=True)
    if ending == "os._exit": os._exit(0)
    if ending == "exit in atexit": atexit.register(lambda: (work.point(5000), sys.exit(3)))
    if ending == "log in atexit": atexit.register(lambda: work.some(5, start=5000))
    if ending in ("SIGTERM", "SIGKILL", "KeyboardInterrupt"):
        n = 6000
        try:
            while True:
                work.some(1, start=n); n += 1
        except KeyboardInterrupt:
            work.some(5, start=900000)
            raise
    if ending == "out of memory":
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        held = []
        while True:
            held.append(bytearray(50_000_000)); work.some(1, start=7000 + len(held))
    if ending == "killed for memory":
        with open(os.environ["MEMORY_GROUP"], "w") as file: file.write(str(os.getpid()))
        held = []
        while len(held) < 100:
            held.append(b"x" * 8_000_000); work.some(1, start=7000 + len(held))
        sys.exit("the kernel killed nobody")
    if ending == "raise": raise ValueError("lost")
    if ending == "sys.exit": sys.exit(3)

if __name__ == "__main__":
    main(*sys.argv[1:])
"""
STARTS = ("alone", "fork", "spawn", "forkserver", "os.fork in threads", "daemon thread", "threads")
# a thread that logs while Python ends
_FIRST = [("daemon thread", "end"), ("daemon thread", "log in atexit")]
# the status that the run must end with; by signals, what the agent makes of it
ENDINGS = {
    "end": "finished",
    "os._exit": "crashed",
    "exit in atexit": "finished",
    "log in atexit": "finished",
    "SIGTERM": "crashed",
    "SIGKILL": "crashed",
    "KeyboardInterrupt": "crashed",
    "out of memory": "crashed",
    "killed for memory": "crashed",
    "raise": "crashed",
    "sys.exit": "failed",
}
# how the job itself must end: where several are allowed, Pythons differ
_CODES = {
    "exit in atexit": (0, 3),
    "SIGTERM": (-signal.SIGTERM,),
    "SIGKILL": (-signal.SIGKILL,),
    "KeyboardInterrupt": (-signal.SIGINT,),
    "out of memory": (1,),
    "killed for memory": (-signal.SIGKILL,),
    "raise": (1,),
    "sys.exit": (3,),
}
# what may be the last line of a traceback; a child's would be one too many
_RAISED = {
    "KeyboardInterrupt": "KeyboardInterrupt",
    "out of memory": "MemoryError",
    "raise": "ValueError: lost",
    "exit in atexit": "SystemExit: 3",
}
# what each of a start's children logs 20 points as
_CHILDREN = {
    **{how: [f"{how}{n}" for n in range(2)] for how in ("fork", "spawn", "forkserver")},
    "os.fork in threads": [f"forked{n}" for n in range(3)],
}
_SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL, "KeyboardInterrupt": signal.SIGINT}


def codes(ending: str) -> tuple[int, ...]:
    """How a job with this ending may end."""
    return _CODES.get(ending, (0,))


def run(trial: Trial) -> None:
    """Each start with each ending, all of either early."""
    chosen = list(ENDINGS)
    try:
        with memory.limited(_MEMORY):
            pass
    except Unavailable as reason:
        chosen.remove(_KILLED)
        trial.lacks("root", f"{_KILLED} ({reason})")
    _run(trial, chosen)


def run_killed(trial: Trial) -> None:
    """The one ending that the kernel brings about by itself. Unavailable where it cannot be made to."""
    with memory.limited(_MEMORY):
        pass
    _run(trial, [_KILLED])


def _run(trial: Trial, endings: list[str]) -> None:
    script = trial.home / "job.py"
    script.write_text(SCRIPT)
    with places.a_house(trial) as house:
        home = places.place(trial.home / "home", house)
        made: dict[str, tuple[int, str]] = {}
        pairs = _pairs(endings)
        for number, chance in trial.points():
            name = f"end-{trial.seed}-{number}."
            how, ending = pairs[number % len(pairs)]
            made[name] = (number, f"{how}, {ending}")
            _job(trial, home, number, chance, (str(script), str(_ledger(trial, name)), name, how, ending))
            if len(made) == _AT_ONCE:
                _check(trial, home, house, made)
                made = {}
        if made:
            _check(trial, home, house, made)


def _pairs(endings: list[str]) -> list[tuple[str, str]]:
    """Each start with each ending; early those where the most may go wrong, and all of either."""
    count = math.lcm(len(STARTS), len(endings))  # all of them, as neither number divides the other
    pairs = [(STARTS[n % len(STARTS)], endings[n % len(endings)]) for n in range(count)]
    return list(dict.fromkeys([pair for pair in _FIRST if pair in pairs] + pairs))


def _ledger(trial: Trial, name: str) -> Path:
    return trial.home / f"{name}ledger"


def _job(trial: Trial, home: Home, number: int, chance: random.Random, words: tuple[str, ...]) -> None:
    *_, how, ending = words
    if ending != _KILLED:
        _watch(trial, number, _begin(home, words), chance, words)
        return
    with memory.limited(_MEMORY) as group:
        job = _begin(home, words, MEMORY_GROUP=str(group.procs))
        _watch(trial, number, job, chance, words)
        killed = job.returncode == -signal.SIGKILL and group.kills() == 1
        trial.require(
            killed, number, f"{how}, {ending}: ended with {job.returncode}, the kernel killed {group.kills()}"
        )


def _begin(home: Home, words: tuple[str, ...], **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        env={**{name: value for name, value in home.environ.items() if name != "TRACEHOUSE_API_KEY"}, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _watch(
    trial: Trial, number: int, job: subprocess.Popen[str], chance: random.Random, words: tuple[str, ...]
) -> None:
    """Until its end, which may be of our making."""
    _, path, _, how, ending = words
    assert job.stdout is not None
    ready = job.stdout.readline()
    if ending in _SIGNALS and ready:
        ledger = Path(path)
        size = ledger.stat().st_size
        wanted = chance.randint(1, 20_000)
        wait_until(lambda: ledger.stat().st_size - size > wanted or job.poll() is not None, what="more records")
        job.send_signal(_SIGNALS[ending])
    try:
        _, err = job.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        job.kill()
        raise
    trial.require(ready == "ready\n", number, f"{how}, {ending}: {err[-800:]}")
    trial.require("cannot write" not in err and "deadlock" not in err, number, err[-800:])
    trial.require(
        job.returncode in codes(ending), number, f"{how}, {ending}: ended with {job.returncode}: {err[-800:]}"
    )
    raised = _raised(err)
    own = _RAISED.get(ending)
    trial.require(all(one == own for one in raised), number, f"{how}, {ending}: raised {raised}: {err[-1600:]}")


def _raised(err: str) -> list[str]:
    """The last line of each traceback that was printed: the first that is not indented, nor empty as 3.11's carets of a def are."""
    texts = err.split("Traceback (most recent call last):\n")[1:]
    return [next((line for line in text.splitlines() if line[:1].strip()), "") for text in texts]


def _check(trial: Trial, home: Home, house: House, made: dict[str, tuple[int, str]]) -> None:
    last = max(number for number, _ in made.values())
    places.check_sync(trial, last, places.sync_until_done(home))
    places.check_verify(trial, last, home)
    for name, (number, where) in made.items():
        account = oracle.Account().add(_ledger(trial, name))
        trial.add(number, places.verdict(house, name, account), where)
        _check_children(trial, number, name, account, where)
        with Held(house) as there:
            status = there.run(name)["status"]
        how, _, ending = where.partition(", ")
        # its children end by os._exit: nothing tells such an end from a crash
        wanted = "crashed" if how == "os.fork in threads" else ENDINGS[ending]
        trial.require(status == wanted, number, f"{where}: the run is {status}, not {wanted}")


def _check_children(trial: Trial, number: int, name: str, account: oracle.Account, where: str) -> None:
    """Each of them logged all that it was to log; threads of the job likewise."""
    how = where.partition(", ")[0]
    wanted = {("point", name, tag, n, n) for tag in _CHILDREN.get(how, ()) for n in range(20)}
    if how == "threads":
        wanted = {("point", name, "main", n, 3 * n) for k in range(1, 5) for n in range(1000 * k, 1000 * k + 30)}
    others = {item for item in account.begun if item[0] == "point" and item[2] != "main" and item not in wanted}
    trial.require(wanted <= account.done, number, f"{where}: never logged {sorted(wanted - account.done)[:3]}")
    trial.require(not others, number, f"{where}: nobody was to log {sorted(others)[:3]}")
