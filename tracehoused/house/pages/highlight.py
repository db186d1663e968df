"""Code as HTML with classes that a style sheet colours, for light and dark alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from markupsafe import Markup, escape
from pygments import format as formatted
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class_by_name
from pygments.util import ClassNotFound

# Lexers are regular expressions, and some are slow on text that was made to be slow: 20,000 characters took half a minute.
_LONGEST = 20_000
_PATIENCE_S = 0.5
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="h-")


class _TooSlow(Exception):
    pass


@lru_cache(maxsize=64)
def _lexers(language: str) -> type[Lexer] | None:
    try:
        kind: type[Lexer] = find_lexer_class_by_name(language)
    except ClassNotFound:
        return None
    return kind


def code(text: str, language: str) -> Markup:
    """`text` escaped, and coloured where the language is known, the text is no longer than 20,000 characters, and that is quick."""
    kind = _lexers(language.lower()) if language and len(text) <= _LONGEST else None
    if kind is None:
        return escape(text)
    try:
        # one for each text: several pages are made at once
        return Markup(formatted(_while_quick(kind(stripnl=False).get_tokens(text)), _FORMATTER))
    except _TooSlow:
        return escape(text)


def _while_quick(tokens: Iterator[Any]) -> Iterator[Any]:
    until = time.monotonic() + _PATIENCE_S
    for token in tokens:
        if time.monotonic() > until:
            raise _TooSlow
        yield token
