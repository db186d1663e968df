"""Copies of the soak's living spool, synced from another place while it goes on."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.home import Home
from tortures import places
from tortures.field import Field
from tortures.lives import SIGNALS
from tracehouse.spool import layout

__all__ = ["RSYNC", "Copies"]

RSYNC = shutil.which("rsync")
_MOST = 20  # sessions, so that a copy's sync comes to its end


class Copies:
    """One at a time. ``left_out``: what is hostile, since the copy of a hard link is a file like any other, and rightly sent."""

    def __init__(self, field: Field, chance: random.Random, left_out: Callable[[], list[Path]]) -> None:
        self._on = field
        self._chance = chance
        self._left_out = left_out
        self._names: list[str] = []
        self._there: Home | None = None
        self._sync: subprocess.Popen[str] | None = None

    def copy(self) -> None:
        """Some sessions as they are in this moment."""
        self.end()
        self._make("cp", "-a")

    def by_rsync(self) -> None:
        """The same, or over the copy that is there, which is older and has been synced."""
        if self._there is None or self._chance.random() < 0.5:
            self.end()
            self._make("rsync", "-a")
            return
        self._stop()
        self._bring("rsync", "-a", *self._chance.choice([[], ["--delete"], ["--append-verify"]]))

    def _make(self, *command: str) -> None:
        spool = self._on.home.spool
        paths = {path for path in spool.iterdir() if layout.is_session_dir(path.name)} - {*self._left_out()}
        names = sorted(path.name for path in paths if not path.is_symlink())
        self._names = self._chance.sample(names, min(len(names), _MOST))
        self._there = self._on.place(self._on.trial.home / "there")
        self._there.spool.mkdir(0o700)
        self._bring(*command)

    def _bring(self, *command: str) -> None:
        assert self._there is not None
        # files come and go meanwhile
        sources = [str(self._on.home.spool / name) for name in (layout.WRITERS, *self._names)]
        subprocess.run([*command, *sources, str(self._there.spool)], stderr=subprocess.DEVNULL, check=False)
        self._sync = self._there.start("sync", str(self._there.spool), prefix=(), **places.SMALL)

    def _stop(self) -> None:
        """In the middle of what it does, if it is not done."""
        if self._sync is None:
            return
        self._sync.send_signal(self._chance.choice(SIGNALS))
        _, err = self._sync.communicate()
        self._on.trial.require("Traceback" not in err, self._on.trial.made, f"a copy's sync broke off: {err[-800:]}")
        self._sync = None

    def end(self) -> None:
        self._stop()
        if self._there is not None:
            self._on.leave(self._there)
            self._there = None
