"""The table of ``tracehouse status``: it fits the terminal, and no word of a reason is lost."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tracehoused.cli.table import lines
from tracehoused.status import SessionStatus

_REASON = "no key for https://tracehouse.ai; give one with `tracehouse login`, or name another server: `tracehouse sync --api-base URL`"
_ONE = SessionStatus(
    session="/spool/run-x",
    kind="run",
    id="py-0b8e7f2a-2f5c-4d0f-9a61-0d5a3d0f2f1e",
    uid="u",
    project=None,
    name="ppo-v1",
    state="finished",
    records=20,
    acknowledged=5,
    bytes=4096,
    acknowledged_bytes=1024,
    dead_letters=0,
    dropped=0,
    damaged_bytes=0,
    omitted=0,
    missing=0,
    forgotten=0,
    uploaded=False,
    destination=None,
    identity=None,
    server_id=None,
    trouble=_REASON,
)


def _words(made: list[str]) -> str:
    return " ".join(" ".join(made).split())


def test_where_it_is_piped_a_session_is_a_line_with_its_whole_reason() -> None:
    head, row = lines([_ONE], None)
    assert row.endswith(_REASON)
    assert _ONE.id in row
    assert row.index("ppo-v1") == head.index("NAME")
    assert row.index(_REASON) == head.index("LAST ERROR")


def test_no_names_no_column() -> None:
    head, row = lines([replace(_ONE, name=None, trouble="")], None)
    assert "NAME" not in head
    assert row.split()[:3] == ["run", _ONE.id, "finished"]


def test_a_wide_terminal_has_the_reason_beside_and_a_narrow_one_below() -> None:
    wide, narrow = lines([_ONE], 140), lines([_ONE], 80)
    assert [line.index("no key") for line in wide if "no key" in line] == [wide[0].index("LAST ERROR")]
    assert all(line.startswith("    ") for line in narrow[2:])
    beside = wide[0].index("LAST ERROR")
    assert _words([line[beside:] for line in wide[1:]]) == _words(narrow[2:]) == _REASON
    for made, width in ((wide, 140), (narrow, 80)):
        assert max(map(len, made)) <= width


def test_a_long_reason_is_told_once_for_the_rows_that_share_it() -> None:
    other = replace(_ONE, trouble=_REASON.replace("tracehouse.ai", "example.org"))
    for width in (80, 140):
        told = _words(lines([_ONE, _ONE, _ONE, other, _ONE], width)[1:])
        assert told.count("(the same)") == 2
    assert sum(_REASON in line for line in lines([_ONE, _ONE], None)) == 2


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4), st.text(max_size=70), st.integers(80, 300))
def test_any_text_fits_but_for_words_that_are_longer(reasons: list[str], name: str, width: int) -> None:
    found = [replace(_ONE, name=name, trouble=reason) for reason in reasons]
    made = lines(found, width)
    assert len(made) >= len(found) + 1
    for line in made:
        assert len(line) <= width or max(map(len, line.split())) > 30
