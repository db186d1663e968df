"""A13: patches are folded, one request for each trace or run; later words win, metadata and config merge by key."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tracehoused.upload.batch import Record
from tracehoused.upload.patches import fold, without


def records(*said: tuple[str, dict[str, Any]]) -> list[Record]:
    return [Record(seq, kind.encode(), json.dumps(data).encode(), 0, 0) for seq, (kind, data) in enumerate(said, 1)]


def test_later_fields_win_and_metadata_merges_by_key() -> None:
    [patch] = fold(
        records(
            ("trace_patch", {"session_id": "s", "outcome": "bad", "metadata": {"a": 1, "b": {"x": 1}}}),
            ("trace_patch", {"session_id": "s", "outcome": "good", "metadata": {"b": {"y": 2}}}),
        ),
        "s",
    )
    assert patch.fields == {"outcome": "good", "metadata": {"a": 1, "b": {"y": 2}}}
    assert patch.seqs == [1, 2]
    assert (patch.kind, patch.target, patch.outcome) == ("trace", "s", "good")


def test_a_run_has_one_patch_and_its_status_is_not_in_it() -> None:
    [patch] = fold(
        records(
            ("config_patch", {"lr": 1, "seed": 2}),
            ("run_patch", {"hf_model": "m"}),
            ("config_patch", {"lr": 3}),
            ("run_patch", {"status": "finished", "ended_at": "2026-01-01T00:00:00Z"}),
        ),
        "r",
    )
    assert patch.fields == {"config_patch": {"lr": 3, "seed": 2}, "hf_model": "m"}
    assert patch.seqs == [1, 2, 3, 4]


def test_each_rollout_has_its_own_patch_in_the_order_of_their_first() -> None:
    found = fold(
        records(
            ("trace_patch", {"session_id": "r-1", "outcome": "good"}),
            ("trace_patch", {"session_id": "r-2", "outcome": "bad"}),
            ("trace_patch", {"session_id": "r-1", "model": "m"}),
        ),
        "run",
    )
    assert [(patch.target, patch.fields) for patch in found] == [
        ("r-1", {"outcome": "good", "model": "m"}),
        ("r-2", {"outcome": "bad"}),
    ]


def test_a_rollout_with_its_runs_name_is_not_the_run() -> None:
    found = fold(
        records(("trace_patch", {"session_id": "x", "outcome": "good"}), ("run_patch", {"hf_model": "m"})), "x"
    )
    assert [(patch.kind, patch.fields) for patch in found] == [
        ("trace", {"outcome": "good"}),
        ("run", {"hf_model": "m"}),
    ]


def test_each_model_card_is_pushed() -> None:
    found = fold(records(("push_model_card", {}), ("push_model_card", {"commit_message": "again"})), "r")
    assert [(patch.is_card, patch.fields) for patch in found] == [(True, {}), (True, {"commit_message": "again"})]


FIELDS = st.dictionaries(st.sampled_from(["outcome", "model", "task_name"]), st.sampled_from(["x", "y"]), max_size=3)
META = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3)


@given(st.lists(st.tuples(st.sampled_from(["t1", "t2"]), FIELDS, META), max_size=12), st.integers(0, 12))
def test_folded_in_two_rounds_the_server_ends_with_the_same(
    said: list[tuple[str, dict[str, Any], dict[str, int]]], at: int
) -> None:
    told = records(*(("trace_patch", {"session_id": t, **f, **({"metadata": m} if m else {})}) for t, f, m in said))

    def applied(*rounds: list[Record]) -> dict[str, dict[str, Any]]:
        held: dict[str, dict[str, Any]] = {}
        for one in rounds:
            for patch in fold(one, "run"):
                into = held.setdefault(patch.target, {})
                fields = dict(patch.fields)
                into.setdefault("metadata", {}).update(fields.pop("metadata", {}))
                into.update(fields)
        return held

    assert applied(told[:at], told[at:]) == applied(told) == applied(*([one] for one in told))


_SAID = st.fixed_dictionaries(
    {},
    optional={
        "outcome": st.sampled_from(["good", "bad"]),
        "model": st.sampled_from("mn"),
        "metadata": st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
    },
)


@given(_SAID, _SAID)
def test_a3_an_earlier_patch_without_what_a_later_one_says_changes_no_more_than_it_did_in_time(
    earlier: dict[str, Any], later: dict[str, Any]
) -> None:
    def after(*said: dict[str, Any]) -> dict[str, Any]:
        found = fold(records(*(("trace_patch", one) for one in said)), "s")
        return {"metadata": {}, **found[0].fields}

    assert after(later, without(earlier, later)) == after(earlier, later)
