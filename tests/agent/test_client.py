"""A4 and A1 at the network's edge: whatever happens there becomes an answer, and what was asked for goes out byte for byte."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lanes import needs_tool
from tests.support.servers import Received, Server, raw, reply, serving
from tracehoused.exceptions import AddressError, BodyError, ConfigError, CredentialError
from tracehoused.http.capabilities import BASE_PROTOCOL, Capabilities
from tracehoused.http.client import Client, Pace
from tracehoused.http.request import FileBody, Request, api_path
from tracehoused.http.retry import Verdict

POST = Request("POST", "/v1/spans", body=b'{"spans":[]}')


def client(server: Server | str, **options: object) -> Client:
    url = server if isinstance(server, str) else server.url
    told: dict[str, object] = {"token": "ba_secret", "machine_id": "gpu7-linux", "timeout": 5.0}
    return Client(url, **{**told, **options})  # type: ignore[arg-type]


def test_the_headers_are_those_of_the_wire_protocol() -> None:
    request = Request(
        "POST",
        api_path("v1", "runs", "r/1", "metrics"),
        body=b"{}",
        key="k-1",
        range="u/e-0:1-9",
        attempt=2,
        expect="metrics:0",
    )
    with serving(reply(200, b'{"ingested":0,"dropped":0}')) as server:
        with client(server, hostname="gpu7", agent_version="1.0") as sender:
            assert sender.send(request).verdict is Verdict.ACCEPTED
        got = server.received[0]
    assert (got.method, got.target, got.body) == ("POST", "/v1/runs/r%2F1/metrics", b"{}")
    assert got.headers == {
        "host": server.url.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": got.headers["user-agent"],
        "authorization": "Bearer ba_secret",
        "x-claude-monitor-machine-id": "gpu7-linux",
        "x-claude-monitor-hostname": "gpu7",
        "x-claude-monitor-agent-version": "1.0",
        "content-type": "application/json",
        "content-length": "2",
        "idempotency-key": "k-1",
        "x-tracehouse-range": "u/e-0:1-9",
        "x-tracehouse-attempt": "2",
    }


def test_what_was_left_out_has_no_header_and_a_get_no_body() -> None:
    with serving(reply(200)) as server, client(server, token=None) as sender:
        sender.send(Request("GET", "/v1/x"))
        got = server.received[0].headers
    assert not {"authorization", "content-type", "idempotency-key", "x-claude-monitor-hostname"} & set(got)


def test_a12_one_connection_speaks_for_many_machines() -> None:
    with serving(reply(200)) as server, client(server) as sender:
        for machine in ("a", "b", "c"):
            sender.speaking_for(machine_id=machine, hostname=machine).send(POST)
        assert [got.headers["x-claude-monitor-machine-id"] for got in server.received] == ["a", "b", "c"]
        assert server.connections == 1


@pytest.mark.parametrize(
    "name,sent",
    [
        ("rechenknecht-ü", "rechenknecht-ü"),
        ("ホスト", "%E3%83%9B%E3%82%B9%E3%83%88"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil: 1"),
        ("\ud800", "%ED%A0%80"),
        (" padded ", "%20padded%20"),
    ],
)
def test_s5_any_machine_name_fits_into_a_header(name: str, sent: str) -> None:
    with serving(reply(200)) as server, client(server, machine_id=name, hostname=name) as sender:
        assert sender.send(POST).verdict is Verdict.ACCEPTED
        got = server.received[0].headers
    assert got["x-claude-monitor-machine-id"] == got["x-claude-monitor-hostname"] == sent
    assert "x-evil" not in got


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_s5_no_text_makes_a_request_raise(name: str, value: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    sender = client("http://h", machine_id=name, hostname=value, transport=httpx.MockTransport(answer))
    request = Request("POST", api_path("v1", name), query=((name, value),), body=b"", key=value, range=name)
    assert sender.send(request).verdict is Verdict.ACCEPTED
    assert seen[0].url.path.startswith("/v1/")
    assert seen[0].url.raw_path.count(b"/") == 2


def test_the_query_is_form_encoded() -> None:
    with serving(reply(200)) as server, client(server) as sender:
        sender.send(Request("POST", "/v1/m", query=(("key", "a b&c/é"), ("step", "1")), body=b"x"))
        assert server.received[0].target == "/v1/m?key=a+b%26c%2F%C3%A9&step=1"


def test_an_api_base_may_have_a_path_and_an_ipv6_address() -> None:
    try:
        context = serving(reply(200), host="::1")
        server = context.__enter__()
    except OSError:
        pytest.skip("[ipv6] this machine has no IPv6 loopback")
    try:
        with client(server.url + "/prefix/") as sender:
            assert sender.send(POST).verdict is Verdict.ACCEPTED
        assert server.received[0].target == "/prefix/v1/spans"
        assert server.received[0].headers["host"].startswith("[::1]:")
    finally:
        server.stop()


@pytest.mark.parametrize(
    "address", ["ftp://x", "host:80", "http://", "http://u:p@h", "http://h:99999", "http://h/\x00"]
)
def test_an_api_base_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(AddressError) as caught:
        client(address)
    assert caught.value.address == address


def test_a_key_no_header_can_carry_is_refused_at_once() -> None:
    with pytest.raises(CredentialError, match="characters") as caught:
        client("http://h", token="ba_x\r\nX: y")
    assert "ba_x" not in str(caught.value)


def hang_up(_: socket.socket, __: Received) -> bool:
    return False


def drip_headers(connection: socket.socket, _: Received) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    return _drip(connection)


def drip_body(connection: socket.socket, _: Received) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    return _drip(connection)


def _drip(connection: socket.socket) -> bool:
    never = threading.Event()
    while True:
        connection.sendall(b" ")
        never.wait(0.02)


@pytest.mark.parametrize(
    "behave",
    [
        hang_up,
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}"),
        raw(b"HTTP/1.1 2"),
        raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(b"\x00\xff" * 1000),
        raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000),
        drip_headers,
        drip_body,
        reply(200, b"<html>Please log in to the hotel's network</html>", "Content-Type: text/html"),
        reply(200, gzip.compress(b"{}"), "Content-Encoding: gzip"),
        reply(200, b" " * (1 << 20) + b"{}"),
        reply(503, b"", "Retry-After: 2"),
    ],
    ids=lambda behave: getattr(behave, "__name__", None) if getattr(behave, "__name__", "") != "behave" else None,
)
def test_a4_trouble_on_the_way_is_an_answer_to_retry(behave: object) -> None:
    with serving(behave) as server, client(server, timeout=0.5) as sender:  # type: ignore[arg-type]
        answer = sender.send(POST)
    assert answer.verdict is Verdict.RETRY
    assert answer.reason
    assert answer.outage


def test_a4_nobody_there_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://no-such-host.invalid"):
        answer = client(url).send(POST)
        assert (answer.verdict, answer.status) == (Verdict.RETRY, None)
        assert "Error" in answer.reason


def test_a1_applied_and_the_reply_lost_is_sent_again_the_same() -> None:
    request = Request("POST", "/v1/spans", body=b'{"spans":[1]}', key="k", range="u/s:1-2")
    with serving(hang_up, reply(200)) as server, client(server) as sender:
        assert sender.send(request).verdict is Verdict.RETRY
        assert sender.send(request).verdict is Verdict.ACCEPTED
        first, second = server.received
    assert first == second


def test_a_connection_closed_while_idle_is_opened_again() -> None:
    closed = threading.Event()

    def once(connection: socket.socket, request: Received) -> bool:
        reply(200)(connection, request)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()
        return False

    with serving(once, reply(200)) as server, client(server) as sender:
        assert sender.send(POST).verdict is Verdict.ACCEPTED
        assert closed.wait(60)
        assert sender.send(POST).verdict is Verdict.ACCEPTED
        assert server.connections == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a4_a_redirect_is_never_followed(status: int) -> None:
    with serving(reply(200)) as target, serving(reply(status, b"", f"Location: {target.url}/v1/spans")) as server:
        answer = client(server).send(POST)
        assert answer.verdict is Verdict.MISCONFIGURED
        assert target.url in answer.reason
        assert target.received == []


def test_e6_a_key_sent_back_by_the_server_is_not_in_the_reason() -> None:
    with serving(reply(400, b'{"detail":"bad key ba_secret"}')) as server:
        answer = client(server).send(POST)
    assert "ba_secret" not in answer.reason


def test_chunked_replies_and_interim_answers_are_read() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with serving(raw(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + chunked)) as server:
        assert client(server).send(POST).verdict is Verdict.ACCEPTED


def test_requests_share_one_connection() -> None:
    with serving(reply(200)) as server, client(server) as sender:
        for body in (b"{}", b"x" * (1 << 20), b""):
            assert sender.send(Request("POST", "/v1/spans", body=body)).verdict is Verdict.ACCEPTED
        assert server.connections == 1
        assert [len(got.body) for got in server.received] == [2, 1 << 20, 0]


def test_a_client_can_be_shared_by_threads() -> None:
    verdicts: list[Verdict] = []
    with serving(reply(200)) as server, client(server) as sender:

        def work() -> None:
            verdicts.extend(sender.send(POST).verdict for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert verdicts == [Verdict.ACCEPTED] * 160


def test_a_file_is_streamed_with_its_length(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(os.urandom(3_000_001))
    body = FileBody(str(path), 3_000_001)
    request = Request("POST", "/v1/runs/r/media", body=body, content_type="video/mp4")
    with serving(reply(200)) as server, client(server) as sender:
        for _ in range(2):
            assert sender.send(request).verdict is Verdict.ACCEPTED
        for got in server.received:
            assert got.body == path.read_bytes()
            assert got.headers["content-type"] == "video/mp4"
            assert "transfer-encoding" not in got.headers
        assert server.connections == 1


def test_s5_only_a_regular_file_of_the_right_size_is_sent(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("good")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dir").mkdir()
    bodies = [FileBody(str(tmp_path / name), 5) for name in ("missing", "link", "pipe", "dir")]
    bodies += [FileBody(str(tmp_path / "good"), size) for size in (4, 6)]
    with serving(reply(200)) as server, client(server) as sender:
        for body in bodies:
            with pytest.raises(BodyError) as caught:
                sender.send(Request("POST", "/v1/m", body=body))
            assert caught.value.path == body.path
        assert sender.send(POST).verdict is Verdict.ACCEPTED
        assert [got.target for got in server.received] == ["/v1/spans"]
        assert server.connections == 1


def test_s5_of_a_file_with_another_content_the_last_bytes_are_never_sent(tmp_path: Path) -> None:
    held = os.urandom(3_000_001)
    (tmp_path / "good").write_bytes(held)
    (tmp_path / "bad").write_bytes(bytes([held[0] ^ 1]) + held[1:])
    name = sha256(held).hexdigest()
    with serving(reply(200)) as server, client(server) as sender:
        with pytest.raises(BodyError) as caught:
            sender.send(Request("POST", "/v1/m", body=FileBody(str(tmp_path / "bad"), len(held), sha256=name)))
        assert caught.value.path == str(tmp_path / "bad")
        good = Request("POST", "/v1/m", body=FileBody(str(tmp_path / "good"), len(held), sha256=name))
        assert sender.send(good).verdict is Verdict.ACCEPTED
        assert [got.body for got in server.received] == [held]


def test_s5_a_server_that_checks_files_is_told_their_digest_and_its_word_on_one_is_the_files(tmp_path: Path) -> None:
    name = sha256(b"what it was").hexdigest()
    (tmp_path / "bad").write_bytes(b"what it is!")
    able = reply(200, b'{"content_digest":true}')
    with serving(able, reply(400, b'{"reason":"content_digest"}'), reply(200)) as server, client(server) as sender:
        sender.capabilities()
        with pytest.raises(BodyError) as caught:
            sender.send(Request("POST", "/v1/m", body=FileBody(str(tmp_path / "bad"), 11, sha256=name)))
        assert caught.value.path == str(tmp_path / "bad")
        assert sender.send(POST).verdict is Verdict.ACCEPTED
        digest = base64.b64encode(bytes.fromhex(name)).decode()
        assert server.received[1].headers["content-digest"] == f"sha-256=:{digest}:"
        assert server.connections == 1


def still_open(fd: int, path: Path) -> bool:
    """Whether that number still stands for that file: another may have got it since."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def test_a_file_opened_by_the_caller_is_closed_here(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    opened: list[int] = []

    def opener() -> int:
        opened.append(os.open(path, os.O_RDONLY))
        return opened[-1]

    with serving(reply(200)) as server, client(server) as sender:
        sender.send(Request("POST", "/v1/m", body=FileBody("clip", 5, opener)))
        assert server.received[0].body == b"12345"
    client(server).send(Request("POST", "/v1/m", body=FileBody("clip", 5, opener)))
    assert not [fd for fd in opened if still_open(fd, path)]


