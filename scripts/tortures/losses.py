"""What the soak's house loses: its key, which is rotated, runs that somebody deletes there, and all that it has."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable

from tests.support.home import Held
from tortures.field import Field

__all__ = ["Losses"]

Later = Callable[[int, Callable[[], None]], None]


class Losses:
    """``later``: have something done after so many blows."""

    def __init__(self, field: Field, chance: random.Random, later: Later) -> None:
        self._on = field
        self._chance = chance
        self._later = later

    def rotate(self) -> None:
        """From now on the house takes another key; who is to have it hears of it later."""
        house = self._on.house
        house.kill()
        (house.data / "house.key").unlink()
        house.start()
        self._later(self._chance.randint(1, 6), self._on.log_in)

    def wipe(self) -> None:
        """All that the house had, and perhaps its key."""
        house = self._on.house
        key = house.key
        house.kill()
        shutil.rmtree(house.data)
        house.data.mkdir(mode=0o700)
        if self._chance.random() < 0.5:
            (house.data / "house.key").write_text(key)
            (house.data / "house.key").chmod(0o600)
        self._on.wiped_at = time.monotonic()
        house.start()
        self._later(self._chance.randint(1, 6), self._on.log_in)

    def delete(self) -> bool:
        """Somebody deletes a run there, with its rollouts."""
        names = {life.name for life in self._on.lives}
        with Held(self._on.house) as there, self._on.house.client() as client:
            runs = {str(one["client_run_id"]): str(one["id"]) for one in there.runs()}
            found = sorted(names.intersection(runs))
            if found:
                name = self._chance.choice(found)
                client.delete(f"/v1/runs/{runs[name]}").raise_for_status()
                self._on.deleted[name] = time.monotonic()
        return bool(found)
