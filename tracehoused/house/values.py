"""Values as they come in and go out: JSON without surprises, times, numbers that JSON lacks. No I/O."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

from tracehoused.house.errors import Refusal, invalid, malformed

# Deep enough for any honest value, and shallow enough that every later encoder and page can walk it.
MOST_DEPTH = 400
MOST_ID = 1024
INT64 = 1 << 63
EXACT = 1 << 53

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=timezone.utc) - _EPOCH) // _MICROSECOND
_NONFINITE = {"NaN", "Infinity", "-Infinity"}
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_READS_Z = sys.version_info >= (3, 11)


def _no_constant(name: str) -> NoReturn:
    raise malformed(f"{name} is not JSON; a non-finite number is {{'_type': 'number', 'value': {name!r}}}")


_ENCODER = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _encoder() -> Callable[[Any, int], Iterable[str]]:
    """One for all calls: the module makes a new one for each, which costs as much as a short text does."""
    try:
        from _json import encode_basestring_ascii, make_encoder
    except ImportError:
        return lambda value, level: (_ENCODER.encode(value),)
    made: Callable[[Any, int], Iterable[str]] = make_encoder(
        None, _ENCODER.default, encode_basestring_ascii, None, ":", ",", False, False, False
    )
    return made


_encode = _encoder()


def parse_json(raw: bytes) -> Any:
    """The value of a JSON text; Refusal 400 if it is none, 422 if it is too deep or has too long a number."""
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise malformed(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise invalid("the body is nested too deeply") from None
    except ValueError as error:
        raise invalid(f"a number in the body cannot be read: {error}") from None


def parse_object(raw: bytes) -> dict[str, Any]:
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise malformed("the body must be a JSON object")
    return value


def dump(value: Any) -> str:
    """JSON in ASCII, so that NUL and lone surrogates survive every database; floats beyond range in tagged form."""
    try:
        return "".join(_encode(value, 0))
    except ValueError:
        return "".join(_encode(tagged(value), 0))


def tagged(value: Any) -> Any:
    """`value` with every non-finite float replaced by `{"_type": "number", "value": …}`."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"_type": "number", "value": nonfinite_name(value)}
    if isinstance(value, dict):
        return {key: tagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    return value


def nonfinite_name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def is_tagged_number(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 2 and value.get("_type") == "number" and _names_nonfinite(value)


def _names_nonfinite(value: dict[str, Any]) -> bool:
    name = value.get("value")
    return isinstance(name, str) and name in _NONFINITE


def check_depth(value: Any, where: str) -> None:
    """Refuse containers nested more than MOST_DEPTH deep; walks level by level, so depth costs no stack."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MOST_DEPTH):
        if not level:
            return
        items = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        level = [item for item in items if isinstance(item, (dict, list))]
    raise invalid(f"{where} is nested more than {MOST_DEPTH} deep")


def micros(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 time; one without an offset is UTC. Raises ValueError."""
    if not _READS_Z and text.endswith("Z"):
        text = text[:-1] + "+00:00"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    us = (moment - _EPOCH) // _MICROSECOND
    if not _FIRST_US <= us <= _LAST_US:
        raise ValueError(f"{text!r} is outside the years 1 to 9999")
    return us


def iso(us: int) -> str:
    """The ISO 8601 text, UTC with microseconds and Z, of a time in microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=us)).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def is_time(text: Any) -> bool:
    if not isinstance(text, str) or len(text) > 64:
        return False
    try:
        if _READS_Z and text.endswith("Z"):
            datetime.fromisoformat(text)
        else:
            micros(text)
    except (ValueError, OverflowError):
        return False
    return True


def refuse_number(value: Any, name: str) -> Refusal:
    return invalid(f"{name} must be a whole number within 64 bits, got {value!r:.80}")


def int64_of(text: str) -> int | None:
    """The whole number of 64 bits that a text is, in plain digits and no more of them than that needs; None if it is none."""
    value = int(text) if _WHOLE.fullmatch(text) else None
    return value if is_int64(value) else None


def is_int64(value: Any) -> bool:
    return type(value) is int and -INT64 <= value < INT64
