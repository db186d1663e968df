"""What schemathesis asks after every answer of a house, beside what it knows itself: it loads this by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import schemathesis

from tortures.house_state import State

_state = State(Path(os.environ["TRACEHOUSE_TORTURED_HOUSE"]))


@schemathesis.check
def refused_changes_nothing(_context: Any, response: Any, _case: Any) -> None:
    if 200 <= response.status_code < 300:
        _state.renew()
    elif _state.changed():
        raise AssertionError(f"{response.status_code}, and yet it changed something")


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Parameters that it does not know are nothing wrong to the house, as fields of a newer client are; nor are cookies and headers, with
    which it rightly deletes."""
    asked = case.operation
    if asked.method.upper() == "DELETE":
        known = {"authorization", *(one.name.lower() for one in asked.headers)}
        if case.cookies or {str(name).lower() for name in case.headers or {}} - known:
            return False
    return set(case.query or {}) <= {one.name for one in asked.query}
