"""Text from elsewhere (spools, servers), made fit for a terminal, a log, a header and a spreadsheet. Pure."""

from __future__ import annotations

import shlex
from urllib.parse import quote

__all__ = ["argument", "header_value", "not_a_formula", "printable"]

# visible Latin-1, and the space: what an HTTP header can hold as it is
_LATIN = frozenset(map(chr, (*range(0x20, 0x7F), *range(0xA1, 0x100)))) - {"\xad"}
# what spreadsheets take for the beginning of a formula, or cut off before they look for one
_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
_ASCII = "".join(map(chr, range(0x21, 0x7F))) + " "
_LONGEST_PATH = 4096


def printable(text: str, limit: int = 300) -> str:
    """``text`` on one line, control characters escaped, cut at ``limit`` characters."""
    told = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])
    return told if len(told) <= limit and len(text) <= limit else told[: limit - 1] + "…"


def argument(text: str) -> str:
    """``text`` as one word of a command that is shown to be copied: printable, and quoted where a shell would see more in it."""
    return shlex.quote(printable(text, _LONGEST_PATH))


def header_value(text: str) -> str:
    """``text`` as a header can carry it: unchanged if it is visible Latin-1, else percent-encoded UTF-8."""
    if text == text.strip() and _LATIN.issuperset(text):
        return text
    inner = text.strip(" ")
    lead, trail = text[: len(text) - len(text.lstrip(" "))], text[len(text.rstrip(" ")) :] if inner else ""
    coded = quote(inner, safe=_ASCII, errors="surrogatepass")
    return "%20" * len(lead) + coded + "%20" * len(trail)


def not_a_formula(text: str) -> str:
    """``text`` as a cell of a CSV file that a spreadsheet shows and does not compute: behind an apostrophe if it looks like a formula."""
    return f"'{text}" if text[:1] in _FORMULA else text
