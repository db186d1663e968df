"""Drains a session with the engine, or posts what was kept of a drain with the client alone: ``python -m benches.drain_work``."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benches.measure import rss_mb
from benches.procs import KEY, serve


def drain(session: str, address: str, state: str, key: str = KEY, profile: str = "") -> dict[str, Any]:
    """All of it, from the beginning, as if no agent had been here; the time is that of the pass alone."""
    from tracehoused.config import resolve
    from tracehoused.upload.engine import Engine, Options

    shutil.rmtree(os.path.join(session, "upload"), ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)
    environ = {
        "TRACEHOUSE_API_BASE": address,
        "TRACEHOUSE_API_KEY": key,
        "TRACEHOUSE_STATE_DIR": state,
        "TRACEHOUSE_CONFIG_DIR": state,
        "HOME": state,
    }
    engine = Engine(resolve(environ=environ), environ, Options(api_base=address))
    sent: list[int] = []
    engine.on_sent(lambda records, size: sent.append(records))
    began, cpu = time.perf_counter(), time.process_time()
    report = _profiled(profile, engine, session) if profile else engine.drain(session)
    taken, burnt = time.perf_counter() - began, time.process_time() - cpu
    engine.close()
    if not report.outcome.complete:
        raise RuntimeError(f"not drained: {report.outcome.trouble}")
    return {"seconds": taken, "cpu": burnt, "records": sum(sent), "batches": len(sent), "peak": rss_mb(peak=True)}


def _profiled(path: str, engine: Any, session: str) -> Any:
    import cProfile

    profiler = cProfile.Profile()
    report = profiler.runcall(engine.drain, session)
    profiler.dump_stats(path)
    return report


def replay(kept: str, address: str) -> dict[str, Any]:
    """The requests that were kept, one after another over one connection."""
    from tracehoused.http.client import Client
    from tracehoused.http.request import Request

    requests = []
    with open(kept, "rb") as file:
        while line := file.readline():
            told = json.loads(line)
            body = file.read(told["size"])
            if told["method"] != "GET":
                headers = told["headers"]
                path = urlsplit(told["target"]).path
                key, covers = headers.get("idempotency-key"), headers.get("x-tracehouse-range")
                requests.append(Request(told["method"], path, body=body, key=key, range=covers, expect="object"))
    with Client(address, token=KEY, machine_id="bench") as client:
        return _post(client, requests)


def media(folder: str, address: str, hashed: bool = False) -> dict[str, Any]:
    """All files in a folder, as media; ``hashed``: each is read and hashed before, as who sends nothing damaged must."""
    from tracehoused.http.client import Client
    from tracehoused.http.request import FileBody, Request

    query = (("key", "picture"), ("media_type", "image"))
    requests = [
        Request("POST", "/v1/runs/x/media", query, FileBody(str(path), path.stat().st_size), "image/png", key=path.name)
        for path in sorted(Path(folder).iterdir())
    ]
    with Client(address, token=KEY, machine_id="bench") as client:
        return _post(client, requests, _hash if hashed else None)


def _hash(request: Any) -> None:
    found, part = sha256(), bytearray(256 * 1024)
    with open(request.body.path, "rb", buffering=0) as file:
        while count := file.readinto(part):
            found.update(memoryview(part)[:count])


def _post(client: Any, requests: list[Any], before: Callable[[Any], None] | None = None) -> dict[str, Any]:
    client.capabilities()
    began, cpu = time.perf_counter(), time.process_time()
    for request in requests:
        if before is not None:
            before(request)
        answer = client.send(request)
        if answer.status is None or answer.status >= 300:
            raise RuntimeError(f"{request.method} {request.path}: {answer.reason}")
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "requests": len(requests),
    }


HANDLERS: dict[str, Any] = {"drain": drain, "replay": replay, "media": media}

if __name__ == "__main__":
    serve(HANDLERS)
