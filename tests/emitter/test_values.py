"""E5: any value a user can pass becomes JSON on one line, in the form that the table of tracehouse.values tells."""

from __future__ import annotations

import argparse
import array
import base64
import collections
import contextlib
import dataclasses
import enum
import json
import math
import re
import sys
import types
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lanes import needs_module
from tracehouse.values import MAX_DEPTH, encode


def through(value: object) -> Any:
    """What a reader gets for it; the text is checked to be strict JSON on one line."""
    text = encode({"v": value})
    assert "\n" not in text

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    read: dict[str, Any] = json.loads(text, parse_constant=refuse)
    assert list(read) == ["v"]
    return read["v"]


def number(text: str) -> dict[str, str]:
    return {"_type": "number", "value": text}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_e5_what_json_can_hold_comes_back_equal(payload: dict[str, object]) -> None:
    text = encode(payload)
    assert "\n" not in text
    assert json.loads(text) == payload


@given(JSON_VALUES)
def test_e5_the_slow_way_gives_the_same_text(value: object) -> None:
    fast = encode({"v": value})
    slow = encode({"v": value, "n": math.nan})
    assert slow == fast[:-1] + ',"n":{"_type":"number","value":"NaN"}}'


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS | st.floats() | st.binary() | st.complex_numbers() | st.datetimes() | st.timedeltas() | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(SCALARS | st.tuples(st.integers()) | st.binary(), inner, max_size=4)
        | st.builds(collections.deque, st.lists(inner, max_size=3))
        | st.builds(types.SimpleNamespace, a=inner)
    ),
    max_leaves=20,
)


@given(ANYTHING)
def test_e5_anything_becomes_strict_json(value: object) -> None:
    through(value)


def test_it_is_compact_and_readable() -> None:
    assert (
        encode({"text": "größer ☃", "a": [1, 2], "nul": "\0\n"}) == '{"text":"größer ☃","a":[1,2],"nul":"\\u0000\\n"}'
    )


def test_lone_surrogates_stay_for_the_framing() -> None:
    assert encode({"t": "a\ud800b"}) == '{"t":"a\ud800b"}'


@pytest.mark.parametrize(
    "value,word", [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (Decimal("sNaN"), "sNaN")]
)
def test_e5_numbers_that_json_lacks_are_tagged(value: object, word: str) -> None:
    assert through(value) == number(word)
    assert through({"deep": [value, 1.5]}) == {"deep": [number(word), 1.5]}


@pytest.mark.parametrize("value", [2**53 + 1, -(2**63), 10**4000])
def test_e5_big_ints_keep_all_digits(value: int) -> None:
    assert through(value) == value


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="this Python writes ints of any length")
def test_e5_ints_too_long_to_be_written_are_hexadecimal() -> None:
    value = 10**5000
    assert through(value) == number(hex(value))
    assert int(through(-value)["value"], 16) == -value


class Kind(enum.Enum):
    ONE = 1
    MANY = (1, "x")


class Level(enum.IntEnum):
    HIGH = 3


class Colour(str, enum.Enum):
    RED = "red"


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class Config:
    lr: float
    where: Path
    inner: object = None


class Attrs:
    __attrs_attrs__ = (types.SimpleNamespace(name="a"), types.SimpleNamespace(name="unset"))

    def __init__(self) -> None:
        self.a = 1


class Model:
    """Dumps itself as pydantic's models do."""

    model_fields = ("a",)

    def model_dump(self) -> dict[str, object]:
        return {"a": {1}}


class Indexed:
    def __index__(self) -> int:
        return 7


