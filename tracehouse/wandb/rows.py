"""What a call of ``log`` was given → flat names and what is recorded under each.

======================================  =======================================================================
given                                   recorded
======================================  =======================================================================
a dict in a dict                        its items under ``outer/inner``; one with ``_type`` stays a dict
Image, Video, Audio, Html, …            media, of ``tracehouse.wandb`` and of ``tracehouse`` alike
a list with media                       each of them as media under the list's name
Histogram, Table, Plotly, Object3D      a dict with ``_type``; what is too long as a file, which the dict names
matplotlib figure or axes, PIL picture  an image
plotly figure                           a page, and a dict of its data with ``_type``
pandas DataFrame                        a table
array of more than 2**20 numbers        a histogram
anything else                           as ``tracehouse.values`` says
======================================  =======================================================================
"""

from __future__ import annotations

import sys

from tracehouse.exceptions import MediaError
from tracehouse.plain import MAX_NUMBERS
from tracehouse.wandb import files, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PLAIN = frozenset((float, int, bool, str, type(None)))
MAX_DEPTH = 32


def flatten(values: Mapping[Any, Any]) -> dict[str, Any]:
    """All that a call of ``log`` was given, by its flat names."""
    found: dict[str, Any] = {}
    _flatten(values, "", found, 0)
    return found


def _flatten(values: Mapping[Any, Any], prefix: str, found: dict[str, Any], depth: int) -> None:
    for key in values:
        value = values[key]
        name = f"{prefix}{key}"
        if type(value) in PLAIN:
            found[name] = value
        elif is_nested(value) and depth < MAX_DEPTH:
            _flatten(value, f"{name}/", found, depth + 1)
        else:
            found.update(entry(name, value))


def is_nested(value: Any) -> bool:
    """Whether it is a dict whose items have names of their own."""
    kind = type(value)
    is_mapping = isinstance(value, dict) or (hasattr(kind, "keys") and hasattr(kind, "__getitem__"))
    return is_mapping and not _is_frame(value) and len(value) > 0 and "_type" not in value


def is_special(value: Any) -> bool:
    """Whether it is recorded as something else than its own JSON."""
    if type(value) in PLAIN:
        return False
    if isinstance(value, (list, tuple)):
        return any(map(is_special, value))
    return _is_media(value) or _foreign(value) is not None


def entry(name: str, value: Any) -> dict[str, Any]:
    """What is recorded for one value: under its name, and where it comes in several parts, under names below."""
    if isinstance(value, (list, tuple)):
        return _list_entry(name, value) if any(map(is_special, value)) else {name: value}
    if not _is_media(value):
        value = _foreign(value) or value
    if hasattr(type(value), "entries"):
        made: dict[str, Any] = value.entries(name, inner)
        return made
    return {name: value}


def inner(name: str, value: Any) -> dict[str, Any] | None:
    """``entry`` of what lies in something else; None for a value that can stay there."""
    return entry(name, value) if is_special(value) else None


def _list_entry(name: str, values: Any) -> dict[str, Any]:
    """Media keep the list's name; other things that are more than a value get ``name/index``."""
    own: list[Any] = []
    beside: dict[str, Any] = {}
    for n, value in enumerate(values):
        if not is_special(value):
            own.append(value)
            continue
        made = entry(name, value)
        part = made.get(name)
        if isinstance(part, dict) or (isinstance(value, (list, tuple))):
            beside.update(entry(f"{name}/{n}", value))
        else:
            made.pop(name)
            own += part if isinstance(part, list) else [part]
            beside.update(made)
    return {name: own, **beside} if own else beside


def _is_media(value: object) -> bool:
    kind = type(value)
    return hasattr(kind, "spool_into") or hasattr(kind, "entries")


def _is_frame(value: object) -> bool:
    return type(value).__module__.partition(".")[0] in ("pandas", "polars")


def _foreign(value: Any) -> Any:
    """What another library's object becomes, or None where it is a value like any other."""
    try:
        return _converted(value)
    except MediaError as error:
        return files.Unusable(error)


def _converted(value: Any) -> Any:
    library = type(value).__module__.partition(".")[0]
    if library == "matplotlib" or (library == "builtins" and _is_pyplot(value)):
        return _figure(value)
    if library == "plotly" and hasattr(value, "to_html"):
        from tracehouse.wandb.documents import Plotly

        return Plotly(value)
    if library in ("pandas", "polars") and hasattr(value, "columns"):
        from tracehouse.wandb.tables import Table

        return Table(dataframe=value)
    if library == "PIL" and hasattr(value, "save") and hasattr(value, "mode"):
        from tracehouse.wandb.pictures import Image

        return Image(value)
    return _long_array(value)


def _is_pyplot(value: object) -> bool:
    return value is not None and value is sys.modules.get("matplotlib.pyplot")


def _figure(value: Any) -> Any:
    figure = value if hasattr(value, "savefig") else getattr(value, "figure", None)
    if not hasattr(figure, "savefig"):
        return None
    from tracehouse.wandb.pictures import Image

    return Image(figure)


def _long_array(value: Any) -> Any:
    kind = type(value)
    if not (hasattr(kind, "dtype") and hasattr(kind, "shape")):
        return None
    size = 1
    for length in value.shape:
        size *= int(length)
    if size <= MAX_NUMBERS or not hasattr(value, "tolist"):
        return None
    from tracehouse.wandb.histograms import Histogram

    told.once("an array of more than 2**20 numbers in log()", "it is recorded as a histogram")
    return Histogram(value)
