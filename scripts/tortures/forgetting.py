"""Row 13: sessions that go on after they were pruned, while they are pruned, at a house that lost everything, that deleted them, or
that changed its key."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable

from tests.support import oracle
from tests.support.home import Held
from tests.support.house import House
from tortures import places
from tortures.trial import Trial
from tracehouse.spool.keys import save_key

TITLE = "resume after prune, prune racing a writer, a house wiped, a session deleted there, a key rotated"
COUNT = 100
_JOB = """
work = Work(book, sys.argv[2], sys.argv[3], sys.argv[3])
for line in sys.stdin:
    start, count = map(int, line.split())
    work.some(count, start=start)
    print("done", flush=True)
work.finish()
"""
# the only grace that lets a row of this length see a deletion
_AT_ONCE = {"TRACEHOUSE_RETENTION_GRACE": "0"}


class _Point:
    """One run through its lives. ``expected``: what the house must hold at the end."""

    def __init__(self, trial: Trial, house: House, number: int, chance: random.Random) -> None:
        self.trial, self.house, self.number, self.chance = trial, house, number, chance
        self.home = places.place(trial.home / str(number), house)
        self.log_in()
        self.name = f"forget-{trial.seed}-{number}"
        self.lives = 0
        self.story: list[str] = []
        self.is_deleted = False

    def play(self) -> None:
        acts: list[Callable[[], None]] = [self.live, self.prune, self.race, self.rotate, self.sync]
        self.live()
        for act in self.chance.choices(acts, k=4):
            self.story.append(act.__name__)
            act()
        ending = self.chance.choice([self.nothing, self.wipe, self.delete])
        self.story.append(ending.__name__)
        ending()
        self.live()
        self.judge()

    def log_in(self) -> None:
        """A profile's key may change: what it had acknowledged stays acknowledged."""
        self.home.environ.pop("TRACEHOUSE_API_KEY", None)
        config = self.home.environ["TRACEHOUSE_CONFIG_DIR"]
        save_key(self.house.key, self.house.url, "default", source="login", config_dir=config)

    def nothing(self) -> None:
        """No such end."""

    def _begin(self) -> subprocess.Popen[str]:
        ledger = self.trial.home / f"{self.number}-{self.lives}.ledger"
        self.lives += 1
        return self.home.start_job(places.WORK + _JOB, str(ledger), self.name, f"life{self.lives}")

    def _tell(self, job: subprocess.Popen[str], start: int, count: int) -> None:
        assert job.stdin is not None
        assert job.stdout is not None
        job.stdin.write(f"{start} {count}\n")
        job.stdin.flush()
        assert job.stdout.readline() == "done\n"

    def _end(self, job: subprocess.Popen[str]) -> None:
        kills = self.chance.random() < 0.3
        if kills:
            job.kill()
        _, err = job.communicate(timeout=60)
        self.trial.require(
            kills or job.returncode == 0, self.number, f"a job ended with {job.returncode}: {err[-500:]}"
        )

    def live(self) -> None:
        """A job from its beginning to its end, perhaps with a sync in the middle."""
        job = self._begin()
        self._tell(job, 0, self.chance.randint(5, 40))
        if self.chance.random() < 0.3:
            self.sync()
        self._tell(job, 100, self.chance.randint(5, 40))
        self._end(job)

    def sync(self) -> None:
        places.check_sync(self.trial, self.number, self.home.sync(**places.SMALL), code=None)

    def prune(self) -> None:
        """Upload everything, and delete it here."""
        places.run_once(self.home, **_AT_ONCE)
        places.check_sync(self.trial, self.number, places.run_once(self.home, **_AT_ONCE))

    def race(self) -> None:
        """A job begins, and writes, while an agent deletes."""
        self.sync()
        agents = [self.home.start_agent(**_AT_ONCE)]
        try:
            job = self._begin()
            for start in range(0, 60, 20):
                self._tell(job, start, 20)
            self._end(job)
        finally:
            for agent in agents:
                agent.terminate()
                agent.wait(30)

    def rotate(self) -> None:
        """The house gets another key; the agents, too."""
        self.house.stop()
        (self.house.data / "house.key").unlink()
        self.house.start()
        done = self.home.sync()
        places.check_sync(self.trial, self.number, done, code=None)
        self.log_in()

    def wipe(self) -> None:
        """All is at hand here once more: what was pruned before is lost with the house, so nothing may have been."""
        if any(act in self.story for act in ("prune", "race")):
            return
        self.sync()
        key = (self.house.data / "house.key").read_text()
        self.house.stop()
        shutil.rmtree(self.house.data)
        self.house.data.mkdir(mode=0o700)
        (self.house.data / "house.key").write_text(key)
        (self.house.data / "house.key").chmod(0o600)
        self.house.start()

    def delete(self) -> None:
        """Somebody deletes the run and its trace there: what comes after stays here."""
        self.sync()
        with Held(self.house) as there, self.house.client() as client:
            for run in (one for one in there.runs() if one["client_run_id"] == self.name):
                self.is_deleted = client.delete(f"/v1/runs/{run['id']}").is_success

    def judge(self) -> None:
        where = " → ".join(self.story)
        account = oracle.Account()
        for life in range(self.lives):
            account.add(self.trial.home / f"{self.number}-{life}.ledger")
        done = places.sync_until_done(self.home, tries=3)
        places.check_sync(self.trial, self.number, done, code=None if self.is_deleted else 0)
        if self.is_deleted:
            # the run and its rollouts are gone and stay gone; the trace beside them is whole
            chat = f"{self.name}-chat"
            account.begun, account.done = (
                {one for one in of if one[1] == chat} for of in (account.begun, account.done)
            )
            self.trial.require(done.code == 1, self.number, f"{where}: a deleted run was not told: {done.out[-200:]}")
        self.trial.add(self.number, places.verdict(self.house, self.name, account), f"{where}:")


def run(trial: Trial) -> None:
    for number, chance in trial.points():
        with places.a_house(trial, f"house-{number}") as house:
            _Point(trial, house, number, chance).play()
        shutil.rmtree(trial.home / str(number), ignore_errors=True)
        shutil.rmtree(trial.home / f"house-{number}", ignore_errors=True)
