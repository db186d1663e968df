"""The slow way of ``tracehouse.values``: any object → what JSON can hold. The forms are told in its table."""

from __future__ import annotations

import math
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

MAX_REPR = 10_000
MAX_NUMBERS = 2**20
# objects whose parts refer to each other every which way have more paths than time to walk them
MAX_NODES = 2**20

_BYTES = (bytes, bytearray, memoryview)


def plain(value: object, max_depth: int) -> object:
    """The value made of None, bool, int, float, str, list and dict alone, at most `max_depth` levels deep."""
    return _Walk(max_depth).convert(value, 0)


def deeper_than(value: Iterable[Any], max_depth: int) -> bool:
    """Whether dicts, lists and tuples lie in each other deeper than that; `value` is one of them, free of cycles."""
    level: list[Iterable[Any]] = [value]
    for _ in range(max_depth):
        inner: list[Iterable[Any]] = []
        for container in level:
            members = list(container.values()) if isinstance(container, dict) else container
            inner += [member for member in members if isinstance(member, (dict, list, tuple))]
        if not inner:
            return False
        level = inner
    return True


def safe_repr(value: object) -> str:
    """``repr`` cut at MAX_REPR characters, or what can be said without it."""
    try:
        return repr(value)[:MAX_REPR]
    except Exception as error:  # noqa: BLE001 - a user's __repr__ can raise anything
        return f"<{type(value).__qualname__} whose repr raises {type(error).__name__}>"


def _opaque(value: object) -> dict[str, object]:
    return {"_type": "repr", "value": safe_repr(value)}


def _number(text: str) -> dict[str, object]:
    return {"_type": "number", "value": text}


def _int(value: int) -> object:
    exact = int.__int__(value)
    try:
        int.__repr__(exact)
    except ValueError:
        return _number(hex(exact))
    return exact


def _float(value: float) -> object:
    exact = float.__float__(value)
    if math.isfinite(exact):
        return exact
    return _number("NaN" if exact != exact else "Infinity" if exact > 0 else "-Infinity")


def _is(value: object, module: str, *names: str) -> bool:
    """Whether it is an instance of a class of that module, which need not be imported for that."""
    there = sys.modules.get(module)
    return there is not None and isinstance(value, tuple(getattr(there, name) for name in names))


def _decimal(value: Any) -> object:
    try:
        near = float(value)
    except (OverflowError, ValueError):
        return _number(str(value))
    if not math.isfinite(near):
        return _float(near) if value != value or value in (near, -near) else _number(str(value))
    # repr is the shortest text that gives this double: when it says the same number, nothing is lost
    faithful = type(value)(repr(near)) == value
    return near if faithful else _number(str(value))


def _bytes(value: bytes | bytearray | memoryview) -> dict[str, object]:
    from binascii import b2a_base64

    return {"_type": "bytes", "base64": b2a_base64(bytes(value), newline=False).decode()}


def _fields(value: Any) -> dict[str, object] | None:
    """The fields of a record-like object (dataclass, attrs, msgspec, pydantic, Namespace), or None."""
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return _present(value, kind.__dataclass_fields__)
    if hasattr(kind, "__attrs_attrs__"):
        return _present(value, (field.name for field in kind.__attrs_attrs__))
    if hasattr(kind, "__struct_fields__"):
        return _present(value, kind.__struct_fields__)
    for name in ("model_dump", "dict"):
        if hasattr(kind, name) and (hasattr(kind, "model_fields") or hasattr(kind, "__fields__")):
            dumped = getattr(value, name)()
            return dumped if isinstance(dumped, dict) else None
    if _is(value, "argparse", "Namespace") or _is(value, "types", "SimpleNamespace"):
        return dict(vars(value))
    return None