class Floating:
    def __float__(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    "value,form",
    [
        (Kind.ONE, 1),
        (Kind.MANY, [1, "x"]),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (Name("own"), "own"),
        (Point(1, 2.5), [1, 2.5]),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a"}, ["a", 1]),
        (collections.deque([1, 2]), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        ({"a": 1}.keys(), ["a"]),
        (range(3), [0, 1, 2]),
        (array.array("i", [1, 2]), [1, 2]),
        (b"\xff", {"_type": "bytes", "base64": "/w=="}),
        (bytearray(b"ab"), {"_type": "bytes", "base64": "YWI="}),
        (memoryview(b"ab"), {"_type": "bytes", "base64": "YWI="}),
        (datetime(2024, 2, 29, 1, 2, 3, tzinfo=timezone.utc), "2024-02-29T01:02:03+00:00"),
        (date(2024, 2, 29), "2024-02-29"),
        (time(1, 2), "01:02:00"),
        (timedelta(seconds=90), 90.0),
        (Decimal("0.1"), 0.1),
        (Decimal("3.14159265358979323846"), number("3.14159265358979323846")),
        (Decimal("1e999"), number("1E+999")),
        (Decimal("Infinity"), number("Infinity")),
        (Fraction(1, 2), 0.5),
        (Fraction(1, 3), number("1/3")),
        (Fraction(10**400, 3), number(str(Fraction(10**400, 3)))),
        (1 + 2j, {"_type": "complex", "real": 1.0, "imag": 2.0}),
        (complex(math.nan, 0), {"_type": "complex", "real": number("NaN"), "imag": 0.0}),
        (Path("a/b"), "a/b"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Config(0.5, Path("x"), {1}), {"lr": 0.5, "where": "x", "inner": [1]}),
        (Attrs(), {"a": 1}),
        (Model(), {"a": [1]}),
        (argparse.Namespace(a=1), {"a": 1}),
        (types.SimpleNamespace(b={2}), {"b": [2]}),
        (ValueError("no"), {"_type": "exception", "type": "ValueError", "message": "no"}),
        (Indexed(), 7),
        (Floating(), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_e5_the_form_of_a_type(value: object, form: object) -> None:
    assert through(value) == form
    assert type(through(value)) is type(form)
    # the same where the slow way takes the whole payload
    assert through([value, math.nan])[0] == form


def test_iterators_are_not_consumed() -> None:
    numbers = iter([1, 2])
    assert through(numbers)["_type"] == "repr"
    assert list(numbers) == [1, 2]


@pytest.mark.parametrize(
    "key,text",
    [
        (1, "1"),
        (1.5, "1.5"),
        (None, "null"),
        (True, "true"),
        (b"raw", "raw"),
        (Path("p"), "p"),
        ((1, "a"), "(1, 'a')"),
        (math.nan, "NaN"),
        (Kind.ONE, "1"),
        (Level.HIGH, "3"),
        (date(2024, 1, 2), "2024-01-02"),
    ],
)
def test_e5_keys_become_text(key: object, text: str) -> None:
    assert through({key: "x"}) == {text: "x"}
    assert through({key: math.nan}) == {text: number("NaN")}


def test_e5_keys_that_read_the_same_stay_apart() -> None:
    assert through({b"1": "bytes", "1": "text", 1: "int"}) == {"1": "bytes", "1#2": "text", "1#3": "int"}


def test_e5_cycles_are_named_where_they_close() -> None:
    own: list[object] = [1]
    own.append(own)
    a: dict[str, object] = {}
    a["b"] = {"a": a}
    assert through(own) == [1, {"_type": "cycle"}]
    assert through(a) == {"b": {"a": {"_type": "cycle"}}}
    assert through([a["b"], a["b"]]) == [{"a": {"b": {"_type": "cycle"}}}] * 2


def test_e5_a_web_of_references_ends() -> None:
    nodes: list[types.SimpleNamespace] = [types.SimpleNamespace(others=[]) for _ in range(5)]
    for node in nodes:
        node.others.extend(nodes)
    assert len(through(nodes)) == 5


def test_what_is_shared_is_written_each_time() -> None:
    shared = {1}
    assert through([shared, shared]) == [[1], [1]]


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def depth(value: object) -> int:
    levels = 0
    while isinstance(value, (list, dict)):
        levels += 1
        value = next(iter(value.values() if isinstance(value, dict) else value), None)
    return levels


def test_e5_deep_nesting_is_cut() -> None:
    # the payload itself is one level
    assert through(nested(MAX_DEPTH - 1)) == nested(MAX_DEPTH - 1)
    for levels in (MAX_DEPTH, 500, 100_000):
        value = through(nested(levels))
        for _ in range(MAX_DEPTH - 1):
            value = value[0]
        assert value["_type"] == "repr"


def test_e5_deep_nesting_in_objects_is_cut() -> None:
    chain = None
    for _ in range(200):
        chain = Config(0.5, Path("x"), chain)
    assert "repr" in encode({"v": chain})
    assert len(encode({"v": chain})) < 20_000


def test_many_brackets_in_a_text_are_no_nesting() -> None:
    code = "def f(x): return {'a': [x[0], {}]}\n" * 100
    assert through({"text": code, "rows": [[1], [2]] * 100}) == {"text": code, "rows": [[1], [2]] * 100}


class Hostile:
    def __repr__(self) -> str:
        raise ZeroDivisionError

    def __len__(self) -> int:
        raise ZeroDivisionError

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise ZeroDivisionError


class HostileDict(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise ZeroDivisionError

    def __iter__(self) -> Any:
        raise ZeroDivisionError


class HostileNumber(float):
    def __repr__(self) -> str:
        raise ZeroDivisionError


class Elusive:
    """Answers to every name, as mocks do, but has nothing of its own."""

    def __getattr__(self, name: str) -> Elusive:
        return self

    def __call__(self, *args: object) -> Elusive:
        return self


def test_e5_hostile_objects_never_raise() -> None:
    told = through([Hostile(), HostileDict(a=1), 5])
    assert told[0] == {"_type": "repr", "value": "<Hostile whose repr raises ZeroDivisionError>"}
    assert told[1]["_type"] == "repr"
    assert told[2] == 5
    assert through(HostileNumber(0.5)) == 0.5
    assert through(HostileNumber(math.nan)) == number("NaN")
    assert through({Hostile: 1})
    assert through(Elusive())["_type"] == "repr"


def test_e5_a_long_repr_is_cut() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 50_000

    assert through(Long()) == {"_type": "repr", "value": "x" * 10_000}


def test_e5_classes_and_functions_are_named() -> None:
    assert through(len) == {"_type": "repr", "value": repr(len)}
    assert through(Config)["value"] == repr(Config)


def test_e5_a_huge_range_is_not_spelled_out() -> None:
    assert through(range(10**12)) == {"_type": "repr", "value": "range(0, 1000000000000)"}


def test_e5_a_long_text_and_long_bytes_are_whole() -> None:
    assert through("ab\n" * 40_000) == "ab\n" * 40_000
    assert base64.b64decode(through(bytes(range(256)) * 400)["base64"]) == bytes(range(256)) * 400


def test_e5_a_payload_that_changes_meanwhile_is_no_failure() -> None:
    class Growing(dict):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            self[len(self)] = 1
            return super().__iter__()

    assert through([Growing(a=math.nan)])


def test_e5_at_the_end_of_the_stack_a_record_or_the_callers_own_error() -> None:
    def log_at_depth(left: int) -> str:
        return encode({"v": {1, 2}, "n": math.nan}) if left == 0 else log_at_depth(left - 1)

    limit = sys.getrecursionlimit()
    logged = 0
    with contextlib.suppress(RecursionError):
        for left in range(limit - 250, limit, 10):
            json.loads(log_at_depth(left))
            logged += 1
    assert logged


def test_e5_numpy_values_are_numbers() -> None:
    needs_module("numpy")
    import numpy as np

    assert through(np.float32(1.5)) == 1.5
    assert through(np.float64(0.1)) == 0.1
    assert through(np.float16(math.nan)) == number("NaN")
    assert through(np.int64(2**62)) == 2**62
    assert through(np.bool_(True)) is True
    assert through(np.longdouble(1.5)) == 1.5
    assert through(np.array(3)) == 3
    assert through(np.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert through(np.array([1.0, math.inf])) == [1.0, number("Infinity")]
    assert through(np.complex64(1j)) == {"_type": "complex", "real": 0.0, "imag": 1.0}
    assert through(np.datetime64("2024-01-02")) == "2024-01-02"
    assert through(np.array(["a"])) == ["a"]
    assert through(np.array([{1}, None], dtype=object)) == [[1], None]
    assert through({np.int64(5): 1, np.bool_(True): 2, np.float32(0.5): 3}) == {"5": 1, "true": 2, "0.5": 3}
    assert through(np.float32)["_type"] == "repr"


def test_e5_a_huge_array_is_described() -> None:
    needs_module("numpy")
    import numpy as np

    told = through(np.zeros((2000, 1000), dtype="float32"))
    assert (told["_type"], told["dtype"], told["shape"]) == ("array", "float32", [2000, 1000])
    assert "..." in told["value"]


class Tensor:
    """What a torch tensor on a GPU, with a gradient, asks of those who want its numbers."""

    dtype = "bfloat16"
    shape = (2,)

    def __init__(self, state: str = "cuda, with gradient") -> None:
        self.state = state

    def detach(self) -> Tensor:
        return Tensor(self.state.split(",")[0])

    def cpu(self) -> Tensor:
        return Tensor("cpu" if self.state == "cuda" else self.state)

    def tolist(self) -> list[float]:
        if self.state != "cpu":
            raise TypeError(f"can't convert: {self.state}")
        return [0.5, math.nan]


def test_e5_tensors_come_down_from_the_gpu() -> None:
    assert through(Tensor()) == [0.5, number("NaN")]


def test_e5_torch_tensors_are_numbers() -> None:
    needs_module("torch")
    import torch

    assert through(torch.tensor(1.5, dtype=torch.bfloat16, requires_grad=True)) == 1.5
    assert through(torch.tensor([[1, 2]])) == [[1, 2]]
    assert through(torch.nn.Parameter(torch.tensor([math.inf]))) == [number("Infinity")]
    assert through(torch.float32) == {"_type": "repr", "value": "torch.float32"}
    assert through(torch.Size([1, 2])) == [1, 2]


def test_the_table_names_every_tag() -> None:
    import tracehouse.plain
    import tracehouse.values

    source = Path(tracehouse.plain.__file__).read_text()
    tags = set(re.findall(r'"_type": "(\w+)"', source))
    assert {tag for tag in tags if f'"_type":"{tag}"' not in (tracehouse.values.__doc__ or "")} == set()
