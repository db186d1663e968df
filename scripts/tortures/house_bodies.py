"""What may be said in the bodies of requests to a house: field by field, a sound value and wrong ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.house import TIME


class Field(NamedTuple):
    """A sound value, wrong ones, and whether it may be left out or null."""

    sound: Any
    wrong: tuple[Any, ...]
    is_needed: bool = True

    @property
    def optional(self) -> Field:
        return Field(self.sound, tuple(one for one in self.wrong if one is not None), is_needed=False)


Table = dict[str, Field]
_DEEP: Any = "deep"
for _ in range(500):
    _DEEP = [_DEEP]
_TEXT = Field("t", (None, 5, True, 1.5, ["t"], {"t": 1}))
_ID = Field("s", (None, "", "x" * 1025, 5, ["s"], {}))
_TIMES: tuple[Any, ...] = (
    "",
    "9999-99-99",
    "yesterday",
    "2026-13-01T00:00:00Z",
    "2026-01-01T25:00:00Z",
    "2" * 5000,
    "\ud800",
    5,
    [],
)
_TIME = Field(TIME, _TIMES)
_WHOLE = Field(1, (None, "1", 1.5, 1e308, 2**63, -(2**63) - 1, 2**70, True, [1], {}))
_FREE = Field({"a": 1}, (None, [], "x", 5, True, {"a": _DEEP}))
_ANY = Field(1, (_DEEP, {"a": _DEEP}))


def _choice(sound: str) -> Field:
    return Field(sound, (None, "", "x", sound.upper(), 5, [sound], {}))


def _several(table: Table, most: int | None = None) -> Field:
    """A list of such objects."""
    wrong: list[Any] = [None, {}, "x", 5, [[]], [5], [None], [sound(table), "x"]]
    for bad in (
        spoilt(table, name, how) for name, one in table.items() for how in range(len(one.wrong) + one.is_needed)
    ):
        wrong += [[bad], [sound(table), bad, sound(table)]]
    many = [] if most is None else [[sound(table)] * (most + 1)]
    return Field([sound(table)], (*wrong, *many))


def sound(table: Table) -> dict[str, Any]:
    return {name: one.sound for name, one in table.items()}


def spoilt(table: Table, name: str, how: int) -> dict[str, Any]:
    """With one field wrong, or missing where it is needed; ``how``: any number."""
    body, one = sound(table), table[name]
    how %= len(one.wrong) + one.is_needed
    if how == len(one.wrong):
        del body[name]
    else:
        body[name] = one.wrong[how]
    return body


_TRACE: Table = {
    "session_id": _ID,
    "started_at": _TIME,
    "rollout_step": _WHOLE.optional,
    **dict.fromkeys(("scaffold", "project", "task_name", "model"), _TEXT.optional),
}
_CHANGES: Table = {
    "outcome": _choice("good").optional,
    "metadata": _FREE.optional,
    **dict.fromkeys(("task_name", "model", "scaffold"), _TEXT.optional),
}
_SPAN: Table = {
    "id": _ID,
    "session_id": _ID,
    "kind": _choice("user_msg"),
    "name": _TEXT,
    "start_at": _TIME,
    "attributes": _FREE,
    "end_at": _TIME.optional,
    "parent_span_id": _TEXT.optional,
    "status": _TEXT.optional,
}
_HF = dict.fromkeys(("hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision"), _TEXT.optional)
_POINT: Table = {
    "key": Field("k", (None, 5, True, ["k"], "x" * 1025)),
    "step": _WHOLE,
    "value": _ANY,
    "wall_time": _TIME.optional,
}
_PLACE: Table = {
    "uid": _ID,
    "segment": _ID,
    "endpoint": _choice("spans"),
    "first": Field(1, (*_WHOLE.wrong, -1, 3)),
    "last": Field(2, (*_WHOLE.wrong, -1, 0)),
}
BODIES: dict[str, Table] = {
    "POST /v1/anon/session": {},
    "POST /v1/verify": {
        "sessions": _several(_PLACE, 10_000).optional,
        "media": Field(["0" * 64], ({}, "x", ["x"], [5], ["F" * 64], ["0" * 63])).optional,
    },
    "POST /v1/traces": _TRACE,
    "PATCH /v1/traces/{id}": _CHANGES,
    "POST /v1/spans": {
        "traces": _several(_TRACE, 500).optional,
        "spans": _several(_SPAN),
        "patches": _several({"session_id": _ID, **_CHANGES}, 500).optional,
    },
    "POST /v1/runs": {
        "name": _TEXT,
        "client_run_id": _ID,
        "started_at": _TIME,
        "project": _TEXT.optional,
        "config": _FREE.optional,
        **_HF,
    },
    "PATCH /v1/runs/{id}": {
        "status": _choice("running").optional,
        "ended_at": _TIME.optional,
        "config_patch": _FREE.optional,
        **_HF,
    },
    "POST /v1/runs/{id}/metrics": {"points": _several(_POINT)},
    "POST /v1/runs/{id}/artifacts": {"name": _ID, "kind": _choice("json"), "data": _ANY},
}
