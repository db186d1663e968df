"""Where a session goes, and under which key: what the command says, else what its job said, else what this machine is set to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Callable

from tracehouse.spool.keys import DEFAULT_API_BASE
from tracehouse.spool.manifest import Manifest
from tracehoused.config import Settings
from tracehoused.identities.credentials import Credential, NoCredential, anonymous, find
from tracehoused.identities.identity import refuse_plain_http
from tracehoused.options import Options
from tracehoused.upload.reports import Destination

if TYPE_CHECKING:
    from tracehoused.http.client import Client

__all__ = ["Addressees"]

_OWN = "a house of its own"


class Addressees:
    """``client(api_base)``: one without a key, for making an anonymous identity."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], options: Options, client: Callable[[str], Client]
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._options = options
        self._client = client

    def credential(self, manifest: Manifest, *, make: bool = True) -> Credential | NoCredential:
        """The key for a session, or why there is none. ``make``: an anonymous identity, where there is none yet."""
        own, told = self._options.own, self._options.api_base
        if own is not None:
            return Credential(own.token, _OWN, own.api_base)
        api_base = self._server_of(manifest)
        allowed = self._settings.allow_plain_http
        is_anonymous = manifest.credential == "anon" and self._options.profile is None
        if is_anonymous or (self._options.anonymous and manifest.credential is None):
            refused = refuse_plain_http(api_base, allowed=allowed)
            client = self._client(api_base) if make and refused is None else None
            return refused or anonymous(api_base, self._settings.state_dir, client, allow_plain_http=allowed)
        return find(
            api_base,
            manifest.credential if api_base == manifest.api_base else None,
            environ=self._environ,
            profile=self._options.profile,
            allow_plain_http=allowed,
            told_api_base=told,
        )

    def public(self, manifest: Manifest) -> Credential | None:
        """The anonymous identity that a session without a key may have gone out under."""
        if manifest.credential is not None:
            return None
        found = anonymous(self._server_of(manifest), self._settings.state_dir, None)
        return found if isinstance(found, Credential) else None

    def destination(self, credential: Credential) -> Destination:
        return Destination(_OWN, _OWN) if self._options.own is not None else Destination.of(credential)

    def _server_of(self, manifest: Manifest) -> str:
        """Of a job that named neither a server nor a key, as on a node where nothing is set up: the one of the settings here."""
        if self._options.api_base is not None:
            return self._options.api_base
        is_open = manifest.api_base == DEFAULT_API_BASE and manifest.credential is None
        return self._settings.api_base if is_open else manifest.api_base
