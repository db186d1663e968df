"""Code as HTML with classes that a style sheet colours, for light and dark alike."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# Lexers are regular expressions, and some are slow on text that was made to be slow.
_LONGEST = 20_000
_FORMATTER = HtmlFormatter(nowrap=True, classprefix="h-")


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None


def code(text: str, language: str) -> Markup:
    """`text` escaped, and coloured where the language is known and the text is no longer than 20,000 characters."""
    lexer = _lexer(language.lower()) if language and len(text) <= _LONGEST else None
    if lexer is None:
        return escape(text)
    return Markup(highlight(text, lexer, _FORMATTER))
