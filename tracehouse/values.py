"""Any value a user can pass, as JSON text.

=========================================  ===========================================================================
Python                                     JSON
=========================================  ===========================================================================
None, bool, int, float, str                themselves, and their subclasses (``IntEnum``, ``numpy.float64``)
NaN, ±Infinity                             ``{"_type":"number","value":"NaN"}``, ``"Infinity"``, ``"-Infinity"``
int of more than 4300 digits               ``{"_type":"number","value":"0x…"}``
Decimal, Fraction                          a number where a double holds it, else ``{"_type":"number","value":"1/3"}``
complex                                    ``{"_type":"complex","real":…,"imag":…}``
dict and other mappings                    object; keys that are no text become text, an equal second one gets ``#2``
list, tuple, namedtuple, deque, sequences  array
set, frozenset                             array, sorted
range                                      array; of more than 2**20 numbers: its repr
numpy, torch, jax scalar or array          number or nested arrays; of more than 2**20 numbers:
                                           ``{"_type":"array","dtype":…,"shape":[…],"value":…}`` with its repr
bytes, bytearray, memoryview               ``{"_type":"bytes","base64":…}``
datetime, date, time, Timestamp            ISO 8601 as ``isoformat()`` says it
timedelta                                  seconds
Path, UUID                                 text
Enum                                       its value
dataclass, attrs, pydantic, msgspec        object of its fields; also ``argparse.Namespace`` and ``SimpleNamespace``
exception                                  ``{"_type":"exception","type":…,"message":…}``
what contains itself                       ``{"_type":"cycle"}`` in the place of the repetition
nested deeper than 64 levels               ``{"_type":"repr",…}`` of what lies deeper
anything else, iterators too (unconsumed)  ``{"_type":"repr","value":…}``, its repr cut at 10,000 characters
=========================================  ===========================================================================

Lone surrogates stay in the text as they are: whoever turns it into bytes escapes them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Payload = dict[str, object]

MAX_DEPTH = 64


def _plain(value: object) -> object:
    from tracehouse.plain import plain

    return plain(value, MAX_DEPTH)


def _refuse(value: object) -> object:
    raise TypeError


def _encoder(default: Callable[[object], object]) -> Callable[[Any, int], Any]:
    """One encoder for all calls: making it costs as much as a short encoding.

    NaN raises, and so does what contains itself, by exhausting the stack: both are rare, and to look for them is
    not free.
    """
    try:
        # the C half of json.encoder, without the import of json
        from _json import encode_basestring, make_encoder
    except ImportError:
        from json import JSONEncoder

        pure = JSONEncoder(
            ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=default
        )
        return lambda value, level: (pure.encode(value),)
    made: Callable[[Any, int], Any] = make_encoder(
        None, default, encode_basestring, None, ":", ",", False, False, False
    )
    return made


_encode = _encoder(_plain)
_encode_plain = _encoder(_refuse)


def encode(payload: Payload) -> str:
    """JSON text of the object, compact, on one line; any value in it comes out as the table above says.

    Raises only what no record could be made of: MemoryError, and RecursionError at the end of the caller's own stack.
    """
    try:
        text = "".join(_encode(payload, 0))
    except Exception:  # noqa: BLE001 - a user's own class can raise anything; the slow way asks it piece by piece
        return "".join(_encode(_plain(payload), 0))
    if _may_be_deep(text):
        from tracehouse.plain import deeper_than

        # what `_plain` made of other objects is cut already
        if deeper_than(payload, MAX_DEPTH):
            return "".join(_encode(_plain(payload), 0))
    return text


def encode_plain(payload: Payload) -> str | None:
    """``encode`` of an object made of texts, finite numbers, lists and dicts alone; None for any other."""
    try:
        text = "".join(_encode_plain(payload, 0))
    except Exception:  # noqa: BLE001 - as above
        return None
    return None if _may_be_deep(text) else text


def _may_be_deep(text: str) -> bool:
    return len(text) > 2 * MAX_DEPTH and text.count("[") + text.count("{") > MAX_DEPTH


__all__ = ["MAX_DEPTH", "encode", "encode_plain"]
