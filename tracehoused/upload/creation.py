"""The session itself at the server: created by an upsert, and known by its id from then on."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from tracehouse.spool.manifest import Manifest
from tracehoused.http.request import Request, api_path
from tracehoused.http.retry import Answer, Verdict
from tracehoused.upload import wire
from tracehoused.upload.context import Context, Halt
from tracehoused.upload.finding import find_record

__all__ = ["Creation", "is_there"]

# what a session begins with that a patch may change
_CHANGING = ("config", "hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision", "model", "task_name")


class Creation:
    """``confirmed``: the id is this user's own. Ids in a spool from elsewhere prove nothing: they are confirmed by an upsert."""

    def __init__(self, context: Context, manifest: Manifest) -> None:
        self._context = context
        self._checkpoint = context.checkpoint
        self._manifest = manifest
        self.confirmed = context.checkpoint.trusted

    def server_id(self) -> str:
        """The server's id of the session, by upsert if it is not known for sure. Halt when there is none to be had."""
        known = self._checkpoint.state.facts.get("server_id")
        if known and self.confirmed:
            return str(known)
        record = self._to_find() if known else self._first().encode()
        refused = self.update(record)
        if refused is not None:
            # not for what the job said of it: for what the manifest says
            refused = self.update(json.dumps(_from_manifest(self._manifest)).encode())
        if refused is not None:
            raise Halt("paused", f"the server refused to create it: {refused.reason}", scope="session")
        return str(self._checkpoint.state.facts["server_id"])

    def _first(self) -> str:
        known = self._checkpoint.state.facts.get("create")
        if known:
            return str(known)
        kind = b"run" if self._manifest.kind == "run" else b"trace"
        found = find_record(self._context, kind, self._manifest.id)
        return json.dumps(_from_manifest(self._manifest)) if found is None else found.decode("utf-8", "replace")

    def _to_find(self) -> bytes:
        """An upsert that changes nothing of a session that is there: what it began with may have changed since."""
        first = json.loads(self._first())
        return wire.dumps({name: value for name, value in first.items() if name not in _CHANGING})

    def update(self, data: bytes) -> Answer | None:
        """Create it, or change what is there, by a record's data: None, or the server's refusal of that. Halt when it does neither."""
        context = self._context
        key = f"{context.uid}-{context.generation}-create-{sha256(data).hexdigest()[:16]}"
        answer = context.ask(wire.create_request(self._manifest.kind, data, None, key))
        if answer.verdict is Verdict.REFUSED:
            return answer
        if answer.verdict is Verdict.DELETED:
            raise Halt("deleted", answer.reason, scope="session")
        if answer.verdict is not Verdict.ACCEPTED or answer.body is None:
            kind = "unavailable" if answer.verdict is Verdict.RETRY else "paused"
            raise Halt(kind, f"the server does not create it: {answer.reason}", scope="session")
        server_id = str(answer.body["id"])
        known = self._checkpoint.state.facts.get("server_id")
        if known is not None and known != server_id:
            # what was acknowledged went to another, which is there no more: a resumed session may be the first to notice
            raise Halt("forgotten", f"the server knows it as {server_id}, no more as {known}", scope="session")
        if known is None:
            self._checkpoint.fact("server_id", server_id)
            self._checkpoint.fact("create", data.decode("utf-8", "replace"))
            # durable with what is sent first: an upsert that is forgotten is made again, and gives the same id
            self._checkpoint.note_ids(self._manifest.kind, [(self._manifest.id, server_id)])
        self.confirmed = True
        return None

    def is_known(self) -> bool:
        """Whether the server still has the session. Without a key, so that it is no old answer that comes back."""
        facts = self._checkpoint.state.facts
        request = wire.create_request(self._manifest.kind, self._to_find(), None, None)
        answer = self._context.ask(request)
        if answer.verdict is Verdict.DELETED:
            raise Halt("deleted", answer.reason, scope="session")
        if answer.verdict is not Verdict.ACCEPTED or answer.body is None:
            raise Halt("unavailable", answer.reason, scope="session", retry_after=answer.retry_after)
        return bool(answer.body["id"] == facts.get("server_id") and not answer.body.get("created"))


def is_there(context: Context, kind: str, server_id: str) -> bool:
    """Whether the server shows the trace or run with this id, as one that was deleted there is not shown. Halt where its answer says
    neither yes nor no."""
    answer = context.ask(
        Request("GET", api_path("v1", "traces" if kind == "trace" else "runs", server_id), (("limit", "1"),))
    )
    # what it holds may be more than any reply is read of, even so
    if answer.status is not None and 200 <= answer.status < 300:
        return True
    if answer.verdict not in (Verdict.MISSING, Verdict.DELETED):
        raise Halt("unavailable", answer.reason, scope="session")
    return False


def _from_manifest(manifest: Manifest) -> dict[str, Any]:
    """What can be said of a session whose creation record is lost."""
    common: dict[str, Any] = {"started_at": manifest.created_at}
    if manifest.project is not None:
        common["project"] = manifest.project
    if manifest.kind == "run":
        return {"name": manifest.name or manifest.id, "client_run_id": manifest.id, **common}
    return {"session_id": manifest.id, "scaffold": wire.SCAFFOLD, **common}
