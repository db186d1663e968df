"""What a house holds, in a form that two houses can be compared by: ids that servers and uuid4 made and times of now put aside."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx

from tests.support.house import all_spans

Object = dict[str, Any]
_TRACE = ("scaffold", "project", "task_name", "model", "rollout_step", "outcome", "extra", "identity")
_SENDER = ("machine", "hostname", "agent_version")
_RUN = ("name", "project", "status", "extra", "identity")
_LINKS = ("hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision")
_MEDIA = ("step", "caption", "media_type", "mime", "size", "sha256")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_RUN_NAME = re.compile(r"^run-[0-9a-f]{8}$")
_GIVEN = "2001-"
_MACHINES_OWN = "system/"


def known_ids(client: httpx.Client) -> set[str]:
    """The ids of all traces and runs that the house holds."""
    return {one["id"] for kind in ("traces", "runs") for one in _all(client, f"/v1/{kind}", kind)}


def state(client: httpx.Client, before: set[str]) -> Object:
    """Traces and runs that are not among `before`, by session_id and client_run_id."""
    runs = [one for one in _all(client, "/v1/runs", "runs") if one["id"] not in before]
    names = {one["id"]: _plain(one["client_run_id"]) for one in runs}
    traces = [one for one in _all(client, "/v1/traces", "traces") if one["id"] not in before]
    return {
        "traces": dict(_numbered((_plain(one["session_id"]), _trace(client, one, names)) for one in traces[::-1])),
        "runs": dict(_numbered((_plain(one["client_run_id"]), _run(client, one)) for one in runs[::-1])),
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in it that names nothing further; lists go by number, and empty ones go."""
    if isinstance(value, list):
        value = {str(number): one for number, one in enumerate(value)}
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, f"{path}/{name}" if path else name)
    else:
        yield path, value


def _trace(client: httpx.Client, trace: Object, runs: dict[str, str]) -> Object:
    spans = all_spans(client, trace["id"])
    places = {span["id"]: f"span {number}" for number, span in enumerate(spans)}
    return {
        **{name: _plain(trace[name]) for name in (*_TRACE, *_SENDER)},
        "metadata": _text(trace["metadata"]),
        "run": runs.get(trace["run_id"], trace["run_id"]),
        "spans": [_span(span, places) for span in spans],
    }


def _span(span: Object, places: dict[str, str]) -> str:
    kept = {name: span[name] for name in ("kind", "name", "status", "attributes", "extra") if name in span}
    parent = span.get("parent_span_id")
    times = {name: _time(span.get(name)) for name in ("start_at", "end_at")}
    return _text({**kept, **times, "parent": places.get(parent or "", parent)})


def _run(client: httpx.Client, run: Object) -> Object:
    base = f"/v1/runs/{run['id']}"
    artifacts = ((one["name"], _artifact(one)) for one in _all(client, f"{base}/artifacts", "artifacts"))
    media = ((one["key"], _medium(client, one)) for one in _all(client, f"{base}/media", "media"))
    return {
        **{name: _plain(run[name]) for name in (*_RUN, *_LINKS, *_SENDER)},
        "config": _text(run["config"]),
        "ended": run["ended_at"] is not None,
        "points": _points(client, base),
        # several are sent at a time: the protocol gives media of one step no order
        "media": dict(_numbered(iter(sorted(media)))),
        "artifacts": dict(_numbered(artifacts)),
    }


def _points(client: httpx.Client, base: str) -> dict[str, str]:
    """The series by key, each as JSON: steps and values in order, with the times that were given."""
    found: dict[str, list[Any]] = {}
    answer = client.get(f"{base}/metrics", params={"limit": 100_000}).json()
    assert answer["next"] is None
    for series in answer["series"]:
        if series["key"].startswith(_MACHINES_OWN):
            continue
        for step, value, time in series["points"]:
            given = [time] if str(time).startswith(_GIVEN) else []
            found.setdefault(series["key"], []).append([step, value, *given])
    return {key: _text(sorted(points, key=lambda point: point[0])) for key, points in found.items()}


def _artifact(artifact: Object) -> Object:
    data = artifact["data"]
    return {"kind": artifact["kind"], "data": _shape(data) if artifact["name"] == "environment" else _text(data)}


def _shape(value: Any, name: str = "") -> Any:
    """The names in it, and the types of what they name; what is installed here is its own matter."""
    if isinstance(value, dict) and name not in ("packages", "env_vars", "git"):
        return {name: _shape(one, name) for name, one in value.items()}
    return type(value).__name__


def _medium(client: httpx.Client, medium: Object) -> str:
    kept = {name: medium[name] for name in _MEDIA}
    pixels = _pixels(client.get(medium["url"]).content)
    # two encoders make different files of the same array
    return _text({**kept, "sha256": pixels, "size": "any"} if pixels else kept)


def _pixels(data: bytes) -> str | None:
    """Size, mode and first pixels of a PNG or JPEG that is one; None for the rest."""
    if len(data) < 70 or data[:3] not in (b"\x89PN", b"\xff\xd8\xff"):
        return None
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return f"{image.size} {image.mode} {image.tobytes()[:64].hex()}"
    except (UnidentifiedImageError, OSError):
        return None


def _time(value: str | None) -> str | None:
    return value if value is None or value.startswith(_GIVEN) else "now"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return _RUN_NAME.sub("run-<hex>", _UUID.sub("<uuid>", value))


def _numbered(items: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """A name that comes again gets a number."""
    seen: dict[str, int] = {}
    for name, value in items:
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} #{seen[name]}"), value


def _all(client: httpx.Client, path: str, name: str) -> list[Object]:
    found: list[Object] = []
    params: dict[str, Any] = {"limit": 1000}
    while True:
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()[name]
        params["after"] = answer.json()["next"]
        if params["after"] is None:
            return found
