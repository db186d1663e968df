"""The errors of the agent: one tree, each with fields that say what it is about and a hint on what to do.

::

    tracehouse.exceptions.TracehouseError
    └── AgentError                   message, hint
        ├── AddressError             address: not a usable api_base
        ├── BodyError                path: a file that was to be sent cannot be
        ├── ConfigError              name, value, source: a setting that is wrong or unknown
        ├── CredentialError          api_base: no usable key, or a key that may not go there
        ├── JournalError             path: the agent's own records of a session are unusable
        └── LeaseHeld                path, holder: another agent has the session

A spool that cannot be used is the emitter's SpoolError, one of a newer format its SpoolFormatError. Network trouble is no
error at all: it is an answer (``tracehoused.http.retry``), to be waited out.
"""

from __future__ import annotations

from tracehouse.exceptions import TracehouseError

__all__ = [
    "AddressError",
    "AgentError",
    "BodyError",
    "ConfigError",
    "CredentialError",
    "JournalError",
    "LeaseHeld",
]


class AgentError(TracehouseError):
    """``message`` says what is wrong, ``hint`` what to do about it (empty where nothing can be said)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class AddressError(AgentError):
    """An ``address`` that is no usable api_base."""

    def __init__(self, message: str, *, address: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.address = address


class BodyError(AgentError):
    """The file at ``path`` was to be sent, and is missing, not a regular file, or not of the expected size or content."""

    def __init__(self, message: str, *, path: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class ConfigError(AgentError):
    """The setting ``name`` has a ``value`` that is wrong, or is not known; ``source`` is where it was said."""

    def __init__(self, message: str, *, name: str, source: str, value: object = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.value = value
        self.source = source


class CredentialError(AgentError):
    """No usable key for ``api_base``, or one that may not go there."""

    def __init__(self, message: str, *, api_base: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.api_base = api_base


class JournalError(AgentError):
    """What the agent noted about a session, in the file ``path``, cannot be read or written."""

    def __init__(self, message: str, *, path: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class LeaseHeld(AgentError):
    """The session at ``path`` is being uploaded by another agent, described by ``holder``."""

    def __init__(self, message: str, *, path: str, holder: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.holder = holder
