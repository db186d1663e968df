"""What the house refuses, as one exception that becomes a 4xx answer.

The body of every refusal is a JSON object `{"reason", "message", …}`: `reason` is a word for programs, `message` a
sentence for people, and further fields name what was wrong (`index`: position in a batch, `sessions`: which ones).
"""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is not carried out; nothing of it was applied. ``retry_after``: seconds before which it cannot be."""

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after: int | None = None, **fields: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        self.fields = fields

    def body(self) -> dict[str, Any]:
        return {"reason": self.reason, "message": self.message, **self.fields}


class StorageFailure(Exception):
    """The disk or database could not make a change durable; nothing of it was applied, and it may be tried again."""


class FormatError(Exception):
    """The database is a newer house's, or another program's."""


def invalid(message: str, **fields: Any) -> Refusal:
    """The content is wrong and will stay so: 422."""
    return Refusal(422, "invalid", message, **fields)


def malformed(message: str) -> Refusal:
    """The request itself cannot be read: 400."""
    return Refusal(400, "malformed", message)


def unknown(what: str, name: str) -> Refusal:
    return Refusal(404, f"unknown_{what}", f"there is no {what} {name!r} here")


def deleted(what: str, name: str) -> Refusal:
    return Refusal(410, "deleted", f"the {what} {name!r} was deleted here")


def too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"the body is larger than {limit} bytes", limit=limit)