def test_a_refusal_before_the_body_was_read_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(20_000_000))
    released = threading.Event()

    def refuse(connection: socket.socket, request: Received) -> bool:
        reply(413, b'{"reason":"size"}')(connection, request)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass
        released.set()
        return False

    with serving(refuse, read_bodies=False) as server, client(server) as sender:
        answer = sender.send(Request("POST", "/v1/m", body=FileBody(str(path), 20_000_000)))
    assert answer.status == 413


def capabilities_after(*answers: object, **options: object) -> tuple[Capabilities, int]:
    with serving(*answers) as server, client(server, **options) as sender:  # type: ignore[arg-type]
        sender.capabilities()
        return sender.capabilities(), len(server.received)


def test_capabilities_are_asked_for_once() -> None:
    full = b'{"media_types":["image","audio"],"nonfinite":true,"verify":true,"gzip":true,"later":1}'
    assert capabilities_after(reply(200, full)) == (Capabilities(("image", "audio"), True, True, True), 1)
    assert capabilities_after(reply(404, b"")) == (BASE_PROTOCOL, 1)
    assert capabilities_after(reply(200, b'{"media_types":7,"gzip":"yes"}')) == (BASE_PROTOCOL, 1)


@pytest.mark.parametrize("answer", [reply(503), reply(401), hang_up, reply(200, b"<html>hotel</html>")])
def test_capabilities_that_could_not_be_asked_for_are_not_taken_for_the_base_protocol(answer: object) -> None:
    found, asked = capabilities_after(answer)
    assert not found.known
    assert asked == 2


