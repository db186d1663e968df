"""What may lie in the dead letters after a bad network: what was refused for what it is, and what a server failed at time and again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.support.home import Home
from tortures import ways
from tracehoused.upload import reader

__all__ = ["is_failed", "is_refused", "of"]

_STRIKES = 5  # so often one batch fails before it is taken for its own fault
# what is sent for itself: there is no smaller part of it that might do
_WHOLE = ("patches", "closing")
_UNKNOWN = "nothing is known of "


def of(home: Home) -> defaultdict[str, list[dict[str, Any]]]:
    """As ``tracehouse deadletters list`` tells them, by the names of jobs: of a run, and of the trace that has its name and more."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in home.run("deadletters", "list", str(home.spool), "--json").out.splitlines():
        letter = json.loads(line)
        manifest = reader.read_manifest(letter["session"])
        found[manifest.id.partition(".")[0] + "."].append({**letter, "writer": f"{manifest.uid}/{letter['epoch']}"})
    return found


def is_refused(letter: dict[str, Any], *codes: int | None) -> bool:
    """For what it is, by an answer that was given."""
    code = letter["status"]
    if letter["parked"] and code != 404:
        return False
    if code is None:  # it changes what could not be created
        return str(letter["reason"]).startswith(_UNKNOWN) and any(map(ways.refuses, codes))
    return code in codes and (ways.refuses(code) or (code == 501 and letter["lane"] in _WHOLE))


def is_failed(letter: dict[str, Any], struck: Iterable[str]) -> bool:
    """It was parked, and requests that carried it failed often enough. ``struck``: which records those carried that failed."""
    return bool(letter["parked"]) and sum(_covers(one, letter) for one in struck) >= _STRIKES


def _covers(records: str, letter: dict[str, Any]) -> bool:
    if records in ("", ways.ANY):
        return records == ways.ANY
    writer, _, span = records.partition(":")
    first, last = map(int, span.split("-"))
    return bool(writer == letter["writer"]) and first <= letter["seq"] <= last
