"""Runs begun through ``tracehouse.wandb`` in the test's own process, and what they left in its spool."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse.wandb as wandb
from tests.support import jobs
from tracehouse.wandb import current, starting, told

QUIET = {"system_metrics": False, "capture_env": False}


class Place:
    """A spool, and the runs in it."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool

    def begin(self, **kwargs: Any) -> Any:
        """``wandb.init`` without the machine's own records."""
        return wandb.init(**{**QUIET, **kwargs})

    @property
    def session(self) -> Path:
        return jobs.only_session(self.spool)

    def of_type(self, *types: str) -> list[dict[str, Any]]:
        return jobs.of_type(self.session, *types)

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        """(step, values) of each record of metrics."""
        return [(one["step"], one["values"]) for one in self.of_type("metrics")]

    def values(self) -> dict[str, Any]:
        """The last value of each metric."""
        found: dict[str, Any] = {}
        for _, values in self.rows():
            found.update(values)
        return found

    def config(self) -> dict[str, Any]:
        """The config with its changes."""
        found = dict(self.of_type("run")[0].get("config", {}))
        for change in self.of_type("config_patch"):
            found.update(change)
        return found

    def media(self, key: str | None = None) -> list[dict[str, Any]]:
        return [one for one in self.of_type("media") if key in (None, one["key"])]

    def file(self, key: str) -> bytes:
        """The content of the last media of that key."""
        return (self.session / "media" / self.media(key)[-1]["file"]).read_bytes()

    def artifacts(self) -> dict[str, Any]:
        return {one["name"]: one["data"] for one in self.of_type("artifact")}

    def status(self) -> str | None:
        told = [one["status"] for one in self.of_type("run_patch") if "status" in one]
        return told[-1] if told else None


def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """For a fixture: a spool of its own, in a directory of its own, and no run before or after."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(told, "_told", set())
    monkeypatch.setattr(told, "_is_silent", False)
    monkeypatch.setattr(starting, "_key", None)
    yield Place(tmp_path / "spool")
    while starting._begun:
        starting._begun[-1].finish()
    current.put(None)
    jobs.close_all()
