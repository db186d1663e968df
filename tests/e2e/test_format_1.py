"""S4: the committed spool of format 1 is uploaded by every later version."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.home import Held, Home
from tests.support.house import House

DATA = Path(__file__).parents[1] / "agent" / "data" / "spool-format-1"


def test_s4_the_committed_spool_arrives_whole(home: Home, house: House) -> None:
    shutil.copytree(DATA, home.spool)
    done = home.sync("--api-base", house.url, "--close-dead")
    assert done.code == 0, done.err
    with Held(house, machine="node-1-linux") as there:
        assert len(there.points("ppo-1")) == 24
        assert set(there.points("ppo-1").values()) == {1}
        assert there.values("ppo-1", "loss")[-1] == {"_type": "number", "value": "NaN"}
        assert there.media("ppo-1") == [("clip", 4), ("samples/é", 3)]
        assert there.artifacts("ppo-1") == ["notes"]
        run = there.run("ppo-1")
        assert (run["status"], run["hf_model"]) == ("finished", "org/model")
        assert run["config"] == {"lr": 1e-5, "seed": 7}
        rollouts = {trace["session_id"]: trace for trace in there.traces("ppo-1-")}
        assert sorted(rollouts) == ["ppo-1-step0", "ppo-1-step1", "ppo-1-step2", "ppo-1-step2.1"]
        assert rollouts["ppo-1-step1"]["outcome"] == "good"
        assert there.texts("ppo-1-step2.1") == ["Read", "tool_result"]
        assert there.texts("chat/1 ü") == ["hello", "hm", "hi there"]
        assert there.texts("torn") == ["whole"]
        assert there.trace("torn")["outcome"] == "bad"


def test_s3_a_torn_tail_of_a_writer_nobody_can_ask_is_left_and_said(home: Home, house: House) -> None:
    """The rest of it may come with the next copy."""
    shutil.copytree(DATA, home.spool)
    done = home.sync("--api-base", house.url, "--session", "torn")
    assert done.code == 1
    assert "59 bytes not acknowledged" in done.err
