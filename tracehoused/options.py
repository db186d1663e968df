"""What one command overrides of where sessions go, and as whom. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Options", "Own"]


@dataclass(frozen=True)
class Own:
    """A house that this process runs for itself: every session goes there, wherever its job said. What is known of sessions lies
    in ``directory``, by their uids, and nothing is written into them. The house may have another address each time."""

    api_base: str
    token: str
    directory: str


@dataclass(frozen=True)
class Options:
    """What one command overrides: another destination, a profile, anonymous upload, closing what nobody can prove dead, sending
    ``again`` what another identity had acknowledged, or all of it by a house of one's own."""

    api_base: str | None = None
    profile: str | None = None
    anonymous: bool = False
    close_dead: bool = False
    own: Own | None = None
    again: bool = False
