"""A2, A3: a dead letter is durable before its record is skipped, and counted once."""

from __future__ import annotations

import os
from pathlib import Path

from tracehoused.upload.deadletter import DeadLetter, DeadLetters


def letter(seq: int, reason: str = "no", **more: object) -> DeadLetter:
    return DeadLetter("e" * 16, 0, seq * 10, seq * 10 + 9, seq, "span", "spans", 400, reason, "t", **more)  # type: ignore[arg-type]


def test_a_record_is_there_once_as_it_was_last_told(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d"))
    assert letters.add(letter(1))
    assert letters.add(letter(2))
    assert not letters.add(letter(1, "again"))
    assert not DeadLetters(str(tmp_path / "d")).add(letter(2, "later"))
    assert [(one.seq, one.reason) for one in DeadLetters(str(tmp_path / "d")).all()] == [(1, "again"), (2, "later")]


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d"))
    letters.add(letter(1))
    [path] = (tmp_path / "d").iterdir()
    path.write_bytes(path.read_bytes() + b'{"epoch":"e')
    letters.add(letter(2))
    assert [one.seq for one in letters.all()] == [1, 2]


def test_what_is_kept_is_all_that_stays(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d"))
    for seq in (1, 2, 3):
        letters.add(letter(seq))
    letters.keep_only([letter(2)])
    assert [one.seq for one in letters.all()] == [2]
    letters.keep_only([])
    assert letters.all() == []
    assert os.listdir(tmp_path / "d") == []
