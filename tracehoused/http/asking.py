"""Whether a server takes a key, asked by a request that changes nothing."""

from __future__ import annotations

from tracehoused.http.client import Client
from tracehoused.http.request import Request
from tracehoused.http.retry import Answer, Verdict

__all__ = ["ask_about_key", "speaks"]

_PATIENCE = 10.0  # seconds


def ask_about_key(api_base: str, token: str, *, timeout: float, ca_file: str | None) -> Answer:
    """UNAUTHORIZED: it does not; no status: it could not be asked; ``speaks``: it does. Arguments and errors are those of ``Client``."""
    timeout = min(timeout, _PATIENCE)
    with Client(api_base, token=token, machine_id="doctor", timeout=timeout, ca_file=ca_file) as client:
        return client.send(Request("GET", "/v1/runs", (("limit", "1"),), expect="any"))


def speaks(answer: Answer) -> bool:
    """The server is there, and takes the key; not every one has a list of runs."""
    return answer.verdict is Verdict.ACCEPTED or answer.status in (404, 405)
