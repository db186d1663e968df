"""Dead letters, verify, doctor and links, as their user meets them."""

from __future__ import annotations

import json
import os
import re

from tests.service.support import Site
from tests.support.house import House
from tests.support.proxy import Fault, proxied, status
from tests.support.segments import AT, EPOCH, header, line, manifest, session, span
from tests.support.servers import Received, Server, reply, serving
from tracehouse.spool.layout import segment_name

_RUN = 'run = cm.init_run(project="p", client_run_id="r1"); [run.log({"loss": 5.0}) for _ in range(3)]'
_TRACE = (
    'cm.init(project="p", session_id="t1"); [cm.log_user(f"text {n}") for n in range(3)]; cm.finish(outcome="good")'
)


def test_verify_proves_what_the_house_has(site: Site) -> None:
    site.finished_job(_RUN)
    site.finished_job(_TRACE)
    assert site.tracehouse("verify", check=False).returncode == 1
    site.tracehouse("sync")
    proven = site.tracehouse("verify", "--json")
    told = json.loads(proven.stdout)
    assert told["proven"]
    assert all(session["asked"] and session["records"] for session in told["sessions"])


def test_verify_takes_a_directory_in_which_nothing_was_recorded_for_what_it_is(site: Site) -> None:
    """A job was killed before its first record: there is nothing of it that could be anywhere."""
    site.finished_job(_RUN)
    site.tracehouse("sync")
    (site.spool / f"trace-killed-{'0' * 16}").mkdir(mode=0o700)
    assert "2 of 2 sessions proven" in site.tracehouse("verify").stdout


def test_verify_finds_what_the_house_lost(site: Site, house: House) -> None:
    site.finished_job(_TRACE)
    site.tracehouse("sync")
    with house.client() as client:
        (trace,) = client.get("/v1/traces").json()["traces"]
        assert client.delete(f"/v1/traces/{trace['id']}").status_code == 200
    done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert "does not have it any more" in done.stderr


def test_verify_proves_what_is_too_large_for_one_reply(site: Site) -> None:
    site.finished_job('cm.init(session_id="t1"); [cm.log_user(f"{n}" + "x" * 100_000) for n in range(12)]; cm.finish()')
    site.finished_job('cm.init(session_id="t2"); cm.log_user("x" * 1_200_000); cm.finish()')
    site.finished_job(
        'run = cm.TrainingRun(name="r", system_metrics=False); run.log({f"{n}" + "x" * 500: n for n in range(3000)});'
        "run.finish()"
    )
    site.tracehouse("sync")
    assert "3 of 3 sessions proven" in site.tracehouse("verify").stdout


def test_verify_tells_a_server_in_trouble_from_one_that_has_lost_a_trace(site: Site, house: House) -> None:
    failing = False

    def rule(request: Received) -> Fault | None:
        return status(500, b'{"detail":"oops"}') if failing and request.target.startswith("/v1/traces/") else None

    with proxied(house.url, rule) as server:
        site.environ.update(TRACEHOUSE_API_BASE=server.url)
        site.finished_job(_TRACE)
        site.tracehouse("sync")
        failing = True
        done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert "could not be asked: 500: oops" in done.stderr
    assert "any more" not in done.stderr


def test_verify_finds_a_flipped_byte(site: Site) -> None:
    site.finished_job(_TRACE)
    site.tracehouse("sync")
    (segment,) = site.spool.glob("trace-*/*.jsonl")
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"text 1", b"text 9"))
    done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert "are no record" in done.stderr


def _damage(site: Site, trace: str) -> str:
    """Hit one record of a trace; what is to be told of that."""
    site.finished_job(_TRACE.replace("t1", trace))
    (segment,) = site.spool.glob(f"trace-{trace}-*/*.jsonl")
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"text 1", b"text 9"))
    [size] = [len(line) + 1 for line in data.split(b"\n") if b"text 1" in line]
    return f"{size} bytes are no record"


