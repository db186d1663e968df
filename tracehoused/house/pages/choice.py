"""Several runs, as an address names them."""

from __future__ import annotations

from starlette.requests import Request

from tracehoused.house.errors import invalid

MOST_RUNS = 10


def run_ids(request: Request) -> list[str]:
    """The runs that the parameters `run` name, each once; Refusal 422 for none or more than ten."""
    asked = list(dict.fromkeys(one for one in request.query_params.getlist("run") if one))
    if not 1 <= len(asked) <= MOST_RUNS:
        raise invalid(f"choose between one and {MOST_RUNS} runs")
    return asked