def test_a_server_that_answers_every_path_with_a_page_speaks_the_base_protocol_once_it_is_known_to_be_one() -> None:
    page = reply(200, b"<html>the app</html>")
    with serving(page, reply(200), page) as server, client(server) as sender:
        assert not sender.capabilities().known
        assert sender.send(POST).verdict is Verdict.ACCEPTED
        assert sender.capabilities() == BASE_PROTOCOL


def zipping(seen: list[httpx.Request], *, zips: bool) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"gzip": zips})

    return httpx.MockTransport(answer)


def test_requests_are_gzipped_only_where_the_server_says_so() -> None:
    body = b'{"spans":[]}' + b" " * 5000
    for zips in (True, False):
        seen: list[httpx.Request] = []
        sender = client("https://far.example", transport=zipping(seen, zips=zips))
        request = Request("POST", "/v1/spans", body=body)
        sender.send(request)
        sender.capabilities()
        for _ in range(2):
            sender.send(request)
        sender.send(Request("POST", "/v1/m", body=body, content_type="image/png"))
        before, _, first, second, image = seen
        assert before.content == image.content == body
        assert first.content == second.content
        assert first.headers.get("content-encoding") == ("gzip" if zips else None)
        assert (gzip.decompress(first.content) if zips else first.content) == body


