"""A run's rollouts: rewards by step, the groups of a step, samples by reward, and one or two conversations beside them."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house.api.read import number
from tracehoused.house.pages.answer import shown, wanted
from tracehoused.house.pages.conversation import turns_of
from tracehoused.house.pages.render import query as encoded
from tracehoused.house.pages.rewards import bar, picture
from tracehoused.house.pages.run import run_page
from tracehoused.house.pages.sharing import link
from tracehoused.house.pages.trace import HELPERS
from tracehoused.house.store import look, rewards, talk, traces
from tracehoused.house.store.once import Caller

Values = dict[str, Any]
_SPANS = 200
# Up to so many rollouts of a step, all are listed at once; of more, those of the group that was chosen.
_ALL_AT_ONCE = rewards.SAMPLES


@shown
async def rollouts(request: Request) -> Response:
    # Address parameters that are there but empty mean "no group", so their presence counts.
    query = request.query_params
    step = number(request, "step") if query.get("step") else None
    skip, skipped_groups = (number(request, name, 0, 10**9) or 0 for name in ("skip", "groups"))
    worst = wanted(request, "order") == "worst"
    asked_group, has_group = wanted(request, "group"), "group" in query
    opened = [one for one in (wanted(request, "open"), wanted(request, "with")) if one is not None]

    def address(**changes: Any) -> str:
        return _address(request, changes)

    # All rewards of a run are walked through for their picture; who only opens another rollout has it already.
    quick = "quick" in query

    def find(connection: Connection, caller: Caller, run: Row[Any]) -> Values:
        near = rewards.near(connection, run.pk, step)
        panes = [_pane(connection, caller, run, one) for one in opened]
        loose = rewards.without_step(connection, run.pk)
        more: Values = {"near": near, "loose": loose, "panes": panes, "skip": skip, "worst": worst}
        more |= {"address": address, "bar": bar, **HELPERS}
        if near is None:
            return more
        total, many = rewards.size_of_step(connection, run.pk, near.chosen)
        rows = rewards.groups(connection, run.pk, near.chosen, skipped_groups)
        groups = rows[: rewards.GROUPS]
        every = not has_group and total <= _ALL_AT_ONCE
        group = asked_group if has_group or not groups else groups[0].name
        found = rewards.samples(connection, caller, run.pk, near.chosen, group, every=every, skip=skip, worst=worst)
        return {
            **more,
            "groups": [_group(one, every or one.name == group) for one in groups],
            "samples": found[: rewards.SAMPLES],
            "following": skip + rewards.SAMPLES if len(found) > rewards.SAMPLES else None,
            "total": total,
            "many": many,
            "skipped_groups": skipped_groups,
            "more_groups": skipped_groups + rewards.GROUPS if len(rows) > rewards.GROUPS else None,
            "ends": _ends(groups),
            "spread": None if quick else picture(rewards.spread(connection, run.pk), near.chosen),
        }

    return await run_page(request, "rollouts.html", find)


def _group(row: Row[Any], is_open: bool) -> Values:
    known = {name: getattr(row, name) for name in ("name", "size", "mean", "least", "most")}
    mean = row.mean if row.mean is not None and math.isfinite(row.mean) else None
    return {**known, "mean": mean, "open": is_open}


def _ends(groups: list[Row[Any]]) -> tuple[float, float]:
    """Where the bars of a step's rewards begin and end: at 0 unless one is less, and at the greatest."""
    least = [group.least for group in groups if group.least is not None]
    most = [group.most for group in groups if group.most is not None]
    return (min(0.0, *least), max(most)) if least else (0.0, 0.0)


def _pane(connection: Connection, caller: Caller, run: Row[Any], trace_id: str) -> Values:
    row = traces.trace_row(connection, caller, trace_id)
    part = talk.part(connection, row, 0, _SPANS)
    found = look.one_trace(connection, caller, row.id)
    return {"trace": found, "reward": row.reward, "turns": turns_of(part.spans), "more": part.after is not None}


def _address(request: Request, changes: dict[str, Any]) -> str:
    """This page with some parameters changed; None leaves one out."""
    kept = {
        name: value
        for name, value in request.query_params.items()
        if name not in changes and name not in ("t", "quick")
    }
    given = {name: value for name, value in changes.items() if value is not None}
    parameters = {**kept, **given}
    path = f"/r/{request.path_params['id']}/rollouts"
    return link(f"{path}?{encoded(parameters)}" if parameters else path)