def _present(value: object, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _array(value: Any) -> object:
    """Numbers of an array library, as Python's; the array itself when it is too long for a record."""
    kind = type(value)
    if hasattr(kind, "detach"):
        value = value.detach()
    if hasattr(kind, "cpu"):
        value = value.cpu()
    shape = [int(length) for length in getattr(value, "shape", ())]
    if math.prod(shape) > MAX_NUMBERS:
        return {"_type": "array", "dtype": str(value.dtype), "shape": shape, "value": safe_repr(value)}
    if getattr(value.dtype, "kind", "") in ("m", "M"):
        value = value.astype(str)
    if not hasattr(kind, "tolist"):
        value = value.numpy()
    listed = value.tolist()
    # a scalar that Python has no type for, such as numpy's long double or bfloat16, gives itself
    return float(value) if type(listed) is type(value) else listed


class _Walk:
    """One conversion: what it is inside of, and how much more it may look at."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._inside: set[int] = set()
        self._left = MAX_NODES

    def convert(self, value: object, depth: int) -> object:
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        self._left -= 1
        if self._left < 0:
            return _opaque(value)
        if id(value) in self._inside:
            return {"_type": "cycle"}
        self._inside.add(id(value))
        try:
            return self._one(value, depth)
        except Exception:  # noqa: BLE001 - a user's class can raise anything; what it is can still be said
            return _opaque(value)
        finally:
            self._inside.discard(id(value))

    def _one(self, value: Any, depth: int) -> object:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return _int(value)
        if isinstance(value, float):
            return _float(value)
        if isinstance(value, _BYTES):
            return _bytes(value)
        scalar = self._scalar(value, depth)
        if scalar is not None:
            return scalar
        if depth >= self._max_depth:
            return _opaque(value)
        return self._container(value, depth)

    def _scalar(self, value: Any, depth: int) -> object:
        """The form of what is one value to its user, or None."""
        kind = type(value)
        if isinstance(value, complex):
            parts = (self.convert(value.real, depth), self.convert(value.imag, depth))
            return {"_type": "complex", "real": parts[0], "imag": parts[1]}
        if _is(value, "enum", "Enum"):
            return self.convert(value.value, depth)
        if hasattr(kind, "isoformat"):
            return str(value.isoformat())
        if _is(value, "datetime", "timedelta"):
            return _float(value.total_seconds())
        if _is(value, "decimal", "Decimal") or _is(value, "fractions", "Fraction"):
            return _decimal(value)
        if _is(value, "uuid", "UUID"):
            return str(value)
        if isinstance(value, os.PathLike):
            return os.fsdecode(value)
        if isinstance(value, BaseException):
            return {"_type": "exception", "type": kind.__qualname__, "message": str(value)[:MAX_REPR]}
        return None

    def _container(self, value: Any, depth: int) -> object:
        from collections.abc import Mapping, Sequence, Set

        kind = type(value)
        if isinstance(value, Mapping):
            # a dict at once: another thread may change it meanwhile
            items = value.items() if isinstance(value, dict) else ((key, value[key]) for key in value)
            return self._mapping(list(items), depth)
        if hasattr(kind, "dtype") and (hasattr(kind, "tolist") or hasattr(kind, "numpy")):
            return self.convert(_array(value), depth)
        fields = _fields(value)
        if fields is not None:
            return self._mapping(list(fields.items()), depth)
        if isinstance(value, range) and len(value) > MAX_NUMBERS:
            return _opaque(value)
        if isinstance(value, Set):
            return self._set(value, depth)
        if isinstance(value, Sequence) or hasattr(kind, "popleft") or hasattr(kind, "typecode"):
            return [self.convert(member, depth + 1) for member in list(value)]
        return self._numeric(value)

    def _numeric(self, value: Any) -> object:
        """What is nothing else, yet says that it is a number."""
        kind = type(value)
        if hasattr(kind, "__index__"):
            return _int(value.__index__())
        return _float(float(value)) if hasattr(kind, "__float__") else _opaque(value)

    def _set(self, value: Iterable[Any], depth: int) -> object:
        members = list(value)
        try:
            members.sort()
        except TypeError:
            members.sort(key=safe_repr)
        return [self.convert(member, depth + 1) for member in members]

    def _mapping(self, pairs: list[tuple[object, object]], depth: int) -> dict[str, object]:
        out: dict[str, object] = {}
        for key, member in pairs:
            name = first = self._key(key)
            n = 1
            while name in out:
                n += 1
                name = f"{first}#{n}"
            out[name] = self.convert(member, depth + 1)
        return out

    def _key(self, key: object) -> str:
        """As JSON itself turns None, bools and numbers into keys; else the text of its form, or its repr."""
        if isinstance(key, bytes):
            return key.decode("utf-8", "backslashreplace")
        form = key if isinstance(key, (tuple, frozenset)) else self.convert(key, self._max_depth - 1)
        if isinstance(form, str):
            return str.__str__(form)
        if form is None or isinstance(form, bool):
            return {None: "null", True: "true", False: "false"}[form]
        if isinstance(form, dict) and form.get("_type") == "number":
            return str(form["value"])
        return repr(form) if isinstance(form, (int, float)) else safe_repr(key)
