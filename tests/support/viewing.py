"""`tracehouse view` as a person runs it, and what a browser of theirs is shown."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from tests.support.home import Home
from tests.support.waiting import wait_until


class Viewed:
    """A running view. ``link`` signs a browser in, once; ``page`` is where that leads."""

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self.process = process
        self._said = said
        self.link = str(wait_until(self._link, what=lambda: f"a link; it said: {self.said()}")[0])
        self.url = self.link.partition("/signin/")[0]
        self.page = httpx.URL(self.link).params["next"]

    def _link(self) -> list[str]:
        assert self.process.poll() is None, self.said()
        return re.findall(r"good for one use: (http://127\.0\.0\.1:\d+/signin/\S+)\n", self.said())

    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    @contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """A browser that is signed in by the link."""
        with httpx.Client(base_url=self.url, timeout=60) as made:
            answer = made.get(self.link)
            assert (answer.status_code, f"url={self.page}" in answer.text) == (200, True)
            yield made

    def end(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def viewed(home: Home, *words: str, **more: str) -> Iterator[Viewed]:
    """``tracehouse view`` of the home's spool, or with these words."""
    said = home.directory / "view.log"
    command = words or (str(home.spool), "--no-browser")
    with open(said, "w", encoding="utf-8") as output:
        process = _start(home, output, command, more)
    try:
        yield Viewed(process, said)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)


def _start(home: Home, output: IO[str], words: tuple[str, ...], more: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tracehoused.cli", "view", *words],
        env={**home.environ, **more},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        text=True,
    )
