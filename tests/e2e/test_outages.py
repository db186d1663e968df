"""A server that asked to be left alone is believed to be back when it answered, and not before."""

from __future__ import annotations

from tests.support.home import Home
from tests.support.house import House
from tests.support.proxy import proxied, reset, status
from tests.support.waiting import wait_until
from tracehoused.config import resolve
from tracehoused.options import Options
from tracehoused.upload.engine import Engine

TRACE = """
    cm.init(session_id=sys.argv[1])
    cm.log_user("hi")
    cm.finish()
"""


def test_a5_a_pass_with_nothing_to_ask_tells_nothing_of_a_server_that_was_left_alone(home: Home, house: House) -> None:
    busy = status(429, b"{}", "Retry-After: 1")
    with proxied(house.url) as proxy:
        engine = Engine(resolve({}, environ=home.environ), home.environ, Options(api_base=proxy.url))
        home.job(TRACE, "settled")
        settled = str(home.session())
        assert engine.drain(settled).outcome.complete
        home.job(TRACE, "waiting")
        [waiting] = {str(path) for path in home.sessions()} - {settled}
        proxy.rule = lambda request: busy
        assert engine.drain(waiting).outcome.scope == "destination"
        wait_until(lambda: engine.drain(settled).outcome.complete, what="the end of the wait that it asked for")
        proxy.rule = lambda request: reset
        asked = len(proxy.received)
        assert engine.drain(waiting).outcome.scope == "destination"
        assert len(proxy.received) > asked
        asked = len(proxy.received)
        assert engine.drain(waiting).outcome.scope == "destination"
        assert len(proxy.received) == asked, "one probe was answered with trouble: no other is due yet"
        engine.close()
