"""Telling the user, once in a process, what wandb does and this does not."""

from __future__ import annotations

import logging
import os

from tracehouse.config import truthy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_logger = logging.getLogger("tracehouse")
_told: set[str] = set()
_is_silent = False


def once(what: str, why: str) -> None:
    """A warning on the logger ``tracehouse``; under WANDB_SILENT or ``Settings(silent=True)`` at level INFO."""
    if what in _told:
        return
    _told.add(what)
    say(logging.WARNING, f"{what}: {why}")


def ignored(call: str, names: Iterable[str]) -> None:
    """Once for each: arguments that wandb may know and this does not."""
    for name in names:
        once(f"{call}({name}=…)", "there is no such argument; it is ignored")


def say(level: int, text: str) -> None:
    """A line on the logger ``tracehouse``, no louder than INFO where silence is wanted."""
    if _is_silent or truthy(os.environ.get("WANDB_SILENT")):
        level = min(level, logging.INFO)
    _logger.log(level, "%s", text)


def silence(wanted: bool) -> None:
    """What ``Settings(silent=…)`` says."""
    global _is_silent
    _is_silent = wanted


def termlog(string: str = "", newline: bool = True, repeat: bool = True, **_: object) -> None:
    """A line for the user, as INFO of the logger ``tracehouse``.

    >>> wandb.termlog("epoch 3 is done")
    """
    _term(logging.INFO, string, repeat)


def termwarn(string: str = "", newline: bool = True, repeat: bool = True, **_: object) -> None:
    """A warning for the user, on the logger ``tracehouse``; with ``repeat=False`` once.

    >>> wandb.termwarn("no validation set", repeat=False)
    """
    _term(logging.WARNING, string, repeat)


def termerror(string: str = "", newline: bool = True, repeat: bool = True, **_: object) -> None:
    """An error for the user, on the logger ``tracehouse``.

    >>> wandb.termerror("the loss is NaN")
    """
    _term(logging.ERROR, string, repeat)


def _term(level: int, text: str, repeat: bool) -> None:
    if repeat or text not in _told:
        _told.add(text)
        say(level, text)
