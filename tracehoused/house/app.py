"""The house as an ASGI application."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tracehoused.house import pages
from tracehoused.house.agents import Agents
from tracehoused.house.api import misc, read, write_runs, write_traces
from tracehoused.house.api.openapi import get_openapi
from tracehoused.house.api.respond import json_answer, on_refusal
from tracehoused.house.auth import Auth
from tracehoused.house.errors import Refusal, StorageFailure
from tracehoused.house.guard import Guard
from tracehoused.house.mediastore import Media
from tracehoused.house.pages.answer import problem
from tracehoused.house.purger import Purger
from tracehoused.house.shares import Shares
from tracehoused.house.state import House, Options
from tracehoused.house.store.store import Store

log = logging.getLogger("tracehouse.house")


def api_routes() -> list[Route]:
    return [
        Route("/v1/capabilities", misc.capabilities),
        Route("/v1/anon/session", misc.anonymous_session, methods=["POST"]),
        Route("/v1/verify", misc.verify, methods=["POST"]),
        Route("/v1/traces", read.get_traces),
        Route("/v1/traces", write_traces.post_trace, methods=["POST"]),
        Route("/v1/traces/{id}", read.get_trace),
        Route("/v1/traces/{id}", write_traces.patch_trace, methods=["PATCH"]),
        Route("/v1/traces/{id}", misc.delete_trace, methods=["DELETE"]),
        Route("/v1/spans", write_traces.post_spans, methods=["POST"]),
        Route("/v1/runs", read.get_runs),
        Route("/v1/runs", write_runs.post_run, methods=["POST"]),
        Route("/v1/runs/{id}", read.get_run),
        Route("/v1/runs/{id}", write_runs.patch_run, methods=["PATCH"]),
        Route("/v1/runs/{id}", misc.delete_run, methods=["DELETE"]),
        Route("/v1/runs/{id}/metrics", read.get_metrics),
        Route("/v1/runs/{id}/metrics", write_runs.post_metrics, methods=["POST"]),
        Route("/v1/runs/{id}/media", read.get_media_list),
        Route("/v1/runs/{id}/media", write_runs.post_media, methods=["POST"]),
        Route("/v1/runs/{id}/artifacts", read.get_artifacts),
        Route("/v1/runs/{id}/artifacts", write_runs.post_artifact, methods=["POST"]),
        Route("/v1/runs/{id}/rollouts", read.get_rollouts),
        Route("/v1/runs/{id}/model_card.md", read.get_model_card),
        Route("/v1/runs/{id}/push_model_card", write_runs.push_model_card, methods=["POST"]),
        Route("/v1/media/{name}", read.get_media),
    ]


def create_app(store: Store, blobs: Media, auth: Auth, options: Options) -> Starlette:
    """The application; it closes nothing: the store is its maker's to close."""
    app = Starlette(
        routes=[*api_routes(), Route("/openapi.json", get_openapi), *pages.routes()],
        middleware=[Middleware(Guard, hosts=options.hosts)],
        exception_handlers={
            Refusal: on_refusal,
            HTTPException: _on_http,
            StorageFailure: _on_storage,
            ClientDisconnect: _on_disconnect,
            Exception: _on_error,
        },
    )
    app.state.house = House(store, blobs, auth, options, Shares(store), Agents(store), Purger(store, blobs))
    return app


async def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    reason = {404: "not_found", 405: "method"}.get(status, "refused")
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else None
    message = error.detail if isinstance(error, HTTPException) else "refused"
    if status == 404 and "text/html" in request.headers.get("accept", ""):
        return problem(404, "there is no such page")
    return json_answer({"reason": reason, "message": message}, status, headers)


async def _on_storage(_request: Request, error: Exception) -> Response:
    return json_answer({"reason": "storage", "message": f"not stored, try again later: {error}"}, 503)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return json_answer({"reason": "disconnected", "message": "the body ended early"}, 400)


async def _on_error(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.scope.get("route", ""), exc_info=error)
    return json_answer({"reason": "internal", "message": "the house failed; its log says more"}, 500)
