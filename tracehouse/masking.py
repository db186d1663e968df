"""Command lines and addresses without the secrets in them."""

from __future__ import annotations

import re

from tracehouse.redact import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = "***"

_SECRET = re.compile(r"api_?key|token|secret|passw|credential|auth|private_?key|access_?key")
# ordinary options of training scripts
_HARMLESS = re.compile(r"tokens|tokeni[sz]|token_(type|id)|(pad|eos|bos|unk|mask|cls|sep|image)_token|author(?!i)")
_USER = re.compile(r"(?<=://)[^/\s@]+@")


def address(url: str) -> str:
    """The URL without user, password, query and fragment; ``git@host:path`` stays."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0].partition('#')[0]}"


def command_line(arguments: Sequence[str]) -> list[str]:
    """The arguments, with *** for the values of options that sound secret, and without what looks like a key or password."""
    keys = Redactor("keys")
    out: list[str] = []
    is_secret = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if is_secret and not argument.startswith("-"):
            out.append(MASK)
        elif equals and _sounds_secret(name):
            out.append(f"{name}={MASK}")
        else:
            out.append(keys.text(_USER.sub(f"{MASK}@", argument)))
        is_secret = not equals and argument.startswith("-") and _sounds_secret(argument)
    return out


def _sounds_secret(name: str) -> bool:
    if len(name.split()) > 1:
        return False  # a text, not a name
    word = name.lower().replace("-", "_")
    return _SECRET.search(_HARMLESS.sub("", word)) is not None
