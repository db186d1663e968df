"""Several runs, as an address names them."""

from __future__ import annotations

from starlette.requests import Request

from tracehoused.house.errors import invalid
from tracehoused.house.values import int64_of

MOST_RUNS = 10


def run_ids(request: Request) -> list[str]:
    """The runs that the parameters `run` name, each once; Refusal 422 for none or more than ten."""
    asked = list(dict.fromkeys(one for one in request.query_params.getlist("run") if one))
    if not 1 <= len(asked) <= MOST_RUNS:
        raise invalid(f"choose between one and {MOST_RUNS} runs")
    return asked


def series_numbers(request: Request) -> list[int]:
    """The series that the parameters `series` name by their numbers; Refusal 422 for anything else."""
    asked = [int64_of(one) for one in request.query_params.getlist("series")]
    numbers = [one for one in asked if one is not None and one >= 0]
    if len(numbers) != len(asked):
        raise invalid("series must be numbers of series", field="series")
    return numbers
