"""`GET /openapi.json`: the interface in the words of OpenAPI 3.1, for tools that test it or make clients; it tells no more than the
documentation does, and needs no key."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tracehoused.house import chat, training
from tracehoused.house.api import misc
from tracehoused.house.api.respond import json_answer
from tracehoused.house.state import house_of
from tracehoused.house.values import INT64, MOST_ID

__all__ = ["document", "get_openapi"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_ID: Schema = {"type": "string", "minLength": 1, "maxLength": MOST_ID}
_TIME: Schema = {"type": "string", "format": "date-time"}
_WHOLE: Schema = {"type": "integer", "minimum": -INT64, "maximum": INT64 - 1}
_FREE: Schema = {"type": "object"}
_SHA256: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def _object(required: str = "", /, **fields: Schema) -> Schema:
    known: Schema = {"type": "object", "properties": fields}
    return {**known, "required": required.split()} if required else known


def _list(items: Schema, most: int | None = None) -> Schema:
    known = {"type": "array", "items": items}
    return known if most is None else {**known, "maxItems": most}


def _choice(values: Any) -> Schema:
    return {"type": "string", "enum": sorted(values)}


def _or_null(**fields: Schema) -> dict[str, Schema]:
    """What may be left out may be null as well."""
    return {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in fields.items()}


_HF = _or_null(**dict.fromkeys(("hf_dataset", "hf_dataset_split", "hf_model", "hf_model_revision"), _TEXT))
_TRACE_TEXTS = _or_null(**dict.fromkeys(("scaffold", "project", "task_name", "model", "run_id"), _TEXT))
_TRACE = _object(
    "session_id started_at", session_id=_ID, started_at=_TIME, **_or_null(rollout_step=_WHOLE), **_TRACE_TEXTS
)
_CHANGES = _or_null(
    outcome=_choice(chat.OUTCOMES), metadata=_FREE, **dict.fromkeys(("task_name", "model", "scaffold"), _TEXT)
)
_TRACE_PATCH = _object(**_CHANGES)
_SESSION_PATCH = _object("session_id", session_id=_ID, **_CHANGES)
_SPAN = _object(
    "id session_id kind name start_at attributes",
    id=_ID,
    session_id=_ID,
    kind=_choice(chat.KINDS),
    name=_TEXT,
    start_at=_TIME,
    attributes=_FREE,
    **_or_null(end_at=_TIME, parent_span_id=_TEXT, status=_TEXT),
)
_RUN = _object(
    "name client_run_id started_at",
    name=_TEXT,
    client_run_id=_ID,
    started_at=_TIME,
    **_or_null(project=_TEXT, config=_FREE),
    **_HF,
)
_RUN_PATCH = _object(**_or_null(status=_choice(training.STATUSES), ended_at=_TIME, config_patch=_FREE), **_HF)
_KEY = {"type": "string", "maxLength": MOST_ID}
_POINT = _object("key step value", key=_KEY, step=_WHOLE, value={}, **_or_null(wall_time=_TIME))
_PLACE = _object(
    "uid segment endpoint first last",
    uid=_ID,
    segment=_ID,
    endpoint=_choice(misc.ENDPOINTS),
    first={**_WHOLE, "minimum": 0},
    last={**_WHOLE, "minimum": 0},
)
_ARTIFACT = _object("name kind data", name=_ID, kind=_choice(training.ARTIFACT_KINDS), data={})
_PAGE = {"limit": {"type": "integer", "minimum": 1, "maximum": 1000}, "after": {**_WHOLE, "minimum": 0}}
_FIND = {**_PAGE, "project": _TEXT, "q": _TEXT}
_CHART: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100_000},
    "after": {"type": "string", "pattern": "^[0-9]{1,18}:-?[0-9]{1,18}:[0-9]{1,18}$"},
    "key": _TEXT,
    "buckets": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "first": _WHOLE,
    "last": _WHOLE,
}
_NEW_MEDIA = {"key": _ID, "media_type": _choice(training.MEDIA_TYPES), "step": _WHOLE, "caption": _TEXT}
_SOME_TRACES, _SOME_PATCHES = (_list(one, chat.MOST_TRACES) for one in (_TRACE, _SESSION_PATCH))

# (method, path): what it does, its query, its body
_OPERATIONS: dict[tuple[str, str], tuple[str, dict[str, Schema], Schema | None]] = {
    ("get", "/v1/capabilities"): ("what this house can do", {}, None),
    ("post", "/v1/anon/session"): ("a public identity, where they are allowed", {}, _object()),
    ("post", "/v1/verify"): (
        "which records and media it holds",
        {},
        _object(**_or_null(sessions=_list(_PLACE, misc.MOST), media=_list(_SHA256, misc.MOST))),
    ),
    ("get", "/v1/traces"): ("traces, newest first", _FIND, None),
    ("post", "/v1/traces"): ("make a trace, or find it by its session_id", {}, _TRACE),
    ("get", "/v1/traces/{id}"): ("a trace and its spans", _PAGE, None),
    ("patch", "/v1/traces/{id}"): ("change a trace", {}, _TRACE_PATCH),
    ("delete", "/v1/traces/{id}"): ("delete a trace", {}, None),
    ("post", "/v1/spans"): (
        "spans of traces, traces to be made before them, and changes to make after them",
        {},
        _object("spans", spans=_list(_SPAN), **_or_null(traces=_SOME_TRACES, patches=_SOME_PATCHES)),
    ),
    ("get", "/v1/runs"): ("runs, newest first", _FIND, None),
    ("post", "/v1/runs"): ("make a run, or find it by its client_run_id", {}, _RUN),
    ("get", "/v1/runs/{id}"): ("a run", {}, None),
    ("patch", "/v1/runs/{id}"): ("change a run", {}, _RUN_PATCH),
    ("delete", "/v1/runs/{id}"): ("delete a run", {}, None),
    ("get", "/v1/runs/{id}/metrics"): ("points, or buckets of them", _CHART, None),
    ("post", "/v1/runs/{id}/metrics"): ("record points", {}, _object("points", points=_list(_POINT))),
    ("get", "/v1/runs/{id}/media"): ("media of a run", {**_PAGE, "key": _TEXT}, None),
    ("post", "/v1/runs/{id}/media"): (
        "keep a file, which is the body",
        _NEW_MEDIA,
        {"type": "string", "format": "binary"},
    ),
    ("get", "/v1/runs/{id}/artifacts"): ("artifacts of a run", _PAGE, None),
    ("post", "/v1/runs/{id}/artifacts"): ("keep an artifact", {}, _ARTIFACT),
    ("get", "/v1/runs/{id}/rollouts"): ("traces that are a run's rollouts", {**_PAGE, "step": _WHOLE}, None),
    ("get", "/v1/runs/{id}/model_card.md"): ("a run as Markdown", {}, None),
    ("post", "/v1/runs/{id}/push_model_card"): ("501: a house pushes nowhere", {}, _object(commit_message=_TEXT)),
    ("get", "/v1/media/{name}"): ("a file's bytes, by its id or SHA-256", {}, None),
}
_NEEDED = {("/v1/runs/{id}/media", name) for name in ("key", "media_type")}
# asked before there is a key
_OPEN = ("/v1/capabilities", "/v1/anon/session")
_REFUSAL = _object("reason message", reason=_TEXT, message=_TEXT)


def document(version: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, Any] = {}
    for (method, path), (summary, query, body) in _OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(method, path, summary, query, body)
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "tracehouse", "version": version},
        "security": [{"key": []}],
        "components": {"securitySchemes": {"key": bearer}, "schemas": {"Refusal": _REFUSAL}},
        "paths": paths,
    }


def _operation(method: str, path: str, summary: str, query: dict[str, Schema], body: Schema | None) -> dict[str, Any]:
    inside = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [{"name": name, "in": "path", "required": True, "schema": _ID} for name in inside]
    for name, schema in query.items():
        needed = method == "post" and (path, name) in _NEEDED
        parameters.append({"name": name, "in": "query", "required": needed, "schema": schema})
    refusal = {
        "description": "why not",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
    operation = {
        "summary": summary,
        "parameters": parameters,
        "responses": {"2XX": {"description": "done"}, "4XX": refusal},
    }
    if path in _OPEN:
        operation["security"] = []
    if body is not None:
        kind = "application/octet-stream" if body.get("format") == "binary" else "application/json"
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": body}}}
    return operation


async def get_openapi(request: Request) -> Response:
    return json_answer(document(house_of(request).options.version))
