"""Public identities: one for each api_base, made when asked for, kept 0600 in the state directory, never made anew silently."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from typing import Protocol
from urllib.parse import quote

from tracehouse.exceptions import ArgumentError
from tracehouse.spool import durable
from tracehouse.spool.keys import normalise_api_base
from tracehoused.http.retry import Answer, Verdict
from tracehoused.identities.identity import Credential, NoCredential, refuse_plain_http
from tracehoused.text import argument

__all__ = ["AnonymousIdentity", "anonymous", "anonymous_identities", "forget_anonymous"]

_DIR = "anonymous"
_LARGEST = 64 * 1024


class _Asks(Protocol):
    """The one thing wanted of a client."""

    def anonymous_session(self) -> Answer: ...


@dataclass(frozen=True)
class AnonymousIdentity:
    """``read_token`` goes into share links, ``claim_token`` into the one link by which its owner makes it theirs."""

    api_base: str
    token: str = field(repr=False)
    read_token: str = field(repr=False)
    claim_token: str = field(repr=False)
    web_url: str
    made_at: str

    @property
    def identity(self) -> str:
        return "anon-" + sha256(self.token.encode()).hexdigest()[:16]

    @property
    def claim_link(self) -> str:
        """For its owner alone."""
        return f"{self._web}/claim?token={quote(self.claim_token, safe='')}"

    def view_link(self, kind: str, server_id: str) -> str:
        """What a trace or run with that server id can be seen at, by anyone who has the link."""
        place = "t" if kind == "trace" else "r"
        return f"{self._web}/{place}/{quote(server_id, safe='')}?t={quote(self.read_token, safe='')}"

    @property
    def _web(self) -> str:
        return self.web_url.rstrip("/") or self.api_base


def anonymous(
    destination: str, state_dir: str, client: _Asks | None, *, allow_plain_http: bool = False
) -> Credential | NoCredential:
    """The public identity at an api_base, asked of the server where there is none yet, or not (``client`` None).

    Raises OSError when it cannot be kept: then none is used either, for its claim link would be lost.
    """
    try:
        api_base = normalise_api_base(destination)
    except ArgumentError as error:
        return NoCredential(str(error), "name a server with --api-base")
    refused = refuse_plain_http(api_base, allowed=allow_plain_http)
    if refused is not None:
        return refused
    path = _path(api_base, state_dir)
    known = _load(path)
    if known is None and client is not None:
        with _locked(path):
            known = _load(path)
            if known is None:
                made = _make(api_base, client.anonymous_session())
                if isinstance(made, NoCredential):
                    return made
                durable.replace(path, json.dumps(asdict(made)).encode(), os.urandom(8).hex())
                known = made
    if known is None:
        return NoCredential(
            f"there is no anonymous identity for {api_base} yet", "`tracehouse sync --anonymous` makes one"
        )
    return Credential(known.token, known.identity, api_base)


def anonymous_identities(state_dir: str, on_damaged: Callable[[OSError], None]) -> list[AnonymousIdentity]:
    """All that are kept, by api_base; one that cannot be read is told, and hides no other."""
    directory = os.path.join(state_dir, _DIR)
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    except OSError as error:
        on_damaged(error)
        return []
    found = []
    for name in names:
        try:
            found.append(_load(os.path.join(directory, name)))
        except OSError as error:
            on_damaged(error)
    return sorted((identity for identity in found if identity is not None), key=lambda identity: identity.api_base)


def forget_anonymous(destination: str, state_dir: str) -> AnonymousIdentity | None:
    """Set the identity at an api_base aside, as one does with an expired one, so that the next upload asks for another."""
    path = _path(normalise_api_base(destination), state_dir)
    known = _load(path)
    if known is not None:
        with _locked(path):
            durable.move(path, f"{path}.{known.identity}")
    return known


def _path(api_base: str, state_dir: str) -> str:
    return os.path.join(state_dir, _DIR, sha256(api_base.encode("utf-8", "surrogatepass")).hexdigest()[:16] + ".json")


def _load(path: str) -> AnonymousIdentity | None:
    """None where there is none, or what is there is damaged: it is replaced whole, so that it never is by us."""
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(_LARGEST))
        identity = AnonymousIdentity(**raw)
        if not all(isinstance(told, str) for told in raw.values()):
            raise ValueError("not all of it is text")
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError) as error:
        raise OSError(f"{path} is damaged ({error}); move it away to begin a new anonymous identity") from error
    return identity


def _make(api_base: str, answer: Answer) -> AnonymousIdentity | NoCredential:
    if answer.verdict is Verdict.FORBIDDEN:
        return NoCredential(
            f"{api_base} takes no anonymous uploads", f"`tracehouse login --api-base {argument(api_base)}`"
        )
    if answer.verdict is not Verdict.ACCEPTED or answer.body is None:
        return NoCredential(f"no anonymous identity could be had from {api_base}: {answer.reason}", "it is tried again")
    texts = [answer.body.get(name) for name in ("token", "read_token", "claim_token", "web_url")]
    fit = [
        text for text in texts if isinstance(text, str) and text.isascii() and text.isprintable() and " " not in text
    ]
    if len(fit) < len(texts) or not fit[0]:
        return NoCredential(f"{api_base} answered with no usable anonymous identity", "it is tried again")
    token, read_token, claim_token, web_url = fit
    made_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return AnonymousIdentity(api_base, token, read_token, claim_token, web_url, made_at)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    durable.private_dir(os.path.dirname(path))
    fd = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, durable.FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
