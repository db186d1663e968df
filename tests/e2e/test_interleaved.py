"""A1: ranges of several endpoints lie within one another, and the house has each record once, with what it said."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.support.home import Held, Home
from tests.support.house import House, all_points
from tests.support.proxy import Fault, lost, proxied
from tests.support.servers import Received
from tests.support.waiting import wait_until

COUNT = 24
JOB = """
    run = cm.TrainingRun(client_run_id="mixed", name="r", system_metrics=False, capture_env=False)
    for step in range(int(sys.argv[1])):
        run.log({"loss": step / 8, "acc": -step})
        run.log_image("grid", b"\\x89PNG\\r\\n\\x1a\\n" + bytes([step]) * 50, step=step, caption=f"picture {step}")
        if step % 3 == 0:
            run.add_artifact(f"note-{step}", data={"step": step})
        with run.rollout(step=step, session_id=f"mixed-{step}") as t:
            t.log_user(f"text {step}")
    run.finish()
"""
_RANGE = re.compile(r"(?P<uid>[^/]+)/(?P<epoch>[^:]+):(?P<first>\d+)-(?P<last>\d+)")


def _ranges(received: list[Received], endpoint: str) -> list[tuple[int, int]]:
    told = [
        one.headers.get("x-tracehouse-range", "") for one in received if one.target.partition("?")[0].endswith(endpoint)
    ]
    return [(int(found["first"]), int(found["last"])) for one in told if (found := _RANGE.fullmatch(one))]


def _interleave(received: list[Received]) -> bool:
    metrics, media = _ranges(received, "/metrics"), _ranges(received, "/media")
    return any(low < picture < high for low, high in metrics for picture, _ in media)


def _assert_each_record_once(house: House) -> None:
    with Held(house) as held, house.client() as client:
        run = held.run("mixed")["id"]
        points = [(key, step, value) for key, _, _, step, value, _ in all_points(client, run)]
        assert sorted(points) == sorted(
            [("loss", step, step / 8) for step in range(COUNT)] + [("acc", step, -step) for step in range(COUNT)]
        )
        media = client.get(f"/v1/runs/{run}/media", params={"limit": 1000}).json()["media"]
        pictures = [b"\x89PNG\r\n\x1a\n" + bytes([step]) * 50 for step in range(COUNT)]
        assert sorted((one["step"], one["key"], one["caption"], one["sha256"]) for one in media) == [
            (step, "grid", f"picture {step}", hashlib.sha256(picture).hexdigest())
            for step, picture in enumerate(pictures)
        ]
        artifacts = client.get(f"/v1/runs/{run}/artifacts", params={"limit": 1000}).json()["artifacts"]
        assert sorted((one["data"]["step"], one["name"]) for one in artifacts) == [
            (step, f"note-{step}") for step in range(0, COUNT, 3)
        ]
        for step in range(COUNT):
            assert held.texts(f"mixed-{step}") == [f"text {step}"]
        assert held.run("mixed")["status"] == "finished"


def test_a1_ranges_interleave_metrics_and_media(home: Home, house: House, tmp_path: Path) -> None:
    """Killed in the middle with replies lost, and gone on with by an agent that cuts otherwise and does not know what was acknowledged."""
    home.job(JOB, str(COUNT))
    count = 0

    def rule(request: Received) -> Fault | None:
        nonlocal count
        count += request.method == "POST"
        return lost if request.method == "POST" and count % 4 == 0 else None

    small = {"TRACEHOUSE_BATCH_POINTS": "10", "TRACEHOUSE_BATCH_SPANS": "4"}
    with proxied(house.url, rule) as proxy:
        first = home.start("sync", str(home.spool), "--api-base", proxy.url, **small)
        wait_until(lambda: _interleave(proxy.received) or first.poll() is not None, what="points around a picture")
        first.kill()
        first.communicate()
        assert _interleave(proxy.received)
    other = {"TRACEHOUSE_BATCH_POINTS": "14", "TRACEHOUSE_STATE_DIR": str(tmp_path / "other")}
    with proxied(house.url) as proxy:
        # another address: none of the acknowledgements of the first count, and the house deduplicates by ranges alone
        done = home.sync("--api-base", proxy.url, **other)
        assert done.code == 0, done.err
    _assert_each_record_once(house)
    assert home.sync().code == 0
    _assert_each_record_once(house)


@pytest.mark.parametrize("checked_there", [True, False])
def test_a3_a_picture_that_is_not_as_recorded_is_never_taken_and_the_others_arrive(
    home: Home, house: House, checked_there: bool
) -> None:
    """Its size is right, so that what is wrong shows only once its bytes were read: here, or by a server that checks them."""
    name = f"flipped-{checked_there}"
    job = """
    run = cm.TrainingRun(client_run_id=sys.argv[1], name="r", system_metrics=False, capture_env=False)
    for step in range(9):
        run.log_image("grid", b"\\x89PNG\\r\\n\\x1a\\n" + bytes([step]) * 700_000, step=step)
    run.finish()
    """
    home.job(job, name)
    flipped = hashlib.sha256(b"\x89PNG\r\n\x1a\n" + b"\x04" * 700_000).hexdigest()
    with (home.session() / "media" / f"{flipped}.png").open("r+b") as file:
        file.seek(600_000)
        file.write(b"\x05")
    with proxied(house.url, plain=not checked_there) as proxy:
        home.sync("--api-base", proxy.url)
        sent = [one.target for one in proxy.received if "/media?" in one.target]
    [letter] = [
        json.loads(line)
        for path in home.spool.glob("*/upload/*/deadletters.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert (letter["type"], letter["status"], letter["parked"]) == ("media", None, True)
    assert "media file damaged" in letter["reason"]
    assert len(sent) == (9 if checked_there else 8)
    with Held(house) as held:
        assert held.media(name) == [("grid", step) for step in range(9) if step != 4]
        assert held.run(name)["status"] == "finished"