def test_s3_damage_that_costs_records_is_told_by_all_who_meet_it(site: Site) -> None:
    told = _damage(site, "t1")
    done = site.tracehouse("sync", check=False)
    assert (done.returncode, done.stderr.count(told)) == (1, 1)
    assert told not in site.tracehouse("sync").stderr
    assert told in site.tracehouse("status").stdout
    assert told in site.tracehouse("prune", "--older-than", "0").stdout
    told = _damage(site, "t2")
    assert told in site.tracehoused("run-once").stderr


def test_verify_tells_of_a_refused_record_once_and_claims_no_acknowledgement_of_it(site: Site) -> None:
    site.finished_job("""
        run = cm.TrainingRun(name="r", system_metrics=False)
        run.log({"loss": 1.0})
        run.log_image("seen", b"\\x89PNG\\r\\n\\x1a\\n", format="png", step=1)
        run.finish()
    """)
    (picture,) = site.spool.glob("*/media/*.png")
    picture.unlink()
    site.tracehouse("sync", check=False)
    (told,) = json.loads(site.tracehouse("verify", "--json", check=False).stdout)["sessions"]
    assert (told["asked"], told["proven"]) == (True, False)
    assert told["problems"] == ["1 record was refused: see `tracehouse deadletters list`"]


def test_verify_claims_no_acknowledgement_of_what_was_never_sent(site: Site) -> None:
    again = """
        run = cm.TrainingRun(client_run_id="again", system_metrics=False, capture_env=False)
        run.log({"loss": 1.0})
        run.finish()
    """
    site.finished_job(again)
    site.tracehouse("sync")
    site.finished_job(again)
    (told,) = json.loads(site.tracehouse("verify", "--json", check=False).stdout)["sessions"]
    assert (told["asked"], told["proven"]) == (True, False)
    [problem] = told["problems"]
    assert re.fullmatch(r"\d records are not acknowledged", problem)


