"""A user's place with a spool, keys and an agent's state of its own, where jobs and commands run as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import ready
from tests.support.house import House, all_points, all_spans
from tracehouse.spool import layout

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Home:
    """``directory`` holds everything. ``api_base`` is where its jobs say that they belong."""

    def __init__(self, directory: Path, api_base: str, **more: str) -> None:
        self.directory = directory
        self.spool = directory / "spool"
        self.api_base = api_base
        self.patience = 900.0  # seconds that a command may take
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRACEHOUSE_")},
            "PYTHONPATH": str(ROOT),
            "TRACEHOUSE_API_BASE": api_base,
            "TRACEHOUSE_SPOOL_DIR": str(self.spool),
            "TRACEHOUSE_CONFIG_DIR": str(directory / "config"),
            "TRACEHOUSE_STATE_DIR": str(directory / "state"),
            **more,
        }

    def with_key(self, key: str) -> Home:
        self.environ["TRACEHOUSE_API_KEY"] = key
        return self

    def start_job(self, script: str, *args: str, prefix: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        """Begin a job that has tracehouse as ``cm``; no key is at hand there, as on a cluster's node."""
        code = "import os, sys\nimport tracehouse as cm\n" + textwrap.dedent(script)
        environ = {**self.environ, **more}
        environ.pop("TRACEHOUSE_API_KEY", None) if "TRACEHOUSE_API_KEY" not in more else None
        return subprocess.Popen(
            [*prefix, sys.executable, "-c", code, *args],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def job(self, script: str, *args: str, code: int = 0, **more: str) -> str:
        """Run a job to its end; its output."""
        process = self.start_job(script, *args, **more)
        out, err = process.communicate(timeout=100)
        assert process.returncode == code, err
        return out

    def start(self, *words: str, prefix: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        """Begin a ``tracehouse`` command."""
        return self._begin(ready.COMMANDS, words, prefix, more)

    def run(self, *words: str, prefix: tuple[str, ...] = (), **more: str) -> Done:
        return self._done(self.start(*words, prefix=prefix, **more))

    def run_once(self, *prefix: str, **more: str) -> Done:
        return self._done(self.start_once(*prefix, **more))

    def start_once(self, *prefix: str, **more: str) -> subprocess.Popen[str]:
        """``tracehoused run-once``: a pass of the agent, retention too. ``prefix``: words before the command."""
        return self._begin(ready.AGENT, ("run-once",), prefix, more)

    def _begin(
        self, program: tuple[str, str], words: tuple[str, ...], prefix: tuple[str, ...], more: dict[str, str]
    ) -> subprocess.Popen[str]:
        environ = {**self.environ, **more}
        if not prefix:
            return ready.begin(program, words, environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return subprocess.Popen(
            [*prefix, sys.executable, *program, *words],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _done(self, process: subprocess.Popen[str]) -> Done:
        out, err = process.communicate(timeout=self.patience)
        return Done(process.returncode, out, err)

    def sync(self, *words: str, **more: str) -> Done:
        return self.run("sync", str(self.spool), *words, **more)

    def start_agent(self, **more: str) -> subprocess.Popen[str]:
        environ = {**self.environ, **more}
        with open(self.directory / "agent.log", "ab") as log:
            return ready.begin(ready.AGENT, ["start", "--foreground"], environ, stdout=subprocess.DEVNULL, stderr=log)

    def sessions(self) -> list[Path]:
        return sorted(path for path in self.spool.iterdir() if layout.is_session_dir(path.name))

    def session(self) -> Path:
        [found] = self.sessions()
        return found

    def status(self, **more: str) -> dict[str, Any]:
        """The status of the one session, as ``tracehouse status --json`` tells it."""
        [found] = self.run("status", str(self.spool), "--json", **more).json["sessions"]
        assert isinstance(found, dict)
        return found


class Held:
    """What a house holds, to be compared with what was logged."""

    def __init__(self, house: House, **headers: str) -> None:
        self._client = house.client(**headers)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _pages(self, path: str, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: Any = None
        while True:
            answer = self._client.get(path, params={} if after is None else {"after": after})
            assert answer.status_code == 200, answer.text
            found += answer.json()[name]
            after = answer.json().get("next")
            if after is None:
                return found

    def trace(self, session_id: str) -> dict[str, Any]:
        [found] = [one for one in self._pages("/v1/traces", "traces") if one["session_id"] == session_id]
        return found

    def traces(self, prefix: str = "") -> list[dict[str, Any]]:
        return [one for one in self._pages("/v1/traces", "traces") if one["session_id"].startswith(prefix)]

    def run(self, client_run_id: str) -> dict[str, Any]:
        [found] = [one for one in self._pages("/v1/runs", "runs") if one["client_run_id"] == client_run_id]
        return found

    def runs(self) -> list[dict[str, Any]]:
        return self._pages("/v1/runs", "runs")

    def texts(self, session_id: str) -> list[str]:
        """What a trace's spans say, in order, repeats and all."""
        spans = all_spans(self._client, self.trace(session_id)["id"])
        return [span["attributes"].get("text", span["name"]) for span in spans]

    def points(self, client_run_id: str) -> Counter[tuple[str, Any]]:
        """How often each (key, step) is there."""
        found = all_points(self._client, self.run(client_run_id)["id"])
        return Counter((point[0], point[3]) for point in found)

    def values(self, client_run_id: str, key: str) -> list[Any]:
        """The values of one metric by step."""
        found = all_points(self._client, self.run(client_run_id)["id"], key)
        return [point[4] for point in sorted(found, key=lambda point: point[3])]

    def media(self, client_run_id: str) -> list[tuple[str, Any]]:
        found = self._pages(f"/v1/runs/{self.run(client_run_id)['id']}/media", "media")
        return sorted((one["key"], one["step"]) for one in found)

    def artifacts(self, client_run_id: str) -> list[str]:
        found = self._pages(f"/v1/runs/{self.run(client_run_id)['id']}/artifacts", "artifacts")
        return sorted(one["name"] for one in found)
