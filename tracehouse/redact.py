"""Text taken out before it reaches the spool: by a function of the user's, or by patterns, some of them ready made.

``"keys"``: API keys and tokens of well-known services, JSON web tokens, private key blocks, passwords in URLs.
``"emails"``: e-mail addresses.

Pages (``Html``), plotly's figures and tables too long for a record are cleaned as the text they are; pictures, videos, sounds and
other files are recorded as they are given. Numbers, and what tracehouse itself writes to say what a value is, stay whatever is done to
texts. Names (keys of dicts, metrics, columns) that are changed to the same text are told apart, by ``#2`` and so on, for as long as
the run is open. A name that needs no change stays as it is: the keys of one dict never meet, but a metric or column that is itself
called "[redacted]" has the same name as the first one that became it.
"""

from __future__ import annotations

import re
from itertools import count

from tracehouse.exceptions import ArgumentError
from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable, Union

    Redaction = Union[Callable[[str], str], str, re.Pattern[str], Iterable[Union[str, re.Pattern[str]]], None]

REPLACEMENT = "[redacted]"
# names that tracehouse itself gives to the parts of a span or a config: a function that changes every text must not cost their meaning
_OWN = frozenset(
    "_type call_id content error result_text role text tool_input "  # noqa: SIM905
    "_metric_defs wandb_entity wandb_group wandb_job_type wandb_name wandb_notes wandb_tags".split()
)
# and to the parts of a value that has a ``_type``
_PARTS = frozenset(
    "base64 bins boxes caption chart classes columns counts data dtype fields grouping imag layout level "  # noqa: SIM905
    "masks media message name nonfinite real rows shape target text title type value version xname".split()
)
_TYPES = frozenset(
    "alert array artifact artifact-link artifact-use audio bytes complex cycle exception file histogram html image "  # noqa: SIM905
    "image-overlay media molecule number object3D plotly repr table video".split()
)
# parts that hold names, of columns and of media, and what a chart says of its columns
_NAMES = ("columns", "fields", "media")
_ROLES = frozenset(("label", "stroke", "value", "x", "y"))
_NUMBER = re.compile(r"NaN|-?Infinity|-?0x[0-9a-f]+|[-+0-9.eE/]+")
_MANY = 10_000