def test_an_anonymous_session_is_asked_for_without_any_identity() -> None:
    with serving(reply(200, b'{"token":"anon_x"}')) as server, client(server, hostname="gpu7") as sender:
        answer = sender.anonymous_session()
        got = server.received[0]
    assert answer.body == {"token": "anon_x"}
    assert (got.method, got.target, got.body) == ("POST", "/v1/anon/session", b"{}")
    assert not [name for name in got.headers if name.startswith("x-") or name == "authorization"]


def test_a_speed_limit_is_kept_over_all_requests() -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    pace = Pace(100_000, clock=lambda: clock[0], sleep=sleep)
    with serving(reply(200)) as server, client(server, limit_rate=pace) as sender:
        for _ in range(4):
            assert sender.send(Request("POST", "/v1/m", body=bytes(100_000))).verdict is Verdict.ACCEPTED
    assert 3.8 <= clock[0] <= 4.2


def test_what_shares_a_speed_limit_is_not_too_slow_for_it() -> None:
    request = Request("POST", "/v1/m", body=bytes(1000))
    with (
        serving(reply(200)) as server,
        client(server, limit_rate=8000.0, timeout=1.0) as sender,
        ThreadPoolExecutor(16) as pool,
    ):
        answers = list(pool.map(lambda _: sender.send(request), range(16)))
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_speed_limit_of_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(rate)


