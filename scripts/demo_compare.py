"""What the jobs' ledgers say was logged, against what the house holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


@dataclass(frozen=True)
class Result:
    """``lost``: in a ledger but not in the house; ``duplicated``: more than once in the house. ``unlisted``: in the house though a killed
    job had no time to write its ledger's line: the record was safe before its call returned."""

    emitted: int
    held: int
    lost: list[Any]
    duplicated: list[Any]
    unlisted: int
    run_id: str

    @property
    def good(self) -> bool:
        return self.emitted > 0 and not self.lost and not self.duplicated

    def text(self) -> str:
        lines = [
            f"emitted {self.emitted}",
            f"in the house {self.held}",
            f"lost {len(self.lost)}",
            f"duplicated {len(self.duplicated)}",
        ]
        for name, items in (("lost", self.lost), ("duplicated", self.duplicated)):
            lines += [f"  {name}: {item}" for item in items[:5]]
        if self.unlisted:
            lines.append(f"({self.unlisted} more: logged in the instant of the kill, before the job could note it)")
        return "\n".join(lines)


def compare(api_base: str, key: str, ledgers: list[Path]) -> Result:
    wanted = Counter(tuple(json.loads(line)) for ledger in ledgers for line in ledger.read_text().splitlines())
    with httpx.Client(base_url=api_base, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        held = Counter(_held(client))
        runs = list(_pages(client, "/v1/runs", "runs"))
    runs.sort(key=lambda run: str(run["client_run_id"]))
    return Result(
        emitted=sum(wanted.values()),
        held=sum(held[item] for item in wanted),
        lost=[item for item in wanted if not held[item]],
        duplicated=[item for item, count in held.items() if count > 1],
        unlisted=len(set(held) - set(wanted)),
        run_id=str(runs[0]["id"]) if runs else "",
    )


def _held(client: httpx.Client) -> Iterator[tuple[Any, ...]]:
    for run in _pages(client, "/v1/runs", "runs"):
        name = run["client_run_id"]
        yield "run", name
        for series in _pages(client, f"/v1/runs/{run['id']}/metrics", "series"):
            for step, _value, _time in series["points"]:
                yield "point", name, series["key"], step
        for media in _pages(client, f"/v1/runs/{run['id']}/media", "media"):
            yield "media", name, media["key"], media["step"]
    for trace in _pages(client, "/v1/traces", "traces"):
        yield "trace", trace["session_id"]
        if trace.get("outcome"):
            yield "outcome", trace["session_id"], trace["outcome"]
        for span in _pages(client, f"/v1/traces/{trace['id']}", "spans"):
            yield "span", trace["session_id"], span["id"]


def _pages(client: httpx.Client, path: str, name: str) -> Iterator[dict[str, Any]]:
    after: Any = None
    while True:
        page = client.get(path, params={} if after is None else {"after": after}).raise_for_status().json()
        yield from page[name]
        after = page.get("next")
        if after is None:
            return
