"""README tells of each command, and only of commands and options that there are."""

from __future__ import annotations

import re

import click
import pytest

from tests.support import jobs
from tracehoused.cli import main

_README = (jobs.ROOT / "README.md").read_text(encoding="utf-8")
_PROGRAMS = {"tracehouse": main.tracehouse, "tracehoused": main.tracehoused}
_COMMAND = re.compile(r"(?:^|[`&/ ])(tracehoused?) ([a-z-]+)([^`#\n&|]*)", re.M)
# in a table's cell: `tracehouse login`, `logout`, `whoami`
_MORE = re.compile(r"`(tracehoused?) [a-z-]+[^`]*`((?:, `[a-z-]+[^`]*`)+)")


def _code() -> str:
    """What README sets as code: indented lines and what stands in backticks."""
    lines = [line for line in _README.splitlines() if line.startswith("    ")]
    return "\n".join([*lines, *(f"`{one}`" for one in re.findall(r"`([^`\n]+)`", _README))])


def _told() -> list[tuple[str, str, str]]:
    told = [found for found in _COMMAND.findall(_code()) if not found[1].startswith("-")]
    for program, others in _MORE.findall(_README):
        told += [(program, *re.match(r"([a-z-]+)(.*)", one).groups()) for one in re.findall(r"`([^`]+)`", others)]  # type: ignore[union-attr]
    return told


def _command(program: str, name: str) -> click.Command | None:
    group = _PROGRAMS[program]
    return group.get_command(click.Context(group), name)


@pytest.mark.parametrize("program,name,rest", sorted(set(_told())))
def test_each_command_in_the_readme_is_there_with_its_options(program: str, name: str, rest: str) -> None:
    command = _command(program, name)
    assert command is not None, f"{program} has no command {name!r}"
    known = {option for one in command.params for option in one.opts} | {"--help"}
    assert set(re.findall(r"--[a-z-]+", rest)) <= known


@pytest.mark.parametrize("program", sorted(_PROGRAMS))
def test_the_readme_tells_of_each_command(program: str) -> None:
    group = _PROGRAMS[program]
    told = {name for of, name, _ in _told() if of == program}
    assert set(group.list_commands(click.Context(group))) <= told
