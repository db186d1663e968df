"""The addresses of conversations: `/traces`, `/t/<trace id>` and what lies below it."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from tracehoused.house.pages import trace, traces


def talk_routes() -> list[BaseRoute]:
    return [
        Route("/traces", traces.all_traces),
        Route("/t/{id}", trace.trace),
        Route("/t/{id}/timeline", trace.timeline),
        Route("/t/{id}/about", trace.about),
        Route("/t/{id}/spans/{n:int}", trace.span),
    ]
