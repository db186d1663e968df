"""The engine that ``tracehouse sync`` and ``tracehoused`` share: which session goes where, with which key, and when again."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Callable

from tracehouse.exceptions import SpoolError, TracehouseError
from tracehouse.spool.manifest import Manifest
from tracehoused.config import Settings
from tracehoused.exceptions import CredentialError, LeaseHeld
from tracehoused.http.breakers import KEY, SERVER, Breakers
from tracehoused.http.request import Request
from tracehoused.identities.identity import Credential, NoCredential
from tracehoused.options import Options
from tracehoused.text import printable
from tracehoused.upload import otherwise, presence, wire
from tracehoused.upload.addressees import Addressees
from tracehoused.upload.batch import Limits
from tracehoused.upload.checkpoint import ASIDE, Checkpoint
from tracehoused.upload.context import Context, nonfinite
from tracehoused.upload.damage import damaged_bytes
from tracehoused.upload.kept import Kept
from tracehoused.upload.lease import Lease
from tracehoused.upload.reader import Epoch, is_unbegun, read_manifest
from tracehoused.upload.reports import Destination, Report
from tracehoused.upload.state import SENSELESS, State
from tracehoused.upload.tails import records_left
from tracehoused.upload.uploader import Outcome, Uploader, destination_dir

if TYPE_CHECKING:
    from tracehoused.http.client import Client

__all__ = ["Destination", "Engine", "Options", "Report"]

log = logging.getLogger("tracehoused")
_CREATORS = 8
_SPEAKERS = 1000
_UID = re.compile(r"[0-9A-Za-z_-]{1,64}")


class Engine:
    """Safe to use from several threads, one session a thread."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        options: Options | None = None,
        *,
        copy_every: float = 0.0,
    ) -> None:
        """``copy_every``: seconds after which the acknowledgements of a live session are copied to the state directory again."""
        self._settings = settings
        self._options = options or Options()
        self.stall_after = settings.stall_after
        self._sent: Callable[[int, int], None] = lambda records, size: None
        self._answered: Callable[[str], None] = lambda verdict: None
        self._headers: Callable[[str, str], Sequence[tuple[str, str]]] = lambda api_base, machine_id: ()
        self._heard: Callable[[str, str, Sequence[tuple[str, str]]], None] = lambda api_base, machine_id, headers: None
        self._speakers: dict[tuple[str, str], Client] = {}
        self._stopping = False  # set by signal handlers too, which must not need a lock
        self._limits = Limits(settings.batch_points, settings.batch_spans, settings.batch_bytes)
        self._clients: dict[tuple[str, str], Client] = {}
        self._lock = threading.Lock()
        self._creators = ThreadPoolExecutor(_CREATORS, thread_name_prefix="tracehouse-create")
        self._breakers = Breakers()
        self._kept = Kept(copy_every)
        self._addressees = Addressees(settings, environ, self._options, lambda api_base: self._client(api_base, None))

    def on_sent(self, tell: Callable[[int, int], None]) -> None:
        """Have ``tell(records, bytes)`` called for every batch that is accepted."""
        self._sent = tell

    def on_answer(self, tell: Callable[[str], None]) -> None:
        """Have ``tell(verdict)`` called for every request of a session, from the thread that sent it."""
        self._answered = tell

    def on_request(
        self,
        headers: Callable[[str, str], Sequence[tuple[str, str]]],
        heard: Callable[[str, str, Sequence[tuple[str, str]]], None],
    ) -> None:
        """Have ``headers(api_base, machine_id)`` go with every request of a session, and ``heard`` called with those answered."""
        self._headers, self._heard = headers, heard

    def tell(self, api_base: str, machine_id: str) -> None:
        """Send a request for its headers' sake, in the background, to a server that this machine's sessions were sent to."""
        client = self._speakers.get((api_base, machine_id))
        if client is not None and not self._stopping:
            with suppress(RuntimeError):  # no thread to be had: it is queued, for the next one that there is
                self._creators.submit(_send_for_headers, client)

    def stop(self) -> None:
        """Begin no more requests: passes under way end with the one they are at."""
        self._stopping = True

    def close(self) -> None:
        self._creators.shutdown()
        self._kept.close()
        for client in self._clients.values():
            client.close()

    def drain(self, session: str, pausing: Callable[[], bool] = lambda: False) -> Report:
        """One pass over one session, which ends early (scope "turn") where ``pausing``. Never raises for what a session contains."""
        manifest = None
        try:
            if is_unbegun(session):
                return Report(session, None, None, Outcome(True))
            manifest = read_manifest(session)
            credential = self._addressees.credential(manifest)
            if isinstance(credential, NoCredential):
                told = Outcome(False, f"{credential.reason}{otherwise.word(session)}; {credential.hint}")
                return Report(session, manifest, None, told, left=records_left(session, manifest.uid, State()))
            destination = self.destination(credential)
            return self._drain_to(session, manifest, credential, destination, pausing)
        except LeaseHeld as held:
            return Report(session, manifest, None, Outcome(False, f"{held.message} ({held.holder})", scope="lease"))
        except (TracehouseError, OSError) as error:
            return Report(session, manifest, None, Outcome(False, str(error)))
        except SENSELESS as error:
            return Report(session, manifest, None, Outcome(False, f"cannot be read: {type(error).__name__}: {error}"))
        except RuntimeError as error:  # no more threads to be had, now or, at the process's end, ever
            return Report(session, manifest, None, Outcome(False, str(error)))

    def known_credential(self, manifest: Manifest) -> Credential | NoCredential:
        """The key for a session, or why there is none; no anonymous identity is made."""
        return self._addressees.credential(manifest, make=False)

    def public_credential(self, manifest: Manifest) -> Credential | None:
        """The anonymous identity that a session without a key may have gone out under."""
        return self._addressees.public(manifest)

    def checkpoint(self, session: str, manifest: Manifest, destination: Destination) -> Checkpoint:
        """What is settled of a session there, without taking its lease: for looking only."""
        kept = self._place(session, manifest)

        def place(hashed: str) -> tuple[str, str]:
            copy = os.path.join(self._settings.state_dir, "acks", manifest.uid, f"{hashed}.json")
            return destination_dir(kept, hashed), copy

        return Checkpoint(*place(destination.hash), [place(hashed) for hashed in destination.former_hashes])

    def destination(self, credential: Credential) -> Destination:
        """What acknowledgements of sessions that go out under this key are kept under."""
        return self._addressees.destination(credential)

    def refusal(self, session: str, destination: Destination, checkpoint: Checkpoint) -> str | None:
        """Why a session is not sent there as this identity, unless asked to."""
        asked = self._options.again or self._options.own is not None
        return None if asked else otherwise.refusal(session, destination, checkpoint)

    def _place(self, session: str, manifest: Manifest) -> str:
        """The directory below which lies what is known of a session: its own, or, where a house is this process's own, one aside."""
        if not _UID.fullmatch(manifest.uid):
            raise SpoolError(f"its uid is none: {printable(manifest.uid, 60)}", path=session)
        own = self._options.own
        return session if own is None else os.path.join(own.directory, manifest.uid)

    def _drain_to(
        self,
        session: str,
        manifest: Manifest,
        credential: Credential,
        destination: Destination,
        pausing: Callable[[], bool],
    ) -> Report:
        refused = self._breakers.refusal(destination.api_base, destination.hash)
        if refused is not None:
            scope, wait, reason = refused
            what = "takes nothing now" if scope == SERVER else f"does not take the key of {destination.identity!r}"
            trouble = f"{destination.api_base} {what}; it is asked again in {wait:.0f} s: {reason}"
            outcome = Outcome(False, trouble, retry_after=wait, scope=scope)
            return Report(session, manifest, destination, outcome, left_alone=True)
        try:
            with closing(Lease(self._place(session, manifest))) as lease:
                report = self._drain_leased(session, manifest, credential, destination, lease, pausing)
        except BaseException:
            self._breakers.release(destination.api_base, destination.hash)
            raise
        outcome = report.outcome
        if report.took and outcome.scope == SERVER:
            # it is there, and the line to it bad: that alone is no reason to leave it alone
            self._breakers.note(destination.api_base, destination.hash, "", None)
        if report.heard or outcome.scope in (SERVER, KEY):
            told = outcome.retry_after, outcome.trouble
            self._breakers.note(destination.api_base, destination.hash, outcome.scope, *told)
        else:
            self._breakers.release(destination.api_base, destination.hash)
        return report

    def _drain_leased(
        self,
        session: str,
        manifest: Manifest,
        credential: Credential,
        destination: Destination,
        lease: Lease,
        pausing: Callable[[], bool],
    ) -> Report:
        client = self._speaking_for(manifest, credential)
        checkpoint = self._kept.take(session, destination.hash)
        if checkpoint is None:
            checkpoint = self.checkpoint(session, manifest, destination)
        refused = self.refusal(session, destination, checkpoint)
        if refused is not None:
            return Report(session, manifest, None, Outcome(False, refused))
        strange = checkpoint.set_aside()
        if strange:
            place = printable(os.path.join(checkpoint.directory, ASIDE))
            log.warning("%d entries of a journal make no sense and are set aside, in %s", strange, place)
        checkpoint.fact("to", [destination.api_base, destination.identity])
        damaged = damaged_bytes(checkpoint.state.facts)
        context = self._context(session, manifest, destination, client, checkpoint, lease)
        context.pausing = pausing
        uploader = Uploader(context, manifest, self._limits, self.liveness(session), self._creators)
        outcome = uploader.drain_once()
        if not uploader.lost:
            self._kept.bring_up(checkpoint, live=uploader.live)
        if uploader.live and not uploader.lost:
            self._kept.keep(session, destination.hash, checkpoint)
        left = 0 if outcome.complete else records_left(session, manifest.uid, checkpoint.state)
        dropped = checkpoint.state.dropped
        told = context.heard, context.took, max(0, damaged_bytes(checkpoint.state.facts) - damaged)
        return Report(
            session, manifest, destination, outcome, len(checkpoint.dead), uploader.live, dropped, left, *told
        )

    @contextmanager
    def at(self, session: str) -> Iterator[tuple[Manifest, Context]]:
        """A session under its lease, for requests one by one. SpoolError, CredentialError or LeaseHeld when that cannot be."""
        manifest = read_manifest(session)
        credential = self.known_credential(manifest)
        if isinstance(credential, NoCredential):
            raise CredentialError(credential.reason, api_base=manifest.api_base, hint=credential.hint)
        destination = self.destination(credential)
        client = self._speaking_for(manifest, credential)
        with closing(Lease(self._place(session, manifest))) as lease:
            checkpoint = self.checkpoint(session, manifest, destination)
            yield manifest, self._context(session, manifest, destination, client, checkpoint, lease)

    def _speaking_for(self, manifest: Manifest, credential: Credential) -> Client:
        home = manifest.api_base, manifest.machine_id
        client = self._client(credential.api_base, credential.token).speaking_for(
            machine_id=manifest.machine_id,
            hostname=manifest.hostname,
            agent_version=manifest.agent_version,
            headers=lambda: self._headers(*home),
            heard=lambda headers: self._heard(*home, headers),
        )
        if len(self._speakers) < _SPEAKERS:
            self._speakers[home] = client
        return client

    def _context(
        self,
        session: str,
        manifest: Manifest,
        destination: Destination,
        client: Client,
        checkpoint: Checkpoint,
        lease: Lease,
    ) -> Context:
        capabilities = client.capabilities()
        return Context(
            session=session,
            kind=manifest.kind,
            uid=manifest.uid,
            destination=destination.hash,
            client=client,
            capabilities=capabilities,
            checkpoint=checkpoint,
            dead=checkpoint.dead,
            renders=wire.renders(nonfinite(capabilities, checkpoint)),
            still_ours=lease.still_ours,
            sleep=time.sleep,
            sent=self._sent,
            answered=self._answered,
            stopping=lambda: self._stopping,
        )

    def _client(self, api_base: str, token: str | None) -> Client:
        from tracehoused.http.client import Client  # half the start of commands that only look: they need none

        with self._lock:
            key = (api_base, token or "")
            if key not in self._clients:
                self._clients[key] = Client(
                    api_base,
                    token=token,
                    machine_id="unknown",
                    timeout=self._settings.timeout,
                    ca_file=self._settings.ca_file,
                    limit_rate=self._settings.limit_rate,
                )
            return self._clients[key]

    def liveness(self, session: str) -> Callable[[Epoch], bool | None]:
        """For a session's writers: True it lives, False it is proven dead, None nobody can say."""
        return presence.of_writers(session, dead_after=self._settings.dead_after, close_dead=self._options.close_dead)


def _send_for_headers(client: Client) -> None:
    if client.capabilities().verify:
        client.send(Request("POST", "/v1/verify", body=wire.dumps({"sessions": [], "media": []})))
