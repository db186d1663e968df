"""What an agent says of itself to its server: what waits, what was given up, and since when."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

import httpx

from tests.service.support import Site
from tests.support.house import House
from tests.support.servers import Received, reply, serving
from tests.support.waiting import wait_until
from tracehoused.service.backlog import Backlog, Waiting
from tracehoused.service.tracked import Tracked

_RUN = 'run = cm.init_run(project="p", client_run_id=sys.argv[1], machine_id="m-1"); [run.log({"loss": 5.0}) for _ in range(3)]'


def _row(house: House) -> list[str]:
    """The agents page's figures of the machine: pending, dead, oldest; none before it was heard of."""
    with httpx.Client(base_url=house.url, headers={"Origin": house.url}) as browser:
        browser.post("/signin", data={"key": house.key})
        rows = re.findall(r"<tr>(?:(?!</tr>).)*m-1.*?</tr>", browser.get("/agents").text, re.DOTALL)
    return [re.sub(r"<[^>]+>|\s+", " ", cell).strip() for cell in re.findall(r"<td.*?</td>", "".join(rows), re.DOTALL)]


def test_the_house_hears_what_waits_on_a_machine_and_that_nothing_does_any_more(site: Site, house: House) -> None:
    site.environ.update(TRACEHOUSE_RESCAN_EVERY="1")
    site.start()
    site.finished_job(_RUN, "r1")
    wait_until(lambda: "0" in _row(house) and "–" in _row(house), what=lambda: str(_row(house)))
    mine, site.environ["TRACEHOUSE_API_KEY"] = site.environ["TRACEHOUSE_API_KEY"], "ba_somebody_elses"
    site.finished_job(_RUN, "r2")
    site.environ["TRACEHOUSE_API_KEY"] = mine
    (waiting,) = [session for session in site.sessions() if session["id"] == "r2"]
    wait_until(lambda: str(waiting["records"]) in _row(house), what=lambda: f"{waiting['records']}: {_row(house)}")


def test_what_was_given_up_and_since_when_the_rest_waits_goes_with_each_request(alone: Site) -> None:
    failing = True

    def behave(connection: object, request: Received) -> bool:
        if request.target == "/v1/capabilities":
            answer = reply(404)
        elif b"poison" in request.body:
            answer = reply(422, b'{"detail":"no poison"}')
        elif failing and b'"a"' in request.body:
            answer = reply(503, b"{}")
        else:
            answer = reply(200, b'{"id":"x-1","ingested":1,"dropped":0}')
        return answer(connection, request)  # type: ignore[arg-type]

    with serving(behave) as server:
        alone.environ.update(TRACEHOUSE_API_BASE=server.url)
        began = datetime.now(timezone.utc).replace(microsecond=0)
        alone.start()
        alone.finished_job('cm.init(session_id="t1"); cm.log_user("poison"); cm.finish()')
        alone.finished_job('cm.init(session_id="t2"); cm.log_user("a"); cm.finish()')

        def told(name: str) -> list[str]:
            return [request.headers[name] for request in server.received if name in request.headers]

        wait_until(lambda: "1" in told("x-tracehouse-dead"), what=lambda: str(told("x-tracehouse-dead")))
        wait_until(lambda: told("x-tracehouse-oldest"), what="since when it waits")
        assert began <= datetime.fromisoformat(told("x-tracehouse-oldest")[-1].replace("Z", "+00:00"))
        assert max(map(int, told("x-tracehouse-pending"))) >= 1
        failing = False
        wait_until(lambda: all(s["uploaded"] for s in alone.sessions()), what=lambda: str(alone.sessions()))


def test_what_goes_with_a_request_that_is_not_answered_is_not_taken_for_told() -> None:
    home = ("http://house", "m-1")
    backlog = Backlog()
    backlog.heard(*home, backlog.headers(*home))
    assert not list(backlog.untold())
    session = Tracked("/spool/s", 0.0)
    session.home, session.left = home, 5
    backlog.count({session.path: session}, [])
    asked = backlog.headers(*home)
    assert list(backlog.untold()) == [home]
    assert backlog.due is not None  # told again, though nothing changes
    backlog.changed(soon := time.monotonic() + 5)
    assert backlog.due <= soon  # and what changes meanwhile does not wait for that
    backlog.heard(*home, asked)
    assert not list(backlog.untold())


def test_a3_a_session_of_an_impossible_age_keeps_no_other_from_its_server() -> None:
    """Some file systems keep any time that a copy brings; the headers go with each request to the server."""
    told = dict(Waiting(records=1, since=time.monotonic() - 1e12).headers())
    assert told["X-Tracehouse-Oldest"] == "1970-01-01T00:00:00Z"