_KEYS = "|".join(
    (
        r"\bba_[A-Za-z0-9_-]{8,}",
        r"\banon_[A-Za-z0-9_-]{8,}",
        r"\bsk-[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic
        r"\bhf_[A-Za-z0-9]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{16,}",
        r"\bxox[abprse]-[A-Za-z0-9-]{10,}",
        r"\bAIza[A-Za-z0-9_-]{30,}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bpypi-[A-Za-z0-9_-]{16,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
        r"(?i:(?<=bearer )[A-Za-z0-9._~+/-]{16,}=*)",
    )
)
_NAMED = {"keys": _KEYS, "emails": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"}


class Redactor:
    """``redact`` is a function of a text to a text, a pattern, or several: regular expressions, compiled or not, "keys", "emails".

    Raises ArgumentError for what is none of these.
    """

    def __init__(self, redact: Redaction) -> None:
        self._text = redact if callable(redact) else _substitution(redact)
        self._told = False
        self._names: dict[str, tuple[dict[str, int], Iterator[int]]] = {}

    def text(self, text: str) -> str:
        """The text as it may be recorded. A function that fails, or gives no text, costs the text, never lets it through."""
        try:
            clean: object = self._text(text)
        except Exception as error:  # noqa: BLE001 - the user's function can raise anything
            return self._dropped(f"it raised {type(error).__name__}")
        return clean if isinstance(clean, str) else self._dropped(f"it returned {type(clean).__name__}, not str")

    def optional(self, text: str | None) -> str | None:
        """The text as it may be recorded, or None."""
        return None if text is None else self.text(str(text))

    def key(self, name: str) -> str:
        """A name as it may be recorded, the same one each time; another one that is changed to the same text gets ``#2``."""
        clean = self.text(name)
        if clean == name:
            return clean
        known = self._names.get(clean)
        if known is None:
            if len(self._names) >= _MANY:
                return clean
            known = self._names.setdefault(clean, ({}, count(1)))
        numbers, more = known
        n = numbers.get(name)
        if n is None:
            if len(numbers) >= _MANY:
                return clean
            # no lock, which a fork could leave held: of two threads that come here at once one leaves a number out
            n = numbers.setdefault(name, next(more))
        return clean if n == 1 else f"{clean}#{n}"

    def clean(self, value: Any) -> Any:
        """The value in plain JSON form, each text in it and each key cleaned."""
        from tracehouse.plain import plain
        from tracehouse.values import MAX_DEPTH

        return self._walk(plain(value, MAX_DEPTH))

    def texts(self, value: Any) -> Any:
        """The texts in a plain value as they may be recorded, its keys left: for what tracehouse itself gathers."""
        if isinstance(value, dict):
            return {key: self.texts(member) for key, member in value.items()}
        if isinstance(value, list):
            return [self.texts(member) for member in value]
        return self.text(value) if isinstance(value, str) else value

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._walk(member) for member in value]
        if isinstance(value, dict):
            kind = value.get("_type")
            is_tagged = isinstance(kind, str) and kind in _TYPES
            return self._tagged(value) if is_tagged else self._mapping(value, _OWN, self._walk)
        return value

    def _mapping(self, given: dict[str, Any], own: frozenset[str], of_member: Callable[[Any], Any]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, member in given.items():
            name = first = key if key in own else self.key(key)
            n = 1
            while name in out:
                n += 1
                name = f"{first}#{n}"
            out[name] = of_member(member)
        return out

    def _tagged(self, given: dict[str, Any]) -> dict[str, Any]:
        """A value that says what it is goes on saying it."""
        kind, held = given["_type"], {key: member for key, member in given.items() if key != "_type"}
        told: dict[str, Any] = {"_type": kind}
        if kind == "number" and isinstance(held.get("value"), str) and _NUMBER.fullmatch(held["value"]):
            return {**told, "value": held["value"]}
        if kind == "bytes" and isinstance(held.get("base64"), str):
            return {**told, "base64": self._base64(held["base64"])}
        names = {key: self._all_names(held.pop(key)) for key in _NAMES if key in held}
        return {**told, **self._mapping(held, _PARTS, self._walk), **names}

    def _all_names(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._mapping(value, _ROLES, self._all_names)
        if isinstance(value, list):
            return [self._all_names(name) for name in value]
        return self.key(value) if isinstance(value, str) else value

    def _base64(self, encoded: str) -> str:
        """Bytes that are a text are cleaned as one."""
        from binascii import a2b_base64, b2a_base64

        try:
            text = a2b_base64(encoded).decode()
        except ValueError:
            return encoded
        return b2a_base64(self.text(text).encode("utf-8", "backslashreplace"), newline=False).decode()

    def _dropped(self, why: str) -> str:
        if not self._told:
            self._told = True
            say("warning", "redact= failed on a text (%s): such texts are dropped", why)
        return f"[dropped: redact failed, {why}]"


def _substitution(redact: Any) -> Callable[[str], str]:
    given = [redact] if isinstance(redact, (str, re.Pattern)) else redact
    try:
        patterns = [_pattern(one) for one in given]
    except TypeError:
        raise ArgumentError(f"redact must be a function or patterns, got {redact!r}") from None

    def substitute(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(REPLACEMENT, text)
        return text

    return substitute


def _pattern(given: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(given, re.Pattern):
        return given
    try:
        return re.compile(_NAMED.get(given, given))
    except (re.error, TypeError) as error:
        told = f"redact takes regular expressions, {' and '.join(map(repr, _NAMED))}; got {given!r}: {error}"
        raise ArgumentError(told) from None
