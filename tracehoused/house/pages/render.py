"""Templates to answers. Everything is escaped; text that has no UTF-8 form is shown with replacement characters."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from tracehoused.house.values import micros

_LONGEST_VALUE = 400


def pretty(value: Any) -> str:
    """JSON for people, indented; whatever is too deep for that on one line."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return json.dumps(value)


def brief(value: Any) -> str:
    """A value in a table cell."""
    if isinstance(value, dict) and value.get("_type") == "number":
        return str(value.get("value"))
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def moment(text: str | None) -> str:
    """A time as people read it, in UTC."""
    if text is None:
        return ""
    shown = datetime.fromtimestamp(0, timezone.utc)
    try:
        shown = datetime.fromtimestamp(micros(text) / 1_000_000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return text
    return shown.strftime("%Y-%m-%d %H:%M:%S UTC")


def size(count: int) -> str:
    """Bytes in a unit that suits them."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(pretty=pretty, brief=brief, moment=moment, size=size, unquote=unquote)
    return made


_TEMPLATES = _environment()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """The answer that shows a template."""
    html = _TEMPLATES.get_template(template).render(**values)
    return Response(html.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")
