"""The judge of every crash test: what jobs were told is safe, against what a house, or a spool, holds.

What ``log*()`` has returned from is there exactly once, or a ``dropped`` record tells of it; what never was begun is not there. Each item
with what is in it: a point's value, a span's text, an artifact's data, a picture's bytes. What ``finish()`` was True for is there, too:
what it left in the config, or the metadata, and how the run, or the trace, ended, as long as nobody went on with it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from tests.support.ledger import MARK
from tracehouse.exceptions import TracehouseError
from tracehouse.spool import layout, record
from tracehoused.upload import opening, reader

Item = tuple[Any, ...]
# media that were fetched and found whole, by house and id: rows read one house hundreds of times
_WHOLE: set[tuple[str, str]] = set()


@dataclass
class Account:
    """What ledgers say: ``begun`` includes ``done``, which a call returned from; ``promised``: what a flush was True for;
    ``doubtful``: what one was False for, which a later one says nothing of; ``opened``, ``ended``: how often each session was."""

    begun: set[Item] = field(default_factory=set)
    done: set[Item] = field(default_factory=set)
    promised: set[Item] = field(default_factory=set)
    doubtful: set[Item] = field(default_factory=set)
    opened: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    by_process: dict[int, set[Item]] = field(default_factory=dict)

    def add(self, ledger: Path | str, told: int | None = None) -> Account:
        """What a flush says covers what its process logged in this ledger. ``told``: bytes of it that count."""
        whole, counted = Account(), Account()
        text = Path(ledger).read_bytes() if os.path.exists(ledger) else b""
        for account, end in ((whole, len(text)), (counted, told)):
            for line in text[:end].split(b"\n")[:-1]:
                account.note(json.loads(line))
        counted.begun, counted.opened = whole.begun, whole.opened
        return self.join(counted)

    def join(self, other: Account) -> Account:
        """Count what is in another one as well; what it doubts is its own affair."""
        self.begun |= other.begun
        self.done |= other.done
        self.promised |= other.promised
        self.opened += other.opened
        self.ended += other.ended
        # how a session ended is nobody's to say where a job that went on with it, or still does, has not told
        unsure = {item for name in self.opened - self.ended for item in _how_ended(name)}
        self.done -= unsure
        self.promised -= unsure
        return self

    def note(self, line: list[Any]) -> None:
        """One line of a ledger."""
        pid, mark, item = line[0], line[1], tuple(line[2:])
        own = self.by_process.setdefault(pid, set())
        if mark in "!?":
            told = {one for one in own if one[1] in item} - self.promised - self.doubtful
            of = self.promised if mark == "!" else self.doubtful
            of |= told
        elif mark == "<":
            self.opened.update(item)
        elif mark == "+":
            self.begun.add(item)
        else:
            self.done.add(item)
            own.add(item)
            self.ended[item[1]] += item in _how_ended(item[1])


def _how_ended(name: str) -> set[Item]:
    return {("status", name, "finished"), ("outcome", name, "good")}


@dataclass
class Verdict:
    """What is wrong; ``dropped`` of the emitted were told to be lost, which excuses as many, but none of which a flush was True for:
    those are ``broken`` promises."""

    emitted: int
    lost: list[Item]
    duplicated: list[Item]
    invented: list[Item]
    dropped: int = 0
    broken: list[Item] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return len(self.lost) <= self.dropped and not (self.duplicated or self.invented or self.broken)

    def text(self) -> str:
        told = [f"{name} {items[:3]}" for name, items in vars(self).items() if isinstance(items, list) and items]
        return f"of {self.emitted}, {self.dropped} told dropped: " + ("; ".join(told) or "nothing wrong")


def judge(account: Account, held: Counter[Item], *, dropped: int = 0, promised_only: bool = False) -> Verdict:
    """``promised_only``: after a power failure, when only what a flush was True for must be there."""
    wanted = account.promised if promised_only else account.done
    return Verdict(
        len(wanted),
        sorted(item for item in wanted if not held[item]),
        sorted(item for item, count in held.items() if count > 1),
        sorted(item for item in held if item not in account.begun),
        dropped,
        sorted(item for item in wanted & account.promised if not held[item]),
    )


def in_house(client: httpx.Client, prefix: str = "") -> Counter[Item]:
    """All that a house holds of the runs and traces whose ids begin so."""
    return Counter(_house_items(client, prefix))


def _house_items(client: httpx.Client, prefix: str) -> Iterator[Item]:
    for run in _pages(client, "/v1/runs", "runs"):
        name, base = run["client_run_id"], f"/v1/runs/{run['id']}"
        if not str(name).startswith(prefix):
            continue
        for series in _pages(client, f"{base}/metrics", "series", limit=100_000):
            for step, value, _time in series["points"]:
                yield "point", name, series["key"], step, value
        for media in _pages(client, f"{base}/media", "media"):
            yield "media", name, media["key"], media["step"], _sha256(client, media)
        for artifact in _pages(client, f"{base}/artifacts", "artifacts"):
            yield "artifact", name, artifact["name"], _data(artifact)
        yield from _ends(name, run["config"], [("status", name, run["status"])])
    for trace in _pages(client, "/v1/traces", "traces"):
        if not str(trace["session_id"]).startswith(prefix):
            continue
        if trace["run_id"] is not None:
            yield "trace", trace["session_id"]
            if trace["outcome"] == "good":
                yield "outcome", trace["session_id"], "good"
        else:
            told = ("outcome", trace["session_id"], trace["outcome"])
            yield from _ends(trace["session_id"], trace["metadata"], [told])
        for span in _pages(client, f"/v1/traces/{trace['id']}", "spans", limit=1000):
            yield "span", trace["session_id"], span["attributes"]["text"]


def _ends(name: str, held: dict[str, Any] | None, told: list[Item]) -> Iterator[Item]:
    """What ends left in a config, or metadata; then how it ended, which says nothing where no end was noted."""
    marks = [("mark", name, mark) for mark in held or {} if mark.startswith(MARK)]
    yield from marks
    if marks:
        yield from _how_ended(name).intersection(told)


def _data(artifact: dict[str, Any]) -> str:
    return json.dumps(artifact["data"], sort_keys=True)


def _sha256(client: httpx.Client, media: dict[str, Any]) -> str:
    """Of the bytes that the house answers with, which is asked until they are what it tells of them."""
    known = (str(client.base_url), str(media["id"]))
    if known not in _WHOLE:
        answer = client.get(media["url"])
        found = sha256(answer.content).hexdigest() if answer.is_success else str(answer.status_code)
        if found != media["sha256"]:
            return found
        _WHOLE.add(known)
    return str(media["sha256"])


def _pages(client: httpx.Client, path: str, name: str, limit: int = 1000) -> Iterator[dict[str, Any]]:
    after: Any = None
    while True:
        params = {"limit": limit} if after is None else {"limit": limit, "after": after}
        page = client.get(path, params=params).raise_for_status().json()
        yield from page[name]
        after = page.get("next")
        if after is None:
            return


def in_spool(spool: Path | str) -> Counter[Item]:
    """All valid records of a spool, each (epoch, seq) once, as the agent would read them; media only where their file is whole."""
    found: Counter[Item] = Counter()
    for session in reader.session_dirs(os.fspath(spool)):
        found.update(_session_items(session))
    return found


def dropped(spool: Path | str) -> int:
    """How many records the emitter says that it had to give up."""
    return sum(dropped_by_session(spool).values())


def dropped_by_session(spool: Path | str) -> Counter[str]:
    """The same by the ids of the sessions."""
    told: Counter[str] = Counter()
    for session in reader.session_dirs(os.fspath(spool)):
        for kind, data in _records(session):
            if kind == "dropped":
                told[_id_of(session)] += data["records"]
    return told


def _session_items(session: str) -> Iterator[Item]:
    name = _id_of(session)
    marks: dict[str, Any] = {}
    ends: list[Item] = []
    for kind, data in _records(session):
        yield from _items_of(kind, data, name, session)
        if kind == "config_patch":
            marks.update(data)
        elif kind == "run_patch":
            ends.append(("status", name, data.get("status")))
        elif kind == "trace_patch" and data["session_id"] == name:
            marks.update(data.get("metadata") or {})
            ends.append(("outcome", name, data.get("outcome")))
    yield from _ends(name, marks, ends)


def _id_of(session: str) -> str:
    try:
        return reader.read_manifest(session).id
    except TracehouseError:
        return ""


def _records(session: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        uid = reader.read_manifest(session).uid
    except TracehouseError:
        return
    epochs = reader.writers(session)
    reader.measure(session, epochs)
    for epoch in epochs:
        seen: set[int] = set()
        seed = record.checksum_seed(uid, epoch.id)
        for n, size in epoch.sizes.items():
            fd = opening.open_checked(os.path.join(session, layout.segment_name(epoch.id, n)))
            try:
                for one in reader.scan(fd, seed, 0, size, reader.Scan(0)):
                    if one.seq not in seen:
                        seen.add(one.seq)
                        yield one.type.decode(), json.loads(one.data)
            finally:
                os.close(fd)


def _items_of(kind: str, data: dict[str, Any], name: str, session: str) -> Iterable[Item]:
    if kind == "metrics":
        return [("point", name, key, data["step"], value) for key, value in data["values"].items()]
    if kind == "span":
        return [("span", data["session_id"], data["attributes"]["text"])]
    if kind == "trace" and data.get("rollout_step") is not None:
        return [("trace", data["session_id"])]
    if kind == "trace_patch" and "outcome" in data and not name.endswith("-chat"):
        return [("outcome", data["session_id"], data["outcome"])]
    if kind == "artifact":
        return [("artifact", name, data["name"], _data(data))]
    if kind == "media" and _is_whole(os.path.join(session, layout.MEDIA, data["file"]), data["sha256"]):
        return [("media", name, data["key"], data["step"], data["sha256"])]
    return []


def _is_whole(path: str, sha256: str) -> bool:
    try:
        return layout.sha256_hex(Path(path).read_bytes()) == sha256
    except FileNotFoundError:
        return False
