"""What a job under torture logs: a bit of everything, chosen by its seed, each call noted in its ledger."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Callable

import tracehouse as cm
from tests.support.ledger import MARK, Ledger

PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = ("point", "span", "rollout", "media", "artifact", "flush")
_WEIGHTS = (10, 6, 1, 1, 1, 1)


class Work:
    """One run and one trace. ``tag`` tells apart what several processes log to sessions of one name."""

    def __init__(self, book: Ledger, name: str, tag: str, seed: object) -> None:
        self.book = book
        self.name = name
        self.tag = tag
        self.chance = random.Random(f"{seed}")
        self.rollouts: list[str] = []
        book.opened(name, f"{name}-chat")
        self.run = cm.TrainingRun(client_run_id=name, name=name, system_metrics=False, capture_env=False)
        self.trace = cm.Run(session_id=f"{name}-chat")

    def some(self, count: int, before: Callable[[int], object] = lambda n: None, start: int = 0) -> None:
        """Log so many things; ``before`` is called with the number of each."""
        for n in range(start, start + count):
            before(n)
            [kind] = self.chance.choices(_KINDS, _WEIGHTS)
            getattr(self, kind)(n)

    def point(self, n: int) -> None:
        with self.book.noted("point", self.name, self.tag, n, n * 3):
            self.run.log({self.tag: n * 3}, step=n)

    def span(self, n: int) -> None:
        text = f"{self.tag} {n} " + "é" * self.chance.randrange(200)
        with self.book.noted("span", self.trace.session_id, text):
            self.trace.log_user(text)

    def rollout(self, n: int) -> None:
        name = f"{self.name}-{self.tag}-{n}"
        self.rollouts.append(name)
        with self.book.noted("trace", name):
            rollout = self.run.rollout(step=n, session_id=name)
        for number in range(2):
            with self.book.noted("span", name, f"{name} {number}"):
                rollout.log_assistant(f"{name} {number}")
        with self.book.noted("outcome", name, "good"):
            rollout.finish(outcome="good")

    def media(self, n: int) -> None:
        data = PNG + f"{self.name} {self.tag} {n}".encode() * 40
        with self.book.noted("media", self.name, f"{self.tag}/field", n, hashlib.sha256(data).hexdigest()):
            self.run.log_image(f"{self.tag}/field", data, step=n)

    def artifact(self, n: int) -> None:
        data = {"n": n}
        with self.book.noted("artifact", self.name, f"{self.tag}-{n}", json.dumps(data)):
            self.run.add_artifact(f"{self.tag}-{n}", data=data)

    def flush(self, _n: int = 0) -> bool:
        """Both sessions; the ledger notes which of them was True."""
        of_run = self.run.flush()
        self.book.flushed(of_run, self.name, *self.rollouts)
        of_trace = self.trace.flush()
        self.book.flushed(of_trace, self.trace.session_id)
        return of_run and of_trace

    def finish(self) -> None:
        mark, chat = f"{MARK}{self.tag}", self.trace.session_id
        self.book.ended(
            lambda: self.trace.finish(outcome="good", metadata={mark: 1}),
            ("mark", chat, mark),
            ("outcome", chat, "good"),
        )
        self.book.ended(lambda: self._finish_run(mark), ("mark", self.name, mark), ("status", self.name, "finished"))

    def _finish_run(self, mark: str) -> bool:
        self.run.config[mark] = 1
        return self.run.finish()
