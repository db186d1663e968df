"""Regular expressions that are compiled when they are first used: ``re`` takes as long to import as the whole emitter."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


class Pattern:
    """``fullmatch`` as of a compiled pattern, of text or of bytes as the source is."""

    __slots__ = ("_source", "fullmatch")
    fullmatch: Callable[[Any], Any]

    def __init__(self, source: str | bytes) -> None:
        self._source = source

    def __getattr__(self, name: str) -> object:
        # reached while the slot is empty
        if name != "fullmatch":
            raise AttributeError(name)
        import re

        self.fullmatch = re.compile(self._source).fullmatch
        return self.fullmatch
