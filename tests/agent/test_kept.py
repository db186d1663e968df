"""Checkpoints of live sessions between passes: those of sessions that are gone, or quiet, take nobody's place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tracehoused.upload.checkpoint import Checkpoint
from tracehoused.upload.kept import Kept


def _live(root: Path, name: str) -> Checkpoint:
    (root / name).mkdir(exist_ok=True)
    found = Checkpoint(str(root / name / "upload" / "d"), str(root / "acks" / f"{name}.json"))
    found.fact("server_id", name)
    found.commit()
    return found


def test_a10_a_session_that_is_gone_gives_its_place_to_another_and_leaves_no_copy(tmp_path: Path) -> None:
    kept = Kept(3600.0, most=1, cold_after=0.0)
    kept.keep("gone", "d", _live(tmp_path, "gone"))
    shutil.rmtree(tmp_path / "gone")
    other = _live(tmp_path, "other")
    kept.keep("other", "d", other)
    assert kept.take("gone", "d") is None
    assert kept.take("other", "d") is other
    assert not (tmp_path / "acks").exists()


def test_a10_what_is_kept_for_long_with_no_pass_goes_and_its_copy_is_made(tmp_path: Path) -> None:
    kept = Kept(3600.0, most=1, cold_after=0.0)
    quiet = _live(tmp_path, "quiet")
    kept.keep("quiet", "d", quiet)
    kept.keep("other", "d", _live(tmp_path, "other"))
    assert kept.take("quiet", "d") is None
    assert json.loads((tmp_path / "acks" / "quiet.json").read_bytes())["facts"] == {"server_id": "quiet"}


def test_a10_what_somebody_else_wrote_to_is_read_again(tmp_path: Path) -> None:
    kept = Kept(3600.0)
    kept.keep("s", "d", _live(tmp_path, "s"))
    other = _live(tmp_path, "s")
    other.fact("outcome_sent", "good")
    other.commit()
    assert kept.take("s", "d") is None


def test_a10_a_live_copy_follows_once_in_a_while_and_a_closed_ones_at_once(tmp_path: Path) -> None:
    kept = Kept(3600.0)
    session = _live(tmp_path, "s")
    kept.bring_up(session, live=True)
    assert not session.copy_lags()
    session.fact("said", 1)
    kept.bring_up(session, live=True)
    assert session.copy_lags()
    kept.bring_up(session, live=False)
    assert not session.copy_lags()
