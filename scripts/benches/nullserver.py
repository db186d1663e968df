"""A server that takes whatever it is sent, and does nothing with it.

``python -m benches.nullserver [--delay SECONDS] [--digest] [--keep FILE] [--times FILE] [--forward ADDRESS]`` prints its port.
``--digest``: it says that it checks files by their Content-Digest, as a house does. ``--keep`` writes down each request: a line of JSON
(method, target, headers, size, monotonic time of the answer), then the body, media left out. ``--times`` writes down of each request with
spans in it how many they were and the monotonic time (ns) at which it was read. ``--forward`` has a real server answer, over a connection
for each of the client's.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import socket
import threading
import time
from typing import IO, cast

_CAPABILITIES = b'{"media_types":["image","video"],"nonfinite":true,"verify":false,"gzip":false,"content_digest":%s}'
_LARGEST_KEPT = 2 << 20
_ids = itertools.count(1)


def reply_to(method: str, target: str, body: bytes, digest: bool = False) -> bytes:
    path = target.partition("?")[0]
    if method == "GET":
        return _CAPABILITIES % (b"true" if digest else b"false")
    if method == "POST" and path in ("/v1/traces", "/v1/runs"):
        return b'{"id":"null-%d","created":true}' % next(_ids)
    if path.endswith("/_bulk"):
        return b'{"took":1,"errors":false,"items":[]}'
    if path.endswith("/metrics"):
        return b'{"ingested":%d,"dropped":0}' % body.count(b'{"key":')
    return b"{}"


class Null:
    def __init__(self, delay: float, digest: bool, keep: str | None, times: str | None, forward: str | None) -> None:
        self._delay = delay
        self._digest = digest
        self._keep = open(keep, "wb") if keep else None  # noqa: SIM115 - as long as the server
        self._times = open(times, "w", encoding="ascii") if times else None  # noqa: SIM115 - as above
        self._forward = forward.partition("//")[2] if forward else None
        self._lock = threading.Lock()

    def serve(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        onward = http.client.HTTPConnection(self._forward, timeout=60) if self._forward else None
        with connection, connection.makefile("rb", buffering=1 << 18) as file:
            while (request := _read(cast(IO[bytes], file))) is not None:
                method, target, headers, body = request
                if self._times is not None:
                    self._count(body)
                if onward is None:
                    status, reply = 200, reply_to(method, target, body, self._digest)
                    if self._delay:
                        time.sleep(self._delay)
                else:
                    kept = {name: value for name, value in headers.items() if name not in ("host", "content-length")}
                    onward.request(method, target, body or None, kept)
                    answer = onward.getresponse()
                    status, reply = answer.status, answer.read()
                if self._keep is not None:
                    self._write_down(method, target, headers, body)
                head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                connection.sendall(head % (status, len(reply)) + reply)

    def _count(self, body: bytes) -> None:
        assert self._times is not None
        spans = body.count(b'"start_at":')
        if spans:
            with self._lock:
                self._times.write(f"{spans} {time.monotonic_ns()}\n")
                self._times.flush()

    def _write_down(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        assert self._keep is not None
        at = time.monotonic_ns()
        kept = body if len(body) <= _LARGEST_KEPT and "/media" not in target else b""
        line = {"method": method, "target": target, "headers": headers, "size": len(kept), "at": at}
        with self._lock:
            self._keep.write(json.dumps(line).encode() + b"\n" + kept)
            self._keep.flush()


def _read(file: IO[bytes]) -> tuple[str, str, dict[str, str], bytes] | None:
    words = file.readline().split()
    if len(words) != 3:
        return None
    headers = {}
    while (line := file.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
    body = file.read(int(headers.get("content-length", "0")))
    return words[0].decode(), words[1].decode(), headers, body


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--keep")
    parser.add_argument("--times")
    parser.add_argument("--forward")
    chosen = parser.parse_args()
    Null(chosen.delay, chosen.digest, chosen.keep, chosen.times, chosen.forward).serve()
