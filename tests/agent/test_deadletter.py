"""A2, A3: a dead letter is durable before its record is skipped, and counted once."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tracehoused.upload.deadletter import NAME, DeadLetter, DeadLetters


def letter(seq: int, reason: str = "no", **more: object) -> DeadLetter:
    return DeadLetter("e" * 16, 0, seq * 10, seq * 10 + 9, seq, "span", "spans", 400, reason, "t", **more)  # type: ignore[arg-type]


def test_a_record_is_there_once_as_it_was_last_told(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d" / NAME))
    assert letters.add(letter(1))
    assert letters.add(letter(2))
    assert not letters.add(letter(1, "again"))
    assert not DeadLetters(str(tmp_path / "d" / NAME)).add(letter(2, "later"))
    assert [(one.seq, one.reason) for one in DeadLetters(str(tmp_path / "d" / NAME)).all()] == [
        (1, "again"),
        (2, "later"),
    ]


def test_a_torn_line_costs_itself_only(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d" / NAME))
    letters.add(letter(1))
    [path] = (tmp_path / "d").iterdir()
    path.write_bytes(path.read_bytes() + b'{"epoch":"e')
    letters.add(letter(2))
    assert [one.seq for one in letters.all()] == [1, 2]


def test_what_is_kept_is_all_that_stays(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d" / NAME))
    for seq in (1, 2, 3):
        letters.add(letter(seq))
    letters.keep_only([letter(2)])
    assert [one.seq for one in letters.all()] == [2]
    letters.keep_only([])
    assert letters.all() == []
    assert os.listdir(tmp_path / "d") == []


def test_one_record_may_be_refused_in_two_lanes(tmp_path: Path) -> None:
    letters = DeadLetters(str(tmp_path / "d" / NAME))
    assert letters.add(letter(1))
    assert letters.add(replace(letter(1), lane="closing"))
    assert len(letters) == 2


def test_s1_what_is_in_the_agents_own_copy_or_under_a_former_name_is_there_too(tmp_path: Path) -> None:
    own, copy, former = (str(tmp_path / name / NAME) for name in ("session", "state", "former"))
    DeadLetters(former).add(letter(1))
    letters = DeadLetters(own, copy, [former])
    assert not letters.add(letter(1, "again"))
    letters.add(letter(2))
    os.unlink(own)
    again = DeadLetters(own, copy, [former])
    assert [(one.seq, one.reason) for one in again.all()] == [(1, "again"), (2, "no")]
    again.keep_only([letter(2)])
    assert [one.seq for one in DeadLetters(own, copy, [former]).all()] == [2]
    again.keep_only([])
    assert DeadLetters(own, copy, [former]).all() == []


def test_how_many_there_are_follows_what_another_process_did(tmp_path: Path) -> None:
    here, there = (DeadLetters(str(tmp_path / "d" / NAME)) for _ in range(2))
    assert len(here) == 0
    there.add(letter(1))
    assert len(here) == 1
    there.add(letter(2))
    assert len(here) == 2
    there.keep_only([])
    assert len(here) == 0
    assert here.add(letter(1))


@pytest.mark.parametrize(
    "field, value",
    [
        ("epoch", 5),
        ("seq", "x"),
        ("lane", None),
        ("n", -1),
        ("reason", []),
        ("epoch", "../../elsewhere"),
        ("n", 10**6),
        ("at", "\ud800"),
    ],
)
def test_a3_a_letter_that_makes_no_sense_is_none(tmp_path: Path, field: str, value: object) -> None:
    letters = DeadLetters(str(tmp_path / "d" / NAME))
    letters.add(letter(1))
    [path] = (tmp_path / "d").iterdir()
    path.write_bytes(path.read_bytes() + json.dumps({**asdict(letter(2)), field: value}).encode() + b"\n")
    assert [one.seq for one in letters.all()] == [1]
