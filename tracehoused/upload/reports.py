"""Where a session goes, and what a pass over it left."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from tracehouse.spool.manifest import Manifest
from tracehoused.identities.credentials import Credential
from tracehoused.upload.uploader import Outcome

__all__ = ["Destination", "Report"]


@dataclass(frozen=True)
class Destination:
    """Where a session goes, and as whom: acknowledgements are kept apart by this, those under a former name counting too."""

    api_base: str
    identity: str
    formerly: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        return sha256(f"{self.api_base}\n{self.identity}".encode()).hexdigest()[:16]

    @classmethod
    def of(cls, credential: Credential) -> Destination:
        return cls(credential.api_base, credential.identity, credential.formerly)

    @property
    def former_hashes(self) -> list[str]:
        return [Destination(self.api_base, name).hash for name in self.formerly]


@dataclass(frozen=True)
class Report:
    """What a pass over one session left. ``manifest`` is None when it could not be read; ``outcome.trouble`` says why. ``left``: records
    that are still to be sent, None when nobody counted. ``dropped``: those its job could not write. ``heard``: the server answered;
    ``took``: and accepted something. ``damaged``: bytes that this pass found to be no record. ``left_alone``: it was not asked, for
    what another pass heard."""

    session: str
    manifest: Manifest | None
    destination: Destination | None
    outcome: Outcome
    dead: int = 0
    live: bool = False
    dropped: int = 0
    left: int | None = None
    heard: bool = False
    took: bool = False
    damaged: int = 0
    left_alone: bool = False
