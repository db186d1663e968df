"""Command lines and addresses without the secrets in them."""

from __future__ import annotations

import re

from tracehouse.redact import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = "***"

_SECRET = re.compile(
    r"api_?key|token|secret|passw|passphrase|credential|auth|bearer|cookie|private_?key|access_?key|jwt"
    r"|(?:^|_)(?:pass|pwd|pat|creds?)$|^key$|(?:openai|anthropic|wandb|hf|gemini|azure|ssh|signing|encryption)_key$"
)
# ordinary options of training scripts
_HARMLESS = re.compile(r"tokens|tokeni[sz]|token_(type|id)|(pad|eos|bos|unk|mask|cls|sep|image)_token|author(?!i)")
_TEXT = re.compile(r"[\s(){}'\",;:\[\]]")
_NAME = re.compile(r"""(?<![\w.-])(?P<quote>["']?)(?P<name>[A-Za-z_-][\w.-]*)(?P=quote)\s*[:=]\s*""")
_VALUE = re.compile(r"""(?:(?i:bearer|basic|token)\s+)?(?:"[^"]*"?|'[^']*'?|[^\s,;"'()\[\]{}]+)""")
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
            out.append(keys.text(_without_values(_USER.sub(f"{MASK}@", argument))))
        is_secret = not equals and argument.startswith("-") and _sounds_secret(argument)
    return out


def _without_values(text: str) -> str:
    """``name=value``, ``name: value`` and ``"name": "value"`` in a text, with *** for the values of names that sound secret."""
    out, at = [], 0
    for found in _NAME.finditer(text):
        value = _VALUE.match(text, found.end()) if found.start() >= at and _sounds_secret(found["name"]) else None
        if value is not None:
            out += [text[at : found.end()], MASK]
            at = value.end()
    return "".join([*out, text[at:]])


def _sounds_secret(name: str) -> bool:
    if _TEXT.search(name):
        return False  # not a name
    word = name.lower().replace("-", "_").replace(".", "_").strip("_")
    return _SECRET.search(_HARMLESS.sub("", word)) is not None