def test_the_environments_proxy_is_used_but_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply(200)) as proxy, serving(reply(200)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://me:pa%20ss@"))
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:pa%20ss@"))
        assert client("http://far.example/base").send(POST).verdict is Verdict.ACCEPTED
        assert client(server).send(POST).verdict is Verdict.ACCEPTED
        assert [got.target for got in proxy.received] == ["http://far.example/base/v1/spans"]
        assert proxy.received[0].headers["proxy-authorization"] == "Basic bWU6cGEgc3M="
        assert len(server.received) == 1
        monkeypatch.setenv("NO_PROXY", "far.example")
        monkeypatch.setenv("no_proxy", "far.example")
        assert client("http://far.example/base").send(POST).verdict is Verdict.RETRY
        assert len(proxy.received) == 1


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:secret@proxy:1")
    monkeypatch.setenv("https_proxy", "gopher://me:secret@proxy:1")
    with pytest.raises(ConfigError, match="gopher://proxy:1") as caught:
        client("https://far.example")
    assert "secret" not in str(caught.value)


@pytest.fixture
def private_ca(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    """(certificate file, a server's context) for 127.0.0.1, signed by nobody known."""
    openssl = needs_tool("openssl")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "ca.pem")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2"]
    name = ["-subj", "/CN=house", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *name], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


def test_a_server_with_a_private_ca_is_trusted_only_by_its_ca_file(private_ca: tuple[str, ssl.SSLContext]) -> None:
    ca_file, context = private_ca
    body = b"x" * 3_000_000
    with serving(reply(200), tls=context) as server:
        refused = client(server).send(POST)
        assert (refused.verdict, server.received) == (Verdict.RETRY, [])
        assert "CERTIFICATE_VERIFY_FAILED" in refused.reason
        with client(server, ca_file=ca_file) as sender:
            for _ in range(2):
                assert sender.send(Request("POST", "/v1/spans", body=body)).verdict is Verdict.ACCEPTED
        assert [got.body == body for got in server.received] == [True, True]


def test_a_ca_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/no/such/ca\.pem"):
        client("https://far.example", ca_file="/no/such/ca.pem")
