"""The house lets nobody in by accident, and what was uploaded stays harmless."""

from __future__ import annotations

import re
import socket
import stat
from pathlib import Path

import httpx
import pytest

from tests.support.house import House, new_run, new_trace, point, post, span

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7919*7919}}javascript:alert(1)"
READS = (
    "/v1/runs",
    "/v1/traces",
    "/v1/runs/x",
    "/v1/traces/x",
    "/v1/runs/x/metrics",
    "/v1/media/x",
    "/v1/runs/x/media",
)


def sign_in_link(house: House) -> str:
    match = re.search(r"http://\S+/signin/\S+", house.output())
    assert match
    return match[0]


@pytest.mark.parametrize("path", [*READS, "/", "/r/x", "/t/x"])
def test_nothing_is_read_without_a_key(house: House, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer ba_wrong"}, {"Authorization": f"Basic {house.key}"}):
        assert httpx.get(house.url + path, headers=headers).status_code == 401
    assert httpx.get(f"{house.url}{path}", params={"key": house.key, "t": house.key}).status_code == 401


def test_nothing_is_written_without_a_key(house: House) -> None:
    for path in ("/v1/traces", "/v1/spans", "/v1/runs", "/v1/runs/x/metrics", "/v1/runs/x/media", "/v1/verify"):
        answer = httpx.post(house.url + path, json={})
        assert (answer.status_code, answer.json()["reason"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_key_is_shown_once_and_lies_private(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house:
        key, shown = house.key, house.output()
        assert key in shown
        assert stat.S_IMODE((house.data / "house.key").stat().st_mode) == 0o600
        assert stat.S_IMODE(house.data.stat().st_mode) == 0o700
        httpx.get(f"{house.url}/v1/runs?x={key[:9]}")
        house.stop()
        house.start()
        assert house.key == key
        assert key not in house.output()
        everything = [path for path in house.data.rglob("*") if path.is_file() and path.name != "house.key"]
        assert everything
        assert not [path for path in everything if key.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "a@127.0.0.1", "[::2]"]
)
def test_another_host_name_is_turned_away(house: House, client: httpx.Client, host: str) -> None:
    answer = client.get("/v1/runs", headers={"Host": host})
    assert (answer.status_code, answer.json()["reason"]) == (403, "host")


def test_loopback_names_and_allowed_ones_are_answered(tmp_path: Path) -> None:
    with House(tmp_path / "data", "--allow-host", "Tracks.example") as house, house.client() as client:
        for host in ("localhost", "127.0.0.1:1", "[::1]:80", "tracks.example:8765"):
            assert client.get("/v1/runs", headers={"Host": host}).status_code == 200


def test_the_sign_in_link_works_once_and_its_cookie_is_strict(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house, httpx.Client(base_url=house.url) as browser:
        link = sign_in_link(house)
        answer = browser.get(link)
        cookie = answer.headers["set-cookie"].lower()
        assert answer.status_code == 200
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get("/").status_code == 200
        assert browser.get("/v1/runs").status_code == 200
        with httpx.Client() as another:
            assert another.get(link).status_code == 403
            assert another.get(house.url).status_code == 401
        house.stop()
        house.start()
        assert browser.get("/").status_code == 200
        unused = sign_in_link(house)
        house.kill()
        house.start()
        assert httpx.get(unused).status_code == 403


def test_what_only_asks_after_a_link_does_not_use_it_up(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house:
        link = sign_in_link(house)
        answer = httpx.head(link)
        assert (answer.status_code, answer.headers["allow"], "set-cookie" in answer.headers) == (405, "GET", False)
        assert httpx.get(link).status_code == 200


def test_a_cookie_writes_only_from_the_house_itself(tmp_path: Path) -> None:
    with House(tmp_path / "data") as house, httpx.Client(base_url=house.url) as browser:
        browser.get(sign_in_link(house))
        run = {"name": "r", "client_run_id": "c", "started_at": "2026-01-01T00:00:00Z"}
        for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = browser.post("/v1/runs", json=run, headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (403, "cross_origin")
        assert browser.post("/v1/runs", json=run, headers={"Origin": house.url}).status_code == 200
        assert browser.post("/signout", headers={"Origin": "http://evil.example"}).status_code == 403
        assert browser.post("/signout", headers={"Origin": house.url}).status_code == 303
        assert browser.get("/").status_code == 401


def test_the_key_signs_a_browser_in_from_the_form(house: House) -> None:
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as browser:
        assert browser.post("/signin", data={"key": "ba_wrong"}).status_code == 403
        assert browser.get("/").status_code == 401
        assert browser.post("/signin", data={"key": house.key}, headers={"Origin": "http://x"}).status_code == 403
        assert browser.post("/signin", data={"key": house.key}).status_code == 200
        assert browser.get("/").status_code == 200


def test_a_browsers_cookie_is_no_key(house: House) -> None:
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as browser:
        browser.post("/signin", data={"key": house.key})
        [value] = browser.cookies.values()
    assert httpx.get(f"{house.url}/v1/runs", headers={"Authorization": f"Bearer {value}"}).status_code == 401


def test_anonymous_uploads_only_where_allowed_and_each_sees_its_own(tmp_path: Path, house: House) -> None:
    assert httpx.post(f"{house.url}/v1/anon/session", json={}).status_code == 403
    with House(tmp_path / "data", "--allow-anonymous") as open_house:
        made = [httpx.post(f"{open_house.url}/v1/anon/session", json={}).json() for _ in range(2)]
        assert made[0]["token"].startswith("anon_")
        clients = [
            httpx.Client(base_url=open_house.url, headers={"Authorization": f"Bearer {one['token']}"}) for one in made
        ]
        run_id = new_run(clients[0])
        assert clients[0].get(f"/v1/runs/{run_id}").status_code == 200
        assert clients[1].get(f"/v1/runs/{run_id}").status_code == 404
        assert clients[1].get("/v1/runs").json()["runs"] == []
        reader = {"Authorization": f"Bearer {made[0]['read_token']}"}
        assert httpx.get(f"{open_house.url}/v1/runs/{run_id}", headers=reader).status_code == 200
        refused = httpx.patch(f"{open_house.url}/v1/runs/{run_id}", json={}, headers=reader)
        assert (refused.status_code, refused.json()["reason"]) == (403, "read_only")
        claim = {"Authorization": f"Bearer {made[0]['claim_token']}"}
        assert httpx.get(f"{open_house.url}/v1/runs", headers=claim).status_code == 403
        with open_house.client() as owner:
            assert len(owner.get("/v1/runs").json()["runs"]) == 1
        for one in clients:
            one.close()


def test_pages_carry_a_strict_policy(client: httpx.Client) -> None:
    for path in ("/", "/signin", "/r/nope", "/v1/runs", "/static/house.css"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_hostile_text_stays_text(client: httpx.Client) -> None:
    hostile = {"project": HOSTILE, "model": HOSTILE, "task_name": HOSTILE}
    run_id = new_run(client, HOSTILE, config={HOSTILE: HOSTILE}, project=HOSTILE)
    trace_id = new_trace(client, HOSTILE, run_id=run_id, rollout_step=1, **hostile)
    kinds = ("user_msg", "assistant_msg", "thinking", "tool_use", "tool_result", "attachment")
    attributes = {"text": HOSTILE, "tool_input": {HOSTILE: HOSTILE}, HOSTILE: HOSTILE}
    spans = [span(at, HOSTILE, kind=kind, name=HOSTILE, attributes=attributes) for at, kind in enumerate(kinds)]
    params = {"key": HOSTILE, "media_type": "html", "caption": HOSTILE}
    base = f"/v1/runs/{run_id}"
    for answer in (
        post(client, "/v1/spans", {"traces": [], "spans": spans}),
        post(client, f"{base}/metrics", {"points": [point(0, 1.5, key=HOSTILE)]}),
        client.post(f"{base}/media", params=params, content=b"<script>1</script>"),
        post(client, f"{base}/artifacts", {"name": HOSTILE, "kind": "text", "data": HOSTILE}),
        client.patch(f"/v1/traces/{trace_id}", json={"metadata": {HOSTILE: HOSTILE}}),
    ):
        assert answer.is_success, answer.text
    held = {name: client.get(f"{base}/{name}").json() for name in ("media", "artifacts", "metrics")}
    assert [(one["key"], one["caption"]) for one in held["media"]["media"]] == [(HOSTILE, HOSTILE)]
    assert [one["name"] for one in held["artifacts"]["artifacts"]] == [HOSTILE]
    assert [one["key"] for one in held["metrics"]["series"]] == [HOSTILE]
    pages = (f"/r/{run_id}", f"/r/{run_id}/media", f"/r/{run_id}/rollouts", f"/r/{run_id}/artifacts")
    for path in ("/", *pages, f"/compare?run={run_id}", f"/t/{trace_id}", f"/t/{trace_id}/about"):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "&lt;script&gt;" in page.text, path
        assert not re.search(
            r'<script(?! (type="module" )?src="/static/)|<img src=x|\sonerror=alert\(1\)>(?!&)',
            page.text.replace("&#34;", '"'),
        )
        assert "62710561" not in page.text


@pytest.mark.parametrize(
    "mime", ["text/html", "image/svg+xml", "application/javascript", "text/html;x=\r\nX: y", "nonsense"]
)
def test_uploads_never_become_pages_of_the_house(client: httpx.Client, mime: str) -> None:
    run_id = new_run(client)
    params = {"key": "k", "media_type": "file"}
    sent = re.sub(r"[\r\n]", "", mime)
    client.post(
        f"/v1/runs/{run_id}/media", params=params, content=b"<script>1</script>", headers={"content-type": sent}
    )
    [held] = client.get(f"/v1/runs/{run_id}/media").json()["media"]
    headers = client.get(held["url"]).headers
    assert headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == ("inline" if sent.startswith("image/") else "attachment")


@pytest.mark.parametrize(
    "path", ["../house.key", "..%2fhouse.key", "%2e%2e/house.key", "....//house.key", "%00", "a" * 5000]
)
def test_no_path_leads_out_of_the_house(client: httpx.Client, house: House, path: str) -> None:
    for prefix in ("/v1/media/", "/static/", "/v1/runs/", "/t/", "/"):
        with socket.create_connection(("127.0.0.1", house.port)) as raw:
            head = f"GET {prefix}{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.key}\r\n"
            raw.sendall(f"{head}Connection: close\r\n\r\n".encode())
            with raw.makefile("rb") as stream:
                answer = stream.read()
        assert answer.split()[1] in (b"404", b"400", b"414")
        assert house.key.encode() not in answer


def test_media_over_25_mb_are_refused_before_they_are_read(client: httpx.Client, house: House) -> None:
    run_id, limit = new_run(client), 25 * 1024 * 1024
    with socket.create_connection(("127.0.0.1", house.port)) as raw:
        head = (
            f"POST /v1/runs/{run_id}/media?key=k&media_type=file HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {house.key}\r\nContent-Length: {limit + 1}\r\n\r\n"
        )
        raw.sendall(head.encode())
        assert raw.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(
    "target",
    [
        "POST /v1/traces",
        "PATCH /v1/traces/{trace}",
        "POST /v1/spans",
        "POST /v1/runs",
        "PATCH /v1/runs/{run}",
        "POST /v1/runs/{run}/metrics",
        "POST /v1/runs/{run}/artifacts",
        "POST /v1/verify",
    ],
)
def test_json_over_64_mib_is_refused_before_it_is_read(client: httpx.Client, house: House, target: str) -> None:
    ids = {"run": new_run(client), "trace": new_trace(client)}
    limit = client.get("/v1/capabilities").json()["max_body_bytes"]
    assert limit == 64 * 1024 * 1024
    with socket.create_connection(("127.0.0.1", house.port), timeout=30) as raw:
        head = f"{target.format(**ids)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.key}\r\n"
        raw.sendall(f"{head}Content-Length: {limit + 1}\r\n\r\n".encode())
        assert raw.recv(12) == b"HTTP/1.1 413"


def test_media_of_unknown_length_are_bounded_while_they_come(client: httpx.Client, house: House) -> None:
    run_id, limit = new_run(client), 25 * 1024 * 1024
    params = {"key": "k", "media_type": "file"}

    def pieces(size: int) -> object:
        for at in range(0, size, 65536):
            yield b"\0" * min(65536, size - at)

    url = f"/v1/runs/{run_id}/media"
    assert client.post(url, params=params, content=pieces(limit)).json()["size"] == limit
    try:
        assert client.post(url, params=params, content=pieces(limit + 1)).status_code == 413
    except httpx.WriteError:
        pass  # the house hung up while more was coming
    assert len(client.get(url).json()["media"]) == 1
    assert list((house.data / "media" / "incoming").iterdir()) == []


def test_a_gzip_bomb_is_refused(client: httpx.Client) -> None:
    import zlib

    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(80)) + packer.flush()
    answer = client.post("/v1/spans", content=bomb, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


def test_secrets_are_compared_as_digests_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared has one length whatever is sent, and how long that takes tells nothing of where it differs."""
    import hmac

    from tracehoused.house.auth import Auth, digest
    from tracehoused.house.store.store import Store

    compared: list[tuple[str, str]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or real(one, other))
    store = Store(f"sqlite:///{tmp_path / 'house.db'}")
    auth = Auth(store, "ba_right")
    assert auth.principal("ba_right") is not None
    for wrong in ("", "b", "ba_righ", "ba_rightx", "\ud800"):
        assert auth.principal(wrong) is None
        assert compared[-1] == (digest(wrong), digest("ba_right"))
    assert {len(text) for pair in compared for text in pair} == {64}
    store.close()
