"""What could not be recorded: counted, and told as a ``dropped`` record when the disk takes one again."""

from __future__ import annotations

from tracehouse.spool.record import MAX_RECORD
from tracehouse.values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque


class Losses:
    """What had to be given up, by reason, until a ``dropped`` record tells it."""

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.reasons: dict[str, int] = {}
        self.since = ""

    def add(self, reason: str, size: int, at: str, records: int = 1) -> None:
        self.records += records
        self.bytes += size
        self.reasons[reason] = self.reasons.get(reason, 0) + records
        self.since = self.since or at

    def take(self, waiting: deque[tuple[int, str, str]], reason: str, at: str) -> int:
        """Give up records (seq, kind, data) that waited in memory; how many bytes of it that frees."""
        freed = 0
        while waiting:
            size = len(waiting.popleft()[2]) + 64
            self.add(reason, size, at)
            freed += size
        return freed

    def to_json(self, until: str) -> str:
        told = {"records": self.records, "bytes": self.bytes, "reasons": self.reasons}
        return encode({**told, "since": self.since, "until": until})


class TooLong(ValueError):
    """A record over the limit of the format; nothing of it was recorded."""

    def __init__(self, kind: str, size: int) -> None:
        super().__init__(
            f"a {kind} record of {size} bytes is over the limit of {MAX_RECORD}: "
            "log it in parts, or as a file (log_image, log_video, add_artifact); nothing of it was recorded"
        )
