"""The addresses of conversations: `/traces`, `/r/<run id>/rollouts`, `/t/<trace id>` and what lies below it."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from tracehoused.house.pages import details, rollouts, trace, traces


def talk_routes() -> list[BaseRoute]:
    return [
        Route("/traces", traces.all_traces),
        Route("/r/{id}/rollouts", rollouts.rollouts),
        Route("/r/{id}/config", details.config),
        Route("/r/{id}/environment", details.environment),
        Route("/r/{id}/artifacts", details.artifacts),
        Route("/r/{id}/links", details.links),
        Route("/t/{id}", trace.trace),
        Route("/t/{id}/timeline", trace.timeline),
        Route("/t/{id}/about", trace.about),
        Route("/t/{id}/spans/{n:int}", trace.span),
    ]
