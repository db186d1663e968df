"""Row 7: segments truncated, with flipped bits, runs of NULs, and lines of other sessions in them."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from pathlib import Path

from tests.support import jobs, oracle
from tests.support.home import Home
from tests.support.house import House
from tortures.trial import Trial
from tracehouse.spool import layout, record
from tracehoused.upload import reader

TITLE = "truncation at every byte, bit flips, NUL fills, foreign lines"
COUNT = 100_000
_SYNCED_EVERY = 10_000
_BYTES = 64 * 1024
_KINDS = 6  # of damage
_JOB = """
from tests.support.ledger import Ledger
book = Ledger(sys.argv[1])
run = cm.TrainingRun(client_run_id=sys.argv[2], name="r", system_metrics=False, capture_env=False)
for n in range(400):
    with book.noted("point", sys.argv[2], "x" * (1 + n % 90), n, n * 3):
        run.log({"x" * (1 + n % 90): n * 3}, step=n)
run.finish()
"""


def run(trial: Trial) -> None:
    spool = trial.home / "spool"
    for name in ("damaged", "foreign"):
        done = jobs.run(_JOB, spool, str(trial.home / f"{name}.ledger"), name, TRACEHOUSE_API_BASE="http://127.0.0.1:9")
        assert done.code == 0, done.err
    session, foreign = (next(spool.glob(f"run-{name}-*")) for name in ("damaged", "foreign"))
    segment = _Segment(session, _only_segment(foreign).read_bytes())
    for number, chance in trial.points():
        data = segment.damaged(number, trial.count, chance)
        segment.check(trial, number, data)
        is_last = number == trial.count - 1
        if number % _SYNCED_EVERY == _SYNCED_EVERY - 1 or is_last or trial.only is not None:
            _sync_damaged(trial, number, spool, segment, data)


def _only_segment(session: Path) -> Path:
    [path] = session.glob("*.jsonl")
    return path


class _Segment:
    """A segment of about 64 KiB as it was written."""

    def __init__(self, session: Path, foreign: bytes) -> None:
        self.path = _only_segment(session)
        name = layout.parse_segment_name(self.path.name)
        assert name is not None
        self.seed = record.checksum_seed(reader.read_manifest(os.fspath(session)).uid, name.epoch)
        self.whole = self.path.read_bytes()
        self.lines = self.whole.split(b"\n")[:-1]
        self.known = Counter(self.lines)
        self.foreign = foreign.split(b"\n")[1:-1]
        self.scratch = self.path.with_suffix(".scratch")
        assert len(self.whole) < 2 * _BYTES

    def damaged(self, number: int, count: int, chance: random.Random) -> bytes:
        """Point N of the first bytes is the truncation there; the rest are by chance, up to three at once. Where there are fewer points
        than bytes every other one is a truncation, at places far and wide."""
        size = len(self.whole)
        few = count < size
        if few and number % 2 == 0:
            return self.whole[: number * size // count]
        if not few and number < size:
            return self.whole[:number]
        data = bytearray(self.whole)
        self._hurt(data, number // 2 % _KINDS, chance)
        for _ in range(chance.randrange(3)):
            self._hurt(data, chance.randrange(_KINDS), chance)
        return bytes(data)

    def _hurt(self, data: bytearray, kind: int, chance: random.Random) -> None:
        at = chance.randrange(len(data)) if data else 0
        if kind == 0:
            data[at : at + 1] = bytes([data[at] ^ (1 << chance.randrange(8))]) if data else b""
        elif kind == 1:
            data[at : at + chance.randint(1, 5000)] = b"\0" * chance.randint(1, 5000)
        elif kind == 2:
            start = data.rfind(b"\n", 0, at) + 1
            data[start:start] = chance.choice(self.foreign) + b"\n"
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + chance.randint(1, 300)]
        else:
            data[at:at] = chance.randbytes(chance.randint(1, 300))

    def check(self, trial: Trial, number: int, data: bytes) -> None:
        """Exactly the lines that are whole are read, and no other."""
        self.scratch.write_bytes(data)
        fd = os.open(self.scratch, os.O_RDONLY)
        try:
            result = reader.Scan(0)
            found = [data[one.start : one.end - 1] for one in reader.scan(fd, self.seed, 0, len(data), result)]
        finally:
            os.close(fd)
        whole = self.intact(data)
        read, wanted = Counter(found), Counter(whole)
        verdict = oracle.Verdict(
            len(whole), [(line,) for line in wanted - read], [], [(line,) for line in read - wanted]
        )
        trial.add(number, verdict)
        covered = sum(len(line) + 1 for line in found) + result.damaged_bytes + result.tail
        trial.require(covered == len(data), number, f"{covered} of {len(data)} bytes accounted for")

    def intact(self, data: bytes) -> list[bytes]:
        """The lines that are as they were written."""
        return [line for line in data.split(b"\n")[:-1] if line in self.known]


def _sync_damaged(trial: Trial, number: int, spool: Path, segment: _Segment, data: bytes) -> None:
    """The same through the real sync: the house holds what is whole, and all of the session beside it."""
    session = segment.path.parent.name
    place = trial.home / f"synced-{number}"
    with House(_made(place / "house") / "data") as house:
        home = Home(_made(place / "home"), house.url).with_key(house.key)
        shutil.copytree(spool, home.spool)
        for scratch in home.spool.glob("*/*.scratch"):
            scratch.unlink()
        (home.spool / session / segment.path.name).write_bytes(data)
        account = oracle.Account().add(trial.home / "damaged.ledger").add(trial.home / "foreign.ledger")
        wanted = oracle.in_spool(home.spool)
        done = home.sync("--api-base", house.url, "--close-dead")
        trial.require("Traceback" not in done.err, number, done.err[-500:])
        with house.client() as client:
            held = oracle.in_house(client)
        account.done = set(wanted)
        trial.add(number, oracle.judge(account, held), "synced:")
        lost = len(data) - sum(len(line) + 1 for line in segment.intact(data))
        _check_verify(trial, number, home, {"damaged": lost, "foreign": 0})
    shutil.rmtree(place)


def _check_verify(trial: Trial, number: int, home: Home, lost: dict[str, int]) -> None:
    """All is proven but for so many bytes of each session, of which that is said."""
    done = home.run("verify", str(home.spool), "--json", "--api-base", home.api_base)
    told = {one["id"]: one["problems"] for one in done.json["sessions"] if one["asked"]}
    for name, size in lost.items():
        problems = told.get(name, ["nothing is said of it"])
        agrees = len(problems) == bool(size) and all(one.startswith(f"{size:,} bytes of segment") for one in problems)
        trial.require(agrees, number, f"synced: {size} bytes of {name} are damaged, and verify says {problems}")


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