def test_s2_verify_knows_a_record_that_was_broken_off_and_written_again(site: Site) -> None:
    site.finished_job("""
        import glob, os, resource
        run = cm.init(session_id="t1")
        cm.log_user("one")
        [segment] = glob.glob(os.environ["TRACEHOUSE_SPOOL_DIR"] + "/*/*.jsonl")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(segment) + 50, hard))
        cm.log_user("two")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        cm.log_user("three")
        cm.finish()
    """)
    site.tracehouse("sync")
    (segment,) = (path for path in site.spool.glob("*/*.jsonl") if not path.read_bytes().endswith(b"\n"))
    assert "1 of 1 sessions proven" in site.tracehouse("verify").stdout
    with open(segment, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert "50 bytes of segment" in done.stderr


def test_s2_verify_knows_a_told_loss_that_was_broken_off_and_told_anew_with_what_was_lost_since(
    site: Site, house: House
) -> None:
    of = manifest("trace", "t1", api_base=house.url)
    loss = {"records": 2, "bytes": 200, "reasons": {"No space left on device": 2}, "since": AT, "until": AT}
    begun = {"session_id": "t1", "started_at": AT, "scaffold": "python-sdk"}
    torn = line(4, "dropped", {**loss, "records": 1})[:-20]
    first = [line(1, "segment", header(of)), line(2, "trace", begun), line(3, "span", span(1, "t1")), torn]
    told = [line(6, "dropped", loss), line(7, "close", {"at": AT})]
    second = [line(5, "segment", header(of, n=1)), *told]
    kept = session(site.spool, of, first, second)
    site.tracehouse("sync", "--close-dead", check=False)
    assert "1 of 1 sessions proven" in site.tracehouse("verify").stdout
    segment = kept / segment_name(EPOCH, 1)
    segment.write_bytes(segment.read_bytes().replace(b'"dropped"', b'"drOpped"'))
    done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert f"{len(torn)} bytes of segment" in done.stderr


def test_verify_says_when_only_receipts_could_be_compared(site: Site, house: House) -> None:
    site.finished_job(_TRACE)
    site.tracehouse("sync")
    house.stop()
    done = site.tracehouse("verify", check=False)
    assert done.returncode == 1
    assert "could not be asked" in done.stderr or "only the receipts" in done.stderr


class _Picky:
    """A server of the base protocol that refuses spans with a word in them, until it is told not to."""

    def __init__(self) -> None:
        self.picky = True

    def __call__(self, connection: object, request: Received) -> bool:
        if request.target == "/v1/capabilities":
            answer = reply(404)
        elif self.picky and b"poison" in request.body:
            answer = reply(422, b'{"detail":"no poison"}')
        else:
            answer = reply(200, b'{"id":"x-1","ingested":1,"dropped":0}')
        return answer(connection, request)  # type: ignore[arg-type]


def _refused(site: Site, server: Server) -> str:
    site.environ.update(TRACEHOUSE_API_BASE=server.url)
    site.finished_job(
        'cm.init(session_id="t1"); cm.log_user("a"); cm.log_user("poison"); cm.log_user("b"); cm.finish()'
    )
    assert site.tracehouse("sync", check=False).returncode == 1
    (line,) = site.tracehouse("deadletters", "list", "--json").stdout.splitlines()
    return str(json.loads(line)["record"])


def test_a3_a_dead_letter_is_listed_shown_exported_and_kept_from_deletion(alone: Site) -> None:
    with serving(_Picky()) as server:
        record = _refused(alone, server)
        assert "no poison" in alone.tracehouse("deadletters", "list").stdout
        shown = json.loads(alone.tracehouse("deadletters", "show", str(alone.spool), record).stdout)
        assert shown["data"]["attributes"]["text"] == "poison"
        (exported,) = alone.tracehouse("deadletters", "export").stdout.splitlines()
        assert json.loads(exported)["data"] == shown["data"]
        alone.tracehouse("prune", "--older-than", "0")
        assert list(alone.spool.glob("trace-*/*.jsonl"))


def test_a3_a_dead_letter_is_sent_again_on_demand(alone: Site) -> None:
    picky = _Picky()
    with serving(picky) as server:
        _refused(alone, server)
        assert alone.tracehouse("deadletters", "retry", check=False).returncode == 1
        picky.picky = False
        assert "1 accepted, 0 left" in alone.tracehouse("deadletters", "retry").stdout
        assert "no dead letters" in alone.tracehouse("deadletters", "list").stdout
        assert b"poison" in server.received[-1].body
        assert alone.tracehouse("sync").returncode == 0


def test_a3_a_dead_letter_can_be_given_up(alone: Site) -> None:
    with serving(_Picky()) as server:
        _refused(alone, server)
        assert alone.tracehouse("deadletters", "drop", check=False).returncode == 1
        assert "1 given up" in alone.tracehouse("deadletters", "drop", "--yes").stdout
        assert alone.tracehouse("sync").returncode == 0
        alone.tracehouse("prune", "--older-than", "0")
        assert not list(alone.spool.glob("trace-*/*.jsonl"))


def test_doctor_finds_what_is_wrong_and_says_what_to_do(site: Site, house: House) -> None:
    site.finished_job(_TRACE)
    assert site.tracehouse("doctor").returncode == 0
    os.chmod(site.spool, 0o755)
    house.stop()
    done = site.tracehouse("doctor", check=False)
    assert done.returncode == 1
    assert "chmod 700" in done.stdout
    assert "cannot be reached" in done.stdout


def test_a9_links_are_told_for_what_is_public_and_for_nothing_else(site: Site, house: House) -> None:
    house.stop()
    house.options = ("--allow-anonymous",)
    house.start()
    del site.environ["TRACEHOUSE_API_KEY"]
    assert "nothing was uploaded anonymously" in site.tracehouse("links").stdout
    site.finished_job(_TRACE)
    site.tracehouse("sync", "--anonymous")
    told = site.tracehouse("links").stdout
    assert "PUBLIC" in told
    assert "/claim?token=" in told
    assert "trace t1: http://" in told
