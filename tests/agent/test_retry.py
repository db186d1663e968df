"""A4: what each answer means, for how long to wait, and when to leave a destination alone."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracehoused.http.retry import Answer, Backoff, Breaker, Verdict, judge, retry_after

NOW = 1_800_000_000.0


def told(status: int, body: object = None, *, expect: str = "object", headers: dict[str, str] | None = None) -> Answer:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return judge(status, headers or {}, data, expect=expect, now=NOW)


@pytest.mark.parametrize(
    "status,body,expect,verdict",
    [
        (200, {}, "object", Verdict.ACCEPTED),
        (201, {"id": "x"}, "id", Verdict.ACCEPTED),
        (204, None, "object", Verdict.ACCEPTED),
        (204, None, "metrics:3", Verdict.ACCEPTED),
        (200, {"ingested": 2, "dropped": 1}, "metrics:3", Verdict.ACCEPTED),
        (200, {"ingested": 0, "dropped": 0}, "metrics:0", Verdict.ACCEPTED),
        (200, b"# card", "any", Verdict.ACCEPTED),
        (204, None, "id", Verdict.RETRY),
        (200, {}, "id", Verdict.RETRY),
        (200, {"id": ""}, "id", Verdict.RETRY),
        (200, {"id": 7}, "id", Verdict.RETRY),
        (200, {"ingested": 2, "dropped": 0}, "metrics:3", Verdict.RETRY),
        (200, {"ingested": True, "dropped": 0}, "metrics:1", Verdict.RETRY),
        (200, {"ingested": 4, "dropped": -1}, "metrics:3", Verdict.RETRY),
        (200, {}, "metrics:3", Verdict.RETRY),
        (200, b"<html>Welcome to the hotel</html>", "object", Verdict.RETRY),
        (200, b"", "object", Verdict.RETRY),
        (200, [1], "object", Verdict.RETRY),
        (200, b'{"id": "x', "id", Verdict.RETRY),
        (200, b"[" * 100_000, "object", Verdict.RETRY),
        (200, b"\xff\xfe", "object", Verdict.RETRY),
        (301, None, "object", Verdict.MISCONFIGURED),
        (307, {"id": "x"}, "id", Verdict.MISCONFIGURED),
        (400, {"reason": "bad"}, "object", Verdict.REFUSED),
        (401, None, "object", Verdict.UNAUTHORIZED),
        (402, None, "object", Verdict.FORBIDDEN),
        (403, None, "object", Verdict.FORBIDDEN),
        (404, None, "object", Verdict.MISSING),
        (405, None, "object", Verdict.REFUSED),
        (407, None, "object", Verdict.MISCONFIGURED),
        (408, None, "object", Verdict.RETRY),
        (409, {"reason": "in_flight"}, "object", Verdict.IN_FLIGHT),
        (409, {"reason": "overlap", "have": [[1, 5]]}, "object", Verdict.OVERLAP),
        (409, {"reason": "overlap"}, "object", Verdict.RETRY),
        (409, {"reason": "overlap", "have": [[5, 1]]}, "object", Verdict.RETRY),
        (409, {"reason": "overlap", "have": [[1, "5"]]}, "object", Verdict.RETRY),
        (409, {"reason": ["odd"]}, "object", Verdict.REFUSED),
        (409, None, "object", Verdict.REFUSED),
        (410, None, "object", Verdict.DELETED),
        (413, b"<html>too large</html>", "object", Verdict.REFUSED),
        (415, None, "object", Verdict.REFUSED),
        (418, None, "object", Verdict.REFUSED),
        (421, None, "object", Verdict.RETRY),
        (422, {"reason": "value"}, "object", Verdict.REFUSED),
        (422, {"reason": "key_reused"}, "object", Verdict.KEY_REUSED),
        (425, None, "object", Verdict.RETRY),
        (426, None, "object", Verdict.MISCONFIGURED),
        (429, None, "object", Verdict.RETRY),
        (500, None, "object", Verdict.RETRY),
        (501, None, "object", Verdict.RETRY),
        (503, None, "object", Verdict.RETRY),
        (511, b"<html>log in</html>", "object", Verdict.RETRY),
        (101, None, "object", Verdict.RETRY),
        (0, None, "object", Verdict.RETRY),
        (999, None, "object", Verdict.RETRY),
    ],
)
def test_a4_each_answer_means_one_thing(status: int, body: object, expect: str, verdict: Verdict) -> None:
    assert told(status, body, expect=expect).verdict is verdict


STATUSES = range(1000)
EXPECTATIONS = ("object", "object or nothing", "id", "any", "metrics:0", "metrics:17")
BODIES = (
    b"",
    b"{}",
    b'{"id":"x","ingested":17,"dropped":0}',
    b'{"reason":"in_flight","detail":"no"}',
    b'{"reason":"overlap","have":[[1,2]]}',
    b'{"reason":"overlap","have":"all"}',
    b'{"reason":"key_reused"}',
    b"<html>no</html>",
    b"[]",
    b"\xff\xfe",
)
# the text, and the seconds that it asks for, counted from NOW
FORMS: tuple[tuple[str, float | None], ...] = (
    ("", None),
    ("0", 0),
    ("1", 1),
    ("-1", 0),
    ("0.2", 0.2),
    ("120", 120),
    (" 1 ", 1),
    ("1.", 1),
    ("9" * 400, 3600),
    ("+1", None),
    ("1e9", None),
    ("0x10", None),
    ("1, 2", None),
    ("1 second", None),
    ("soon", None),
    ("nan", None),
    ("inf", None),
    ("\u0661", None),
    ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
    ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
    ("Wed, 32 Oct 2015", None),
)


def whole(answer: Answer, status: int) -> None:
    """What holds of any answer."""
    assert answer.status == status
    assert answer.reason.isprintable()
    assert answer.retry_after is None or 0 <= answer.retry_after <= 3600
    assert bool(answer.have) == (answer.verdict is Verdict.OVERLAP)
    assert (answer.verdict is Verdict.ACCEPTED) <= (200 <= status < 300)
    assert answer.verdict is Verdict.ACCEPTED or answer.reason


def meaning(status: int, body: bytes) -> Verdict | None:
    """The table of A4 once more; None where a 2xx depends on what was expected."""
    own = {
        (409, b"in_flight"): Verdict.IN_FLIGHT,
        (409, b"key_reused"): Verdict.REFUSED,
        (409, b"overlap"): Verdict.OVERLAP if b"[[" in body else Verdict.RETRY,
        (422, b"key_reused"): Verdict.KEY_REUSED,
    }
    for (code, word), verdict in own.items():
        if status == code and word in body:
            return verdict
    if 200 <= status < 300:
        return None
    if status in (408, 421, 425, 429) or status < 300 or status >= 500:
        return Verdict.RETRY
    if status < 400 or status in (407, 426):
        return Verdict.MISCONFIGURED
    named = {401: Verdict.UNAUTHORIZED, 402: Verdict.FORBIDDEN, 403: Verdict.FORBIDDEN}
    return {**named, 404: Verdict.MISSING, 410: Verdict.DELETED}.get(status, Verdict.REFUSED)


@pytest.mark.parametrize("body", BODIES)
def test_a4_every_status_means_one_thing_with_any_body_whatever_was_expected(body: bytes) -> None:
    for status in STATUSES:
        for expect in EXPECTATIONS:
            answer = told(status, body, expect=expect)
            whole(answer, status)
            wanted = meaning(status, body)
            assert answer.verdict is wanted if wanted else answer.verdict in (Verdict.ACCEPTED, Verdict.RETRY)


def test_a4_every_status_has_the_wait_that_its_answer_asks_for_in_each_form() -> None:
    for status in STATUSES:
        for text, seconds in FORMS:
            answer = told(status, {}, headers={"Retry-After": text})
            assert (answer.retry_after, answer.verdict) == (seconds, told(status, {}).verdict), (status, text)


@given(
    st.integers(0, 999),
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(["reason", "have", "id", "ingested", "dropped", "detail"]), inner)
            ),
            max_leaves=8,
        ),
    ),
    st.sampled_from(EXPECTATIONS),
    st.dictionaries(st.sampled_from(["Retry-After", "date", "Location", "x"]), st.text()),
)
def test_a4_every_answer_has_a_verdict(status: int, body: object, expect: str, headers: dict[str, str]) -> None:
    whole(told(status, body, expect=expect, headers=headers), status)


def test_a4_overlaps_come_in_order() -> None:
    assert told(409, {"reason": "overlap", "have": [[7, 9], [1, 2]]}).have == ((1, 2), (7, 9))


def test_a_servers_words_are_told_on_one_printable_line() -> None:
    assert told(400, {"reason": "value", "detail": "bad\x1b[2J\nkey"}).reason == "400: value: bad\\x1b[2J\\nkey"
    assert told(502, b"<html>\n  <h1>Bad   gateway</h1>").reason == "502: <html> <h1>Bad gateway</h1>"
    assert "elsewhere.example" in told(308, headers={"Location": "http://elsewhere.example/"}).reason
    assert len(told(500, b"x" * 100_000).reason) < 400


def test_an_expectation_that_is_none_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="expect must be"):
        told(200, {}, expect="yes")


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("-3", 0),
        ("99999999999999999999", 3600),
        ("9" * 5000, 3600),
        ("soon", None),
        ("", None),
        ("١٢", None),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2027 09:00:00 +0100", 0),
        ("Friday, 15-Jan-27 08:01:00 GMT", 60),
        ("Tue, 19 Jan 2038 03:14:08 GMT", 3600),
        ("Thu, 01 Jan 9999 00:00:00 GMT", 3600),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 2027", None),
    ],
)
def test_a4_retry_after_is_seconds_or_a_date_and_at_most_an_hour(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, NOW) == seconds


def test_a15_a_retry_after_date_counts_from_the_servers_own_clock() -> None:
    dated = {"retry-after": "Tue, 19 Jan 2038 03:14:38 GMT", "date": "Tue, 19 Jan 2038 03:14:08 GMT"}
    assert retry_after(dated, NOW) == 30
    assert retry_after({"retry-after": "Tue, 19 Jan 2038 03:14:38 GMT"}) is None


@given(st.integers(), st.lists(st.none() | st.floats(0, 3600), max_size=40))
def test_a4_waits_are_bounded_and_never_below_what_the_server_asked(seed: int, asked: list[float | None]) -> None:
    backoff = Backoff(random.Random(seed), base=0.5, cap=300)
    last = 0.5
    for floor in asked:
        wait = backoff.next(floor)
        assert wait >= 0.5
        assert wait >= (floor or 0)
        assert wait <= max(last * 3, 300, (floor or 0) * 1.1)
        last = wait


def test_a4_waits_grow_and_start_anew_after_a_success() -> None:
    backoff = Backoff(random.Random(1))
    assert max(backoff.next() for _ in range(50)) > 100
    backoff.reset()
    assert backoff.next() <= 1.5


def broken(**options: float) -> Breaker:
    breaker = Breaker(random.Random(1), threshold=3, **options)  # type: ignore[arg-type]
    for _ in range(3):
        breaker.failure(100.0)
    return breaker


def test_a4_the_breaker_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(random.Random(1), threshold=3)
    for outcome in (breaker.failure, breaker.failure, None, breaker.failure, breaker.failure):
        breaker.success() if outcome is None else outcome(100.0)
        assert breaker.allow(100.0)
    breaker.failure(100.0)
    assert breaker.state(100.0) == "open"
    assert not breaker.allow(100.0)
    assert breaker.wait(100.0) > 0


def test_a4_half_open_lets_one_probe_through() -> None:
    breaker = broken()
    later = 100.0 + breaker.wait(100.0)
    assert breaker.state(later) == "half-open"
    assert [breaker.allow(later) for _ in range(3)] == [True, False, False]
    breaker.success()
    assert breaker.allow(later)
    assert breaker.wait(later) == 0


def test_a4_a_failed_probe_opens_it_again() -> None:
    breaker = broken()
    later = 100.0 + breaker.wait(100.0)
    assert breaker.allow(later)
    breaker.failure(later)
    assert breaker.state(later) == "open"
    assert not breaker.allow(later)


def test_a4_a_probe_that_never_came_back_does_not_wedge_it() -> None:
    breaker = broken(probe_timeout=60)
    later = 100.0 + breaker.wait(100.0)
    assert breaker.allow(later)
    assert not breaker.allow(later + 59)
    assert breaker.allow(later + 61)


def test_a4_who_comes_while_another_probes_asks_again_soon_for_that_may_fail() -> None:
    breaker = broken()
    later = 100.0 + breaker.wait(100.0)
    assert breaker.allow(later)
    assert 0 < breaker.wait(later) < 10
    assert 0 < breaker.wait(later + 800) < 10


def test_a4_a_probe_that_was_not_sent_is_given_to_the_next() -> None:
    breaker = broken()
    later = 100.0 + breaker.wait(100.0)
    assert breaker.allow(later)
    breaker.release()
    assert breaker.allow(later)


def test_a3_one_poisoned_batch_alone_does_not_open_the_breaker() -> None:
    breaker = Breaker(random.Random(1), threshold=3)
    for _ in range(50):
        breaker.failure(100.0, outage=False, source="poisoned")
    assert breaker.state(100.0) == "closed"
    breaker.failure(100.0, outage=False, source="second")
    breaker.failure(100.0, outage=False, source="third")
    assert breaker.state(100.0) == "open"


def test_a4_a_server_that_asks_for_rest_gets_it_at_once() -> None:
    breaker = Breaker(random.Random(1))
    breaker.failure(100.0, retry_after=600)
    assert not breaker.allow(699.0)
    assert breaker.wait(100.0) >= 600
    assert told(503).outage
    assert told(200, b"<html>").outage
    assert not told(500).outage
    assert not told(404).outage
