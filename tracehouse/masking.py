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
_QUOTED = r"""(?:"(?:[^"\\]|\\[\s\S])*|'(?:[^'\\]|\\[\s\S])*)"""  # as far as its closing quote
_IN_QUOTES = re.compile(_QUOTED)
_SCHEME = r"(?:(?i:bearer|basic|token)\s+)?"
_STRING = re.compile(rf"""{_SCHEME}(?i:[bfru]{{0,2}}){_QUOTED}["']?""")
_VALUE = re.compile(_SCHEME + r"""[^\s,;"'()\[\]{}]+""")
_MANY_WORDS = re.compile(r"authorization|cookie")  # names of headers that hold a secret anywhere in them
_BRACKETED = re.compile(rf"""{_QUOTED}["']?|[()\[\]{{}}]""")
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
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
        if found.start() >= at and _sounds_secret(found["name"]):
            end = _value_end(text, found)
            if end > found.end():
                out += [text[at : found.end()], MASK]
                at = end
    return "".join([*out, text[at:]])


def _value_end(text: str, name: re.Match[str]) -> int:
    """Where the value of a name that was found in the text ends; rather too late than too early."""
    at = name.end()
    if text[at : at + 1] in _OPENING:
        return _close(text, at)
    value = _STRING.match(text, at)
    if value is None and _MANY_WORDS.search(name["name"].lower()):
        around = _IN_QUOTES.match(text, max(0, name.start() - 1))
        return around.end() if around is not None and around.end() > at else len(text)
    value = value or _VALUE.match(text, at)
    end = value.end() if value is not None else at
    return _close(text, end) if text[end : end + 1] in _OPENING else end


def _close(text: str, at: int) -> int:
    """After what closes the bracket that opens here, or the end of the text."""
    depth = 0
    for found in _BRACKETED.finditer(text, at):
        depth += (found[0] in _OPENING) - (found[0] in _CLOSING)
        if depth == 0 and found[0] in _CLOSING:
            return found.end()
    return len(text)


def _sounds_secret(name: str) -> bool:
    if _TEXT.search(name):
        return False  # not a name
    word = name.lower().replace("-", "_").replace(".", "_").strip("_")
    return _SECRET.search(_HARMLESS.sub("", word)) is not None
