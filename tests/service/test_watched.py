"""The agent as those see it who watch a fleet: one JSON object, and metrics by a port or a file, all of it documented."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import stat
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.service.support import Site, heard, is_alive, send
from tests.support.house import House
from tests.support.waiting import wait_until
from tracehoused.http.retry import Verdict
from tracehoused.service import snapshot
from tracehoused.service.lookout import Lookout
from tracehoused.service.watcher import Hints

_TALKER = """
    run = cm.init_run(project="p", client_run_id="r1", system_metrics=False, capture_env=False)
    print("ready", flush=True)
    for line in sys.stdin:
        run.log({"loss": float(line)})
        print("logged", flush=True)
"""
_SCHEMA: dict[str, Any] = {
    "format": int, "version": str, "pid": int, "host": str, "since": str, "at": str, "log_file": str, "problem": str,
    "spools": [{"path": str, "sessions": int, "settled": int, "bytes": int, "files": int, "polled": bool, "problem": str}],
    "sessions": dict.fromkeys(("total", "settled", "live", "stalled", "pending", "waiting", "stopped"), int),
    "oldest_unacknowledged": (float, type(None)), "records_pending": int, "dead_letters": int, "dropped": int,
    "records_sent": int, "bytes_sent": int, "requests": dict, "watches": int,
    "troubles": [{"session": str, "state": str, "trouble": str}],
}  # fmt: skip


def _check(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name in wanted:
            _check(found[name], wanted[name])
    elif isinstance(wanted, list):
        for one in found:
            _check(one, wanted[0])
    else:
        assert isinstance(found, wanted)
        assert wanted is not int or not isinstance(found, bool)


def _names(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return _names(schema[0])
    return (
        {*schema, *(name for part in schema.values() for name in _names(part))} if isinstance(schema, dict) else set()
    )


def test_status_json_has_the_documented_fields_and_no_others(site: Site, house: House) -> None:
    pid = site.start()
    job = site.job(_TALKER)
    assert heard(job) == "ready"
    wait_until(lambda: site.status()["agent"]["sessions"]["live"] == 1, what=lambda: str(site.status()))
    live = site.status()["agent"]
    _check(live, _SCHEMA)
    assert (live["format"], live["pid"], live["host"]) == (snapshot.FORMAT, pid, os.uname().nodename)
    assert live["log_file"] == str(site.state / "tracehoused.log")
    assert [spool["path"] for spool in live["spools"]] == [str(site.spool)]
    assert live["requests"]["accepted"] >= 1
    assert set(live["requests"]) <= {verdict.name.lower() for verdict in Verdict}
    house.stop()
    for value in ("1", "2", "3"):
        send(job, value)
        assert heard(job) == "logged"
    wait_until(lambda: site.status()["agent"]["records_pending"] == 3, what=lambda: str(site.status()["agent"]))
    down = site.status()["agent"]
    _check(down, _SCHEMA)
    assert (down["sessions"]["total"], down["sessions"]["pending"]) == (1, 1)
    assert down["oldest_unacknowledged"] > 0
    assert down["troubles"][0]["session"] == down["spools"][0]["path"] + "/" + os.path.basename(
        site.sessions()[0]["session"]
    )
    house.start()
    wait_until(lambda: site.status()["agent"]["records_pending"] == 0, what=lambda: str(site.status()["agent"]))
    told = set(re.findall(r'"(\w+)"', snapshot.__doc__ or ""))
    assert told == _names(_SCHEMA)
    assert json.loads(site.tracehoused("status", "--json").stdout).keys() == {"running", "agent"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _scrape(port: int) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    if importlib.util.find_spec("prometheus_client") is None:
        pytest.skip("[prometheus] needs prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    return {
        sample.name: {
            tuple(sorted(other.labels.items())): other.value for other in family.samples if other.name == sample.name
        }
        for family in families
        for sample in family.samples
    }


def test_a_scrape_tells_what_waits_what_became_of_requests_what_was_lost_and_how_large_the_spools_are(
    site: Site, house: House
) -> None:
    port = _free_port()
    site.start("--metrics", str(port))
    job = site.job(_TALKER)
    assert heard(job) == "ready"
    wait_until(
        lambda: _scrape(port).get("tracehouse_requests_total", {}).get((("outcome", "accepted"),), 0) >= 1,
        what=lambda: str(_scrape(port)),
    )
    house.stop()
    send(job, "1")
    assert heard(job) == "logged"
    wait_until(lambda: _scrape(port)["tracehouse_records_pending"][()] == 1, what=lambda: str(_scrape(port)))
    found = _scrape(port)
    assert found["tracehouse_oldest_unacknowledged_seconds"][()] > 0
    assert found["tracehouse_requests_total"][("outcome", "retry"),] >= 1
    assert found["tracehouse_dead_letters"][()] == found["tracehouse_dropped_records"][()] == 0
    segments = sum(path.stat().st_size for path in site.spool.glob("run-*/*.jsonl"))
    assert found["tracehouse_spool_bytes"][("spool", str(site.spool)),] == segments
    assert found["tracehouse_sessions"][("state", "pending"),] == 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)
    assert refused.value.code == 404


def test_the_port_is_open_on_the_loopback_alone_and_a_scraper_that_says_nothing_stops_nobody(alone: Site) -> None:
    port = _free_port()
    pid = alone.start("--metrics", str(port))
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    addresses = [line.split()[1:4:2] for line in lines]
    assert [address for address, state in addresses if state == "0A" and address.endswith(f":{port:04X}")] == [
        f"0100007F:{port:04X}"
    ]
    with socket.create_connection(("127.0.0.1", port)):
        assert "tracehouse_sessions" in _scrape(port)
    alone.tracehoused("stop")
    assert not is_alive(pid)


def test_what_is_told_while_sessions_come_and_go_is_told(tmp_path: Path) -> None:
    lookout = Lookout([str(tmp_path / "spool")], str(tmp_path / "state"), rescan_every=60.0, dead_after=60.0)
    spool = Path(*lookout.spools.find())
    lookout.open()
    ended = threading.Event()
    hints = Hints(sessions={str(spool / f"run-{number}") for number in range(3000)})

    def come_and_go() -> None:
        while not ended.is_set():
            for _ in lookout.hinted(hints, 0.0):
                pass
            lookout.sessions.clear()

    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(500):
            snapshot.take(lookout, snapshot.Counts(), 1.0)
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(often)
        lookout.close()


def test_a_textfile_is_replaced_whole_and_readable_by_the_collector(site: Site) -> None:
    target = site.home / "tracehouse.prom"
    site.environ.update(TRACEHOUSE_RESCAN_EVERY="1")
    site.start("--metrics", str(target))
    job = site.job(_TALKER)
    job.communicate(timeout=60)
    wait_until(
        lambda: target.exists() and 'tracehouse_sessions{state="settled"} 1' in target.read_text(), what="metrics"
    )
    text = target.read_text()
    assert 'tracehouse_requests_total{outcome="accepted"}' in text
    assert text.endswith("\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in site.home.glob("tracehouse.prom*")] == ["tracehouse.prom"]
