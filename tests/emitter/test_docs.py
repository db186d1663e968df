"""What is told of the public names is there, is whole, and runs: examples in docstrings, and the Python blocks of README."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs, lanes
from tracehouse import wandb

_DOORS = {"cm": cm, "wandb": wandb}
_README = jobs.ROOT / "README.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
# how other modules of tracehouse begin, share or end what users begin and end by other names
_NOT_FOR_USERS = {"begin_rollout", "begin_attached", "end"}
_CLASSES = (cm.Run, cm.TrainingRun)
# what users are handed and do not make
_HANDED_OUT = (
    "tracehouse.integrations.logs.LogHandler",
    "tracehouse.mapping.RecordedDict",
    "tracehouse.reading.RecordedSpool",
    "tracehouse.recorded.RecordedSession",
    "tracehouse.spans.OpenSpan",
    "tracehouse.traces.RecordedTrace",
    "tracehouse.traces.Rows",
    "tracehouse.wandb.configs.Config",
    "tracehouse.wandb.definitions.Metric",
    "tracehouse.wandb.runs.Run",
    "tracehouse.wandb.summaries.Summary",
)


def _modules() -> list[str]:
    found = pkgutil.walk_packages(cm.__path__, "tracehouse.")
    return ["tracehouse", *(one.name for one in found)]


def _named(door: str) -> list[str]:
    return [f"{door}.{name}" for name in _DOORS[door].__all__]


def _thing(path: str) -> Any:
    door, _, name = path.partition(".")
    return getattr(_DOORS[door], name)


def _is_told_by_itself(thing: object) -> bool:
    return inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing)


def _needs(text: str) -> None:
    """Skip an example that imports what is not installed here."""
    for name in re.findall(r"^\s*(?:>>>|\.\.\.)? ?(?:import|from) (\w+)", text, re.M):
        lanes.needs_module(name)


def _run(test: doctest.DocTest) -> None:
    _needs(test.docstring or "")
    told = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    try:
        runner.run(test, out=told.write)
    finally:
        _end_all()
    assert not runner.failures, told.getvalue()


def _end_all() -> None:
    wandb.finish()
    cm.run_finish()
    cm.finish()


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory, a spool, keys and an agent's state of an example's own, and no run open before or after it."""
    monkeypatch.chdir(tmp_path)
    for name in ("SPOOL", "CONFIG", "STATE"):
        monkeypatch.setenv(f"TRACEHOUSE_{name}_DIR", str(tmp_path / name.lower()))
    yield
    jobs.close_all()


@pytest.mark.parametrize("path", [*_named("cm"), *_named("wandb")])
def test_each_public_name_has_a_docstring_and_an_example_that_runs_after_the_import_alone(path: str) -> None:
    thing = _thing(path)
    if not _is_told_by_itself(thing):
        # a constant, or what stands for a part of the current run: its package tells of it
        door, _, name = path.partition(".")
        assert re.search(rf"\b{name}\b", _DOORS[door].__doc__ or ""), f"{door}'s docstring does not tell of {name}"
        return
    told = inspect.getdoc(thing)
    assert told, f"{path} has no docstring"
    test = doctest.DocTestParser().get_doctest(told, dict(_DOORS), path, None, None)
    assert test.examples, f"{path} has no example"
    _run(test)


@pytest.mark.parametrize("name", _modules())
def test_each_example_of_a_module_runs(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        # an integration with what is not installed here
        if missing.name is None or missing.name.startswith("tracehouse"):
            raise
        lanes.require(missing.name, f"needs the Python package {missing.name}")
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=dict(_DOORS)):
        _run(test)


@pytest.mark.parametrize("kind", _CLASSES)
def test_each_method_has_a_docstring_and_is_in_an_example(kind: type) -> None:
    for name, member in inspect.getmembers(kind):
        if name.startswith("_") or name in _NOT_FOR_USERS:
            continue
        assert inspect.getdoc(member), f"{kind.__name__}.{name} has no docstring"
        if callable(member):
            told = f"{inspect.getdoc(kind)}\n{inspect.getdoc(member)}"
            examples = "".join(one.source for one in doctest.DocTestParser().get_examples(told))
            assert f".{name}(" in examples, f"{kind.__name__}.{name} is in no example"


@pytest.mark.parametrize("path", _HANDED_OUT)
def test_what_users_are_handed_is_told_of_with_an_example(path: str) -> None:
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    assert doctest.DocTestParser().get_examples(inspect.getdoc(kind) or ""), f"{path} has no example"
    for own in (one for base in kind.__mro__ if base.__module__.startswith("tracehouse") for one in vars(base)):
        if not own.startswith("_"):
            member = inspect.getattr_static(kind, own)
            if callable(member) or isinstance(member, property):
                assert inspect.getdoc(member), f"{path}.{own} has no docstring"


@pytest.mark.parametrize("path", [*_named("cm"), *_named("wandb")])
def test_each_member_of_a_public_class_has_a_docstring(path: str) -> None:
    thing = _thing(path)
    for name, member in inspect.getmembers(thing) if inspect.isclass(thing) else ():
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{path}.{name} has no docstring"


def _readme_blocks() -> list[str]:
    return _BLOCK.findall(_README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", range(len(_readme_blocks())))
def test_each_python_block_of_the_readme_runs(number: int, tmp_path: Path) -> None:
    block = _readme_blocks()[number]
    _needs(block)
    done = jobs.run(block, tmp_path / "spool")
    assert done.code == 0, done.err


def test_the_readme_has_python_blocks() -> None:
    assert _readme_blocks()
