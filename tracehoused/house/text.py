"""Any text a client may send, stored in databases that refuse NUL and lone surrogates.

Text that every database takes is stored as it is. Other text, and text that begins with the mark, is stored as the
mark followed by its ASCII JSON form; so the two never collide, and equal text stays equal in unique indexes.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b

_MARK = "\x1aj"
_number = int.from_bytes
_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def stored(text: str) -> str:
    if text.isascii() and "\x00" not in text and not text.startswith(_MARK):
        return text
    if text.startswith(_MARK) or _UNSAFE.search(text):
        return _MARK + json.dumps(text)
    return text


def stored_or_none(text: str | None) -> str | None:
    return None if text is None else stored(text)


def original(text: str) -> str:
    if text.startswith(_MARK):
        return str(json.loads(text[len(_MARK) :]))
    return text


def place_of(stored_id: str) -> int:
    """A number for an id in an index. 47 bits, which SQLite keeps in six bytes: in a few hundred conversations of a million ids each, two
    of these have the same."""
    return _number(blake2b(stored_id.encode(), digest_size=6).digest(), "big") >> 1
