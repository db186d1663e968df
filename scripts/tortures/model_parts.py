"""The parts of the state machine that go on over several of its rules: jobs that do what they are told, and a house that is to die."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.support.house import House
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy
from tests.support.servers import Received
from tests.support.workload import Work
from tortures.forked import Crash, Fsynced, Part, Steps
from tortures.names import Names


class Job:
    """A job that does what it is told over a pipe, and answers when it has done it; ``crash``: where it dies as it begins."""

    def __init__(
        self, environ: dict[str, str], ledger: str, name: str, fsynced: Fsynced, names: Names, crash: Crash | None
    ) -> None:
        self._ask, self._told = os.pipe(), os.pipe()

        def main(steps: Steps) -> None:
            names.install()
            steps.end_at(crash)
            work = Work(Ledger(ledger), name, f"t{uuid.uuid4().hex[:6]}", name)
            steps.end_at(None)
            os.write(self._told[1], b".")
            with open(self._ask[0], encoding="ascii") as asked:
                for line in iter(asked.readline, "finish\n"):
                    start, count, flush, at = json.loads(line)
                    steps.end_at(at)
                    work.some(count, start=start)
                    if flush:
                        work.flush()
                    os.write(self._told[1], b".")
            work.finish()

        self.part = Part(main, environ, fsynced)
        os.close(self._ask[0])
        os.close(self._told[1])

    def answers(self) -> bool:
        """That it has begun, or done what it was told; False when it died of it."""
        if os.read(self._told[0], 1):
            return True
        self.end()
        return False

    def log(self, start: int, count: int, crash: Crash | None, flush: bool) -> bool:
        self._tell(json.dumps([start, count, flush, crash]))
        return self.answers()

    def finish(self) -> None:
        self._tell("finish")
        self.end()

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # what it does in the background came to the effect that it dies at
            os.write(self._ask[1], line.encode() + b"\n")

    def end(self) -> None:
        """Also where it is dead already."""
        os.close(self._ask[1])
        os.close(self._told[0])
        code = self.part.wait()
        assert code in (0, -signal.SIGKILL), f"a job ended with {code}"


class Death:
    """The house dies so long, in seconds, after a request reached it, and is started again. ``begun``: held by who lets it, until then."""

    def __init__(self, house: House, after: float, begun: threading.Lock) -> None:
        self._house = house
        self._after = after
        self.begun = begun

    def __call__(self, proxy: Proxy, connection: socket.socket, request: Received) -> bool:
        try:
            with ThreadPoolExecutor(1) as asking:
                asked = asking.submit(proxy.forward, request)
                time.sleep(self._after)
                self._house.kill()
                failed = asked.exception()
            self._house.start()
        finally:
            self.begun.release()
        if isinstance(failed, (OSError, http.client.HTTPException)):
            return False
        connection.sendall(asked.result())
        return True
