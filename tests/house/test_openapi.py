"""The house's description of itself is true, and no request made from it, or against it, makes the house fail."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.house import House
from tests.support.lanes import needs_module
from tests.support.trials import hold
from tortures import house_schema
from tracehoused.house.api.openapi import document
from tracehoused.house.app import api_routes


def test_the_description_is_openapi_and_names_every_operation() -> None:
    needs_module("openapi_spec_validator", "schemathesis")
    from openapi_spec_validator import validate

    told = document("1")
    validate(told)
    described = {(method.upper(), path) for path, operations in told["paths"].items() for method in operations}
    assert described == {
        (method, route.path) for route in api_routes() for method in route.methods or () if method != "HEAD"
    }


def test_the_description_is_served_without_a_key(house: House) -> None:
    assert httpx.get(f"{house.url}/openapi.json").json()["openapi"].startswith("3.1")


@pytest.mark.timeout(900)
def test_requests_made_from_the_description_never_make_the_house_fail(tmp_path: Path) -> None:
    hold(house_schema.run, tmp_path, "schemathesis", count=3)
