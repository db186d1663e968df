"""Row 4: a disk, or its table of inodes, that is truly full while a job logs and while a sync notes down; then there is space again.

What is lost is told, exactly.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from tests.support import oracle
from tests.support.home import Home
from tests.support.house import House
from tortures import job_errors, places
from tortures.disks import mounted, need
from tortures.trial import Trial

TITLE = "a full disk and a full inode table (tmpfs, ext4), then space again"
COUNT = 80
_SIZE = 32 << 10  # KiB: holds all of it once the filler is gone
_KINDS = (("tmpfs", "bytes"), ("ext4", "bytes"), ("tmpfs", "inodes"), ("ext4", "inodes"))  # taken in turn
_MANY = 60  # points in which a sync meets each of them full
_FULL = "No space left on device"
_JOB = """
import glob, json
place, name, seed, filled_by = sys.argv[2:6]
at, until, count, big = map(int, sys.argv[6:10])

def fill():
    try:
        if filled_by == "bytes":
            with open(f"{place}/filler", "wb", buffering=0) as file:
                while True: file.write(bytes(1024))
        n = 0
        while True:
            os.close(os.open(f"{place}/filler-{n}", os.O_CREAT | os.O_WRONLY)); n += 1
    except OSError:
        pass

def change(n):
    if n == at:
        fill()
        for number in range(big):
            text = f"{number:08}" + "x" * 100_000
            with book.noted("span", name + "-chat", text): work.trace.log_user(text)
        work.media(1_000_000)  # in a file of its own
    if n == until:
        for path in glob.glob(f"{place}/filler*"): os.unlink(path)

if at < 0: fill()
work = Work(book, name, "a", seed)
work.some(count, change)
change(until)
work.some(3, start=count)
for _ in range(3):
    if work.flush(): break
else: sys.exit("no flush succeeded once there was space again")
work.finish()
"""


def run(trial: Trial, short: int = 0) -> None:
    """``short``: how many writes at least must have ended in the middle of a record."""
    need(trial.home, ("tmpfs", "", _SIZE), ("ext4", "", _SIZE))
    found = 0
    full: Counter[str] = Counter()
    with places.a_house(trial) as house:
        for number, chance in trial.points():
            found += _point(trial, house, number, chance, full)
    trial.notes.append(f"{found} segments end in a short write")
    trial.notes.append(
        "full under a sync: " + ", ".join(f"{what} {count} times" for what, count in sorted(full.items()))
    )
    trial.require(
        trial.made < _MANY or len(full) == len(_KINDS), trial.made, f"never full under a sync but {set(full)}"
    )
    trial.require(found >= short, trial.made, f"only {found} writes were short, of {short} at least")


def _point(trial: Trial, house: House, number: int, chance: random.Random, full: Counter[str]) -> int:
    """How many segments end in the middle of a record."""
    kind, filled_by = _KINDS[number % len(_KINDS)]
    count = chance.choice([60, 200, 600])
    at = chance.choice([-1, 0, chance.randrange(count)])
    big = chance.choice([1, 1, 120])  # none of them fits, and all together not into memory
    with mounted(trial.home / str(number), kind, size=_SIZE, inodes=2048) as disk:
        home = places.place(disk.path / "home", house)
        ledger = trial.home / f"{number}.ledger"
        name = f"full-{trial.seed}-{number}"
        until = chance.randrange(max(at, 0), count) + 1
        words = (name, str(number), filled_by, *map(str, (at, until, count, big)))
        process = home.start_job(places.WORK + _JOB, str(ledger), str(disk.path), *words)
        _, err = process.communicate(timeout=100)
        where = f"{kind} filled by {filled_by} from {at} to {until} of {count} and {big}:"
        trial.require(process.returncode == 0, number, f"{where} the job ended with {process.returncode}: {err[-800:]}")
        told = "cannot write to the spool" in err and _FULL in err
        trial.require(told, number, f"{where} no write failed: {err[-800:]}")
        full.update(f"{kind}'s {what}" for what in _sync(trial, number, home, disk.path, chance))
        for losses in job_errors.losses_told(home).values():
            job_errors.check_reasons(trial, number, where, losses, "ENOSPC")
        account = oracle.Account().add(ledger)
        dropped = oracle.dropped_by_session(home.spool)
        found = places.verdict(house, name, account, dropped=sum(dropped.values()))
        lost = Counter(f"{name}-chat" if item[1] == f"{name}-chat" else name for item in found.lost)
        trial.require(lost == dropped, number, f"{where} lost {lost}, and told {dropped}")
        trial.add(number, found, where)
        places.check_verify(trial, number, home)
        return sum(not path.read_bytes().endswith(b"\n") for path in home.spool.glob("*/*.jsonl"))


def _sync(trial: Trial, number: int, home: Home, disk: Path, chance: random.Random) -> list[str]:
    """Once with the disk full, or not, and then until all is there; what was full."""
    found = chance.choice([[], ["bytes"], ["inodes"]])
    for filled_by in found:
        _fill(disk, filled_by)
        done = home.sync(**places.SMALL)
        places.check_sync(trial, number, done, code=None)
        is_told = done.code == 1 and _FULL in done.err
        trial.require(
            is_told, number, f"nothing to note down, with a disk full of {filled_by}: {done.out} {done.err[-800:]}"
        )
        for path in disk.glob("again-*"):
            path.unlink()
    places.check_sync(trial, number, places.sync_until_done(home))
    return found


def _fill(disk: Path, filled_by: str) -> None:
    """With one large file, or with empty ones."""
    try:
        for number in range(1 << 20):
            with open(disk / f"again-{number}", "wb", buffering=0) as file:
                while filled_by == "bytes":
                    file.write(bytes(1024))
    except OSError:
        return
