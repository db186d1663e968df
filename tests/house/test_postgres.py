"""A house on PostgreSQL: what differs there, and several processes that share it."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.house import TIME, House, all_points, all_spans, new_run, new_trace, once, point, post, span
from tests.support.postgres import Postgres
from tests.support.waiting import wait_until
from tracehoused.house.store import postgres as own
from tracehoused.house.store.dialect import database_url

BATCHES = 40
SIZE = 25


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[tuple[House, House]]:
    """Two processes of one house, each with a directory of its own; each test uses sessions and runs of its own."""
    url, home = postgres.url, tmp_path_factory.mktemp("pair")
    with House(home / "one", "--database", url) as one, House(home / "two", "--database", url) as two:
        yield one, two


@pytest.fixture(scope="module")
def house(pair: tuple[House, House]) -> House:
    return pair[0]


def _serve(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(data), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _bearer(house: House, key: str, path: str = "/v1/runs") -> int:
    return httpx.get(f"{house.url}{path}", headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code


def _send(client: httpx.Client, run_id: str, session: str, batch: int) -> bool:
    """A batch of points or of spans, sent until it is acknowledged or the house is gone."""
    steps = range(batch * SIZE, (batch + 1) * SIZE)
    headers = once(f"{session}-{batch % 2}", steps[0], steps[-1])
    try:
        if batch % 2:
            spans = [span(step, session) for step in steps]
            answer = post(client, "/v1/spans", {"traces": [], "spans": spans}, **headers)
        else:
            points = [point(step, (step * 7919) % 1000 / 8, key) for step in steps for key in ("loss", "kl")]
            answer = post(client, f"/v1/runs/{run_id}/metrics", {"points": points}, **headers)
    except httpx.TransportError:
        return False
    assert answer.is_success or answer.json()["reason"] in ("in_flight", "storage"), answer.text
    return answer.is_success


def _charts(client: httpx.Client, run_id: str) -> Any:
    # A session's number is the house's own matter, and the times are those that were sent.
    params = {"buckets": 40}
    return client.get(f"/v1/runs/{run_id}/metrics", params=params).json()


def test_a1_two_processes_under_kills_and_repeats_hold_each_record_once(
    tmp_path: Path, pair: tuple[House, House]
) -> None:
    chance = random.Random(6)
    agents = [f"agent-{n}" for n in range(2)]
    ways = [[house.client(machine=agent) for house in pair] for agent in agents]
    ids = [(new_run(way[0], agent), new_trace(way[1], agent)) for way, agent in zip(ways, agents, strict=True)]
    work = [(agent, batch) for agent in range(2) for batch in range(BATCHES)] * 3
    chance.shuffle(work)

    def send(agent: int, batch: int) -> bool:
        return _send(ways[agent][chance.randrange(2)], ids[agent][0], agents[agent], batch)

    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(send, *one) for one in work]
        for number, house in ((40, pair[0]), (80, pair[1]), (120, pair[0])):
            wait_until(lambda: sum(one.done() for one in sent) >= number, what="batches")  # noqa: B023
            house.kill()
            house.start()
        assert sum(one.result() for one in sent) > len(work) // 3
    for agent, batch in sorted(set(work)):
        wait_until(lambda: send(agent, batch), what="acknowledged")  # noqa: B023
    with House(tmp_path / "file") as file:
        for agent, name in enumerate(agents):
            with file.client(machine=name) as client:
                run_id, trace_id = new_run(client, name), new_trace(client, name)
                assert all(_send(client, run_id, name, batch) for batch in range(BATCHES))
                for way in ways[agent]:
                    assert all_points(way, ids[agent][0]) == all_points(client, run_id)
                    found = [one["id"] for one in all_spans(way, ids[agent][1])]
                    assert sorted(found) == sorted(one["id"] for one in all_spans(client, trace_id))
                    assert _charts(way, ids[agent][0]) == _charts(client, run_id)


def test_one_request_at_both_processes_at_once_has_one_effect(pair: tuple[House, House]) -> None:
    clients = [house.client("at-once") for house in pair]
    run_id = new_run(clients[0])
    body = {"points": [point(step) for step in range(10)]}

    def send(n: int) -> httpx.Response:
        # Every third has a key of its own for the same records.
        headers = once("same", 1, 10, key=f"key-{n % 3}")
        return post(clients[n % 2], f"/v1/runs/{run_id}/metrics", body, **headers)

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(send, range(48)))
    taken = [answer for answer in answers if answer.is_success]
    assert {answer.text for answer in taken} == {'{"ingested":10,"dropped":0}'}
    assert {answer.json()["reason"] for answer in answers if answer not in taken} <= {"in_flight"}
    assert len(all_points(clients[1], run_id)) == 10


def test_overlapping_ranges_at_both_processes_are_applied_once(pair: tuple[House, House]) -> None:
    clients = [house.client("overlapping") for house in pair]
    run_id = new_run(clients[0])

    def send(n: int) -> int:
        body = {"points": [point(step) for step in range(n, n + 5)]}
        return post(
            clients[n % 2], f"/v1/runs/{run_id}/metrics", body, **once("over", n, n + 4, key=f"k{n}")
        ).status_code

    with ThreadPoolExecutor(10) as threads:
        statuses = list(threads.map(send, [*range(40), *range(40)]))
    assert set(statuses) <= {200, 409}
    steps = [held[3] for held in all_points(clients[0], run_id)]
    assert len(steps) == len(set(steps)) >= 20


def test_runs_and_traces_made_at_both_processes_at_once_are_one(pair: tuple[House, House]) -> None:
    clients = [house.client("made-at-once") for house in pair]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda n: new_run(clients[n % 2], f"run-{n // 8}"), range(40)))
        traces = list(threads.map(lambda n: new_trace(clients[n % 2], f"trace-{n // 8}"), range(40)))
    assert [len(set(made[at : at + 8])) for at in range(0, 40, 8)] == [1] * 5
    assert len(set(traces)) == 5
    runs = clients[1].get("/v1/runs").json()["runs"]
    assert sorted(one["name"] for one in runs if one["machine"] == "made-at-once") == [f"run-{n}" for n in range(5)]


def test_keys_sign_in_links_and_sessions_are_good_at_either_process(pair: tuple[House, House]) -> None:
    one, two = pair
    assert _bearer(one, two.key) == _bearer(two, one.key) == 200
    link = one.output().split("/signin/")[1].split()[0]
    with httpx.Client(base_url=two.url, timeout=60) as browser:
        assert browser.get(f"/signin/{link}").status_code == 200
        assert browser.get("/").status_code == 200
        cookies = dict(browser.cookies)
    assert httpx.get(f"{one.url}/signin/{link}", timeout=60).status_code == 403
    assert httpx.get(f"{one.url}/keys", cookies=cookies, timeout=60).status_code == 200
    one.stop()
    one.start()
    link = one.output().split("/signin/")[1].split()[0]
    one.stop()
    assert httpx.get(f"{two.url}/signin/{link}", timeout=60).status_code == 403
    one.start()


def test_a_key_that_was_replaced_opens_neither_process(tmp_path: Path, pair: tuple[House, House]) -> None:
    other = pair[1]
    with House(tmp_path / "data", *pair[0].options) as house:
        assert _bearer(other, house.key) == 200
        keys = [house.key]
        for _ in range(2):
            house.stop()
            (house.data / "house.key").unlink()
            house.start()
            keys.append(house.key)
        assert [_bearer(house, key) for key in keys] == [401, 401, 200]
        wait_until(lambda: [_bearer(other, key) for key in keys] == [401, 401, 200], what="known at the other")
        with httpx.Client(base_url=house.url, headers={"Origin": house.url}, timeout=60) as browser:
            assert browser.post("/signin", data={"key": house.key}).status_code == 200
            listed = browser.get("/keys").text
        digests = [hashlib.sha256(key.encode()).hexdigest() in listed for key in (*keys, other.key)]
        assert digests == [False, False, False, True]
        house.stop()
        (house.data / "house.key").write_text(keys[0])
        house.start()
        wait_until(lambda: [_bearer(other, key) for key in keys] == [200, 401, 401], what="the first one known again")


def test_news_from_one_process_reach_who_looks_at_the_other(pair: tuple[House, House]) -> None:
    clients = [house.client("news") for house in pair]
    run_id = new_run(clients[0])
    with clients[1].stream("GET", "/live", params={"run": run_id}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: news"
        post(clients[0], f"/v1/runs/{run_id}/metrics", {"points": [point(1, 2.5)]})
        assert any('"loss"' in line for line in lines)


def test_houses_that_start_at_once_make_one_database(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url
    houses = [House(tmp_path / f"{n}", "--database", url) for n in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(House.start, houses))
    for house in houses:
        assert _bearer(house, houses[0].key) == 200
        assert house.stop() == 0


def test_a_server_that_restarts_is_told_as_503_and_then_all_goes_on(client: httpx.Client, postgres: Postgres) -> None:
    run_id, statuses = new_run(client), []
    postgres.restart()

    def send() -> bool:
        answer = post(client, f"/v1/runs/{run_id}/metrics", {"points": [point(1)]}, **once("restart", 1, 1))
        statuses.append(answer.status_code)
        return answer.status_code == 200

    wait_until(send, what="taken again")
    assert set(statuses) <= {503, 200}
    assert len(all_points(client, run_id)) == 1


def test_values_out_of_bounds_for_sums_are_kept_and_drawn(client: httpx.Client) -> None:
    run_id = new_run(client)
    values = [1e308, 1e308, -1e308, 1e200, -1e200, 5e-324]
    ends = [point(-(2**63), 1.0, "far"), point(2**63 - 1, 2.0, "far")]
    for _ in range(2):
        body = {"points": [*(point(step, value) for step, value in enumerate(values)), *ends]}
        assert post(client, f"/v1/runs/{run_id}/metrics", body).is_success
    assert sorted({held[4] for held in all_points(client, run_id, "loss")}) == sorted(set(values))
    for wanted in (1, 3, 1000):
        answer = client.get(f"/v1/runs/{run_id}/metrics", params={"buckets": wanted})
        assert answer.status_code == 200, answer.text
        loss, far = sorted(answer.json()["series"], key=lambda one: str(one["key"]), reverse=True)
        assert min(bucket[2] for bucket in loss["buckets"]) == -1e308
        assert max(bucket[3] for bucket in loss["buckets"]) == 1e308
        assert (far["buckets"][0][2], far["buckets"][-1][3]) == (1.0, 2.0)


def test_an_id_too_long_for_an_index_is_refused_and_costs_nothing_else(client: httpx.Client) -> None:
    long = "".join(chr(0x4E00 + n * 7) for n in range(1024))
    body = {"session_id": long, "started_at": TIME, "scaffold": "x"}
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(lambda n: new_trace(client, f"trace-{n}"), range(20))
        refused = post(client, "/v1/traces", body)
        assert len(set(made)) == 20
    assert (refused.status_code, refused.json().get("reason")) == (422, "invalid"), refused.text


def test_a_span_has_an_id_of_any_length_since_no_index_holds_it(client: httpx.Client) -> None:
    ids = ["".join(chr(0x4E00 + n * 7) for n in range(1023)) + end for end in "ab"]
    trace = new_trace(client, "trace")
    for _ in range(2):
        assert post(
            client, "/v1/spans", {"traces": [], "spans": [span(n, "trace", id=ids[n]) for n in (0, 1)]}
        ).is_success
    assert [one["id"] for one in all_spans(client, trace)] == ids


def test_runs_sort_and_are_found_as_on_sqlite(tmp_path: Path, postgres: Postgres) -> None:
    shown = []
    for options in ((), ("--database", postgres.url)):
        with House(tmp_path / f"data-{len(options)}", *options) as house, house.client() as client:
            for name, project in (("b", None), ("A", "rl"), ("é", "RL"), ("a", "x"), ("_%", None)):
                new_run(client, f"{name}-run", name=name, project=project)
            pages = [f"/?sort={by}&order={order}" for by in ("name", "project", "machine") for order in ("asc", "desc")]
            texts = [client.get(page).text for page in [*pages, "/?q=A", "/?q=%25", "/?project=RL"]]
            runs = {one["id"]: one["name"] for one in client.get("/v1/runs").json()["runs"]}
            shown.append(
                [
                    [name for run_id, name in sorted(runs.items(), key=lambda one: text.find(one[0])) if run_id in text]
                    for text in texts
                ]
            )
    assert shown[0] == shown[1]
    assert sorted(map(len, shown[0])) != [5] * len(shown[0])


def test_what_cannot_be_used_is_said_without_the_password(tmp_path: Path, postgres: Postgres) -> None:
    host = postgres.url.partition("host=")[2]
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    postgres.sql("CREATE ROLE guest LOGIN")
    for url, told in (
        (f"postgresql://house:secret@/latin?host={host}", "encoding is LATIN1"),
        (f"postgresql://guest:secret@/postgres?host={host}", "permission denied for schema public"),
        (f"postgresql://house:secret@/none?host={host}", 'database "none" does not exist'),
        ("postgresql://house:secret@/x?host=/nowhere", "database cannot be used"),
        ("mysql://house:secret@x/y", "PostgreSQL or SQLite, not in mysql"),
        ("secret", "must be given as a URL"),
        ("sqlite:////tmp/secret", "--data"),
    ):
        ended = _serve(tmp_path / "data", "--database", url)
        assert (ended.returncode, told in ended.stderr, "secret" in ended.stderr) == (1, True, False), ended.stderr


@pytest.mark.parametrize("writes", [True, False])
def test_a_server_that_has_gone_is_noticed_within_a_minute_where_the_url_does_not_say_otherwise(
    postgres: Postgres, writes: bool
) -> None:
    """Also by a request that it has not confirmed: keepalives tell nothing of these."""
    url = database_url(postgres.url)
    for query, patience in (({}, "40000"), ({"tcp_user_timeout": "7000"}, "7000")):
        engine = own.open_engine(url.update_query_dict(query), writes=writes)
        with engine.connect() as connection:
            held = connection.connection.driver_connection.info.get_parameters()
        engine.dispose()
        assert held.get("tcp_user_timeout") == patience
        seconds = [int(held[f"keepalives_{name}"]) for name in ("idle", "interval", "count")]
        assert seconds[0] + seconds[1] * seconds[2] <= 60
