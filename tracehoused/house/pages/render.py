"""Templates to answers. Everything is escaped; text that has no UTF-8 form is shown with replacement characters."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from tracehoused.house.pages.sharing import follows, is_shared, link, shared_token
from tracehoused.house.pages.static_files import CONTENT
from tracehoused.house.values import micros

_LONGEST_VALUE = 400

# (section, address, label): what the bar at the top leads to; a page tells its section.
NAVIGATION = (
    ("runs", "/", "Runs"),
    ("traces", "/traces", "Traces"),
    ("agents", "/agents", "Agents"),
    ("keys", "/keys", "House"),
)
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def pretty(value: Any) -> str:
    """JSON for people, indented; whatever is too deep for that on one line."""
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return json.dumps(value)


def brief(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """A value in a table cell."""
    if isinstance(value, dict) and value.get("_type") == "number":
        return str(value.get("value"))
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else text[:longest] + "…"


def short(value: Any) -> str:
    """A number among many in a table."""
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else brief(value)


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


def seconds_of(text: str | None) -> float | None:
    """Seconds since 1970 of a time of the wire; None where there is none that can be read."""
    try:
        return None if text is None else micros(text) / 1_000_000
    except (ValueError, OverflowError):
        return None


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units: 0.3 s, 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return ""
    if abs(seconds) < 9.95:
        return f"{seconds:.1f} s".replace(".0 ", " ").replace("-", "−")
    sign, whole = "−" if seconds < 0 else "", abs(int(seconds))
    for large, name, small, lesser in _UNITS:
        if whole >= large:
            rest = whole % large // small
            return f"{sign}{whole // large} {name}" + (f" {rest} {lesser}" if rest else "")
    return f"{sign}{whole} s"


def brief_seconds(seconds: float) -> str:
    """A short span of time: 40 ms, 1.25 s, then as `duration` tells it."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 60 else duration(seconds)


def ago(text: str | None) -> str:
    """How long before now a time of the wire was, in its largest unit; a date where that is long."""
    at = seconds_of(text)
    if text is None or at is None:
        return text or ""
    passed = datetime.now(timezone.utc).timestamp() - at
    if passed < -60:
        return moment(text)
    if passed < 60:
        return "just now"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed >= unit:
            return moment(text)[:10] if passed >= 30 * 86400 else f"{int(passed // unit)} {name} ago"
    return ""


def code(value: Any) -> str:
    """JSON in ASCII, for attributes that scripts read: any text survives."""
    return json.dumps(value)


def query(parameters: dict[str, Any]) -> str:
    """The part of an address after the question mark."""
    return urlencode(parameters, doseq=True, errors="replace")


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(pretty=pretty, brief=brief, short=short, moment=moment, ago=ago, duration=duration, size=size)
    made.filters.update(query=query, code=code)
    made.filters.update(brief_seconds=brief_seconds)
    made.globals.update(static=f"/static/{CONTENT}", navigation=NAVIGATION)
    made.globals.update(link=link, is_shared=is_shared, shared_token=shared_token, follows=follows)
    return made


_TEMPLATES = _environment()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """The answer that shows a template."""
    html = _TEMPLATES.get_template(template).render(**values)
    return Response(html.encode("utf-8", "replace"), status, media_type="text/html; charset=utf-8")
