"""Reading the fields of a JSON object strictly: each function returns the value or refuses, naming field and value."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tracehoused.house.errors import invalid
from tracehoused.house.values import MOST_ID, check_depth, is_int64, is_time, refuse_number

Object = dict[str, Any]


def shown(value: Any) -> str:
    try:
        return ascii(value)[:80]
    except (RecursionError, ValueError):
        return type(value).__name__


def text(fields: Object, name: str, *, required: bool = False) -> str | None:
    value = fields.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise invalid(f"{name} must be a string, got {shown(value)}", field=name)
    return value


def identifier(fields: Object, name: str) -> str:
    value = text(fields, name, required=True) or ""
    if not value or len(value) > MOST_ID:
        raise invalid(f"{name} must have 1 to {MOST_ID} characters, got {len(value)}", field=name)
    return value


def time(fields: Object, name: str, *, required: bool = False) -> str | None:
    value = fields.get(name)
    if value is None and not required:
        return None
    if not is_time(value):
        raise invalid(f"{name} must be an ISO 8601 time, got {shown(value)}", field=name)
    return str(value)


def whole(fields: Object, name: str) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not is_int64(value):
        raise refuse_number(value if not isinstance(value, int) else "a longer one", name)
    return int(value)


def choice(fields: Object, name: str, allowed: Collection[str], *, required: bool = False) -> str | None:
    value = text(fields, name, required=required)
    if value is not None and value not in allowed:
        raise invalid(f"{name} must be one of {', '.join(sorted(allowed))}, got {shown(value)}", field=name)
    return value


def mapping(fields: Object, name: str, *, required: bool = False) -> Object | None:
    value = fields.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, dict):
        raise invalid(f"{name} must be a JSON object, got {shown(value)}", field=name)
    check_depth(value, name)
    return value


def items(fields: Object, name: str, *, required: bool = False) -> list[Any]:
    value = fields.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list):
        raise invalid(f"{name} must be a list, got {shown(value)}", field=name)
    return value


def extra(fields: Object, known: Collection[str]) -> Object | None:
    """What a newer client sent beyond the protocol; it is kept, so that nothing is lost by an older house."""
    rest = {name: value for name, value in fields.items() if name not in known}
    if rest:
        check_depth(rest, "the object")
    return rest or None
