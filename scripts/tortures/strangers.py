"""Hostile sessions in the soak's spool: nothing outside is changed, read or told because of them."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path

from tests.support.servers import Received
from tortures import hostile_sessions
from tortures.field import Field
from tortures.hostile_sessions import SECRET

__all__ = ["Strangers"]

_AT_ONCE = 8
# looked at again and again these would leave the agents no time
_TOO_LARGE = ("manifest of 1 GB", "segment of 100 MB of NULs", "JSON 10⁶ deep", "lists 10⁶ deep")

# no session of its own, but what all the others lie in
_OF_ALL = "spool of another owner"


class Strangers:
    """``other``: the url of a server that no key may reach. ``here``: what of them lies in the spool."""

    def __init__(self, field: Field, chance: random.Random, other: str) -> None:
        self.here: list[Path] = []
        self._on = field
        self._chance = chance
        self._other = other
        self._outside = field.home.spool.with_name("others") / "outside"  # on the same disk, for hard links
        self._outside.parent.mkdir()
        self._outside.write_bytes(SECRET * 10)
        self._beside = hostile_sessions.beside(self._outside)

    def put(self) -> bool:
        if self._on.cramped:
            return False
        while len(self.here) >= _AT_ONCE:
            _remove(self.here.pop(0))
        kind = self._chance.choice([kind for kind in hostile_sessions.KINDS if kind not in (*_TOO_LARGE, _OF_ALL)])
        where = (self._on.home.spool, self._outside, self._on.home.api_base, self._other)
        with suppress(FileExistsError):  # some have one id always
            before = hostile_sessions.beside(self._outside)
            self.here += hostile_sessions.make(kind, *where, self._chance, self._on.keys[-1])
            after = hostile_sessions.beside(self._outside)
            self._beside.update({name: held for name, held in after.items() if name not in before})
        return True

    def clear(self, received: list[Received]) -> None:
        """Once nothing runs any more they go; nothing outside was changed or read. ``received``: by the other server."""
        for path in [*self.here, *(path for path in self._on.home.spool.iterdir() if path.is_symlink())]:
            _remove(path)
        is_kept = hostile_sessions.beside(self._outside) == self._beside
        self._require(is_kept, "files outside the spool were changed")
        stored = (path for path in self._on.house.data.rglob("*") if path.is_file())
        leaked = [path.name for path in stored if SECRET in path.read_bytes()]
        self._require(not leaked, f"another file's content is in the house's {leaked}")
        keys = self._on.keys
        told = [one.target for one in received if any(k in str(one.headers) or k.encode() in one.body for k in keys)]
        self._require(not told, f"the house's key went to another server: {told[:3]}")

    def _require(self, holds: bool, what: str) -> None:
        self._on.trial.require(holds, self._on.trial.made, what)


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
