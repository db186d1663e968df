"""The agent's metrics in Prometheus' text format: on a loopback port, or in a file for the node exporter's textfile collector."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tracehouse.spool import durable
from tracehoused.config import Settings

__all__ = ["Exposition", "rendered"]

log = logging.getLogger("tracehoused")

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = 2.0


class Exposition:
    """``take`` makes a snapshot (``tracehoused.service.snapshot``). The thread sleeps until somebody asks."""

    def __init__(self, settings: Settings, take: Callable[[], dict[str, Any]]) -> None:
        self._port = settings.metrics_port
        self._file = settings.metrics_file
        self._take = take
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, where that is configured. OSError when the port is taken."""
        if self._port is None:
            return
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._thread = threading.Thread(
            target=self._serve, args=(self._listener,), name="tracehouse-metrics", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        if self._listener is not None:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # macOS does not shut listeners down; closing is enough there
            self._listener.close()
        if self._thread is not None:
            self._thread.join(_SECONDS)

    def publish(self, snapshot: dict[str, Any]) -> None:
        """Write the file, where that is configured. OSError when it cannot be written."""
        if self._file is not None:
            # the collector runs as somebody else, and there is nothing secret in it
            durable.replace(self._file, rendered(snapshot).encode(), str(os.getpid()), 0o644)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with connection:
                    connection.settimeout(_SECONDS)
                    self._answer(connection)
            except OSError:
                continue  # who asked has gone
            except Exception:  # a thread's top: nobody could ask any more
                log.exception("a defect kept the metrics from being told")

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request and len(request) < 16384:
            part = connection.recv(4096)
            if not part:
                return
            request += part
        words = request.split(b"\r\n", 1)[0].split(b" ")
        found = len(words) == 3 and words[0] == b"GET" and words[1].partition(b"?")[0] == b"/metrics"
        body = rendered(self._take()).encode() if found else b"metrics are at /metrics\n"
        status = "200 OK" if found else "404 Not Found"
        head = f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)


def rendered(snapshot: dict[str, Any]) -> str:
    """A snapshot in the text format."""
    return "".join(f"{line}\n" for line in _lines(snapshot))


def _lines(snapshot: dict[str, Any]) -> Iterator[str]:
    yield from _family(
        "sessions", "gauge", "Sessions in the spools, by state.", _labelled("state", snapshot["sessions"])
    )
    yield from _family(
        "records_pending", "gauge", "Records neither acknowledged nor given up.", {"": snapshot["records_pending"]}
    )
    oldest = snapshot["oldest_unacknowledged"]
    yield from _family(
        "oldest_unacknowledged_seconds", "gauge", "Age of the longest wait for an acknowledgement.", {"": oldest or 0}
    )
    yield from _family("dead_letters", "gauge", "Records that were refused.", {"": snapshot["dead_letters"]})
    yield from _family("dropped_records", "gauge", "Records that jobs could not write.", {"": snapshot["dropped"]})
    sizes = {spool["path"]: spool["bytes"] for spool in snapshot["spools"]}
    yield from _family("spool_bytes", "gauge", "Bytes of segments in a spool.", _labelled("spool", sizes))
    yield from _family("records_sent_total", "counter", "Records accepted.", {"": snapshot["records_sent"]})
    yield from _family("bytes_sent_total", "counter", "Bytes of records accepted.", {"": snapshot["bytes_sent"]})
    yield from _family(
        "requests_total", "counter", "Requests by what became of them.", _labelled("outcome", snapshot["requests"])
    )


def _family(name: str, kind: str, told: str, values: dict[str, Any]) -> Iterator[str]:
    yield f"# HELP tracehouse_{name} {told}"
    yield f"# TYPE tracehouse_{name} {kind}"
    for labels, value in values.items():
        yield f"tracehouse_{name}{labels} {value}"


def _labelled(label: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f'{{{label}="{_escaped(name)}"}}': value for name, value in values.items() if name != "total"}


def _escaped(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
