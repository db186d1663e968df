"""The pages' addresses: `/`, `/r/<run id>`, `/t/<trace id>`, signing in and out, and the style sheet."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from tracehoused.house.pages import charts, export, live, media, runs, signin
from tracehoused.house.pages.keeping_routing import keeping_routes
from tracehoused.house.pages.static_files import static_routes
from tracehoused.house.pages.talk_routing import talk_routes


def routes() -> list[BaseRoute]:
    return [
        Route("/", runs.all_runs),
        Route("/compare", charts.compare),
        Route("/data/series", charts.data),
        Route("/live", live.live),
        Route("/download.{format}", export.download),
        Route("/r/{id}", charts.run_charts),
        Route("/r/{id}/media", media.run_media),
        *talk_routes(),
        *keeping_routes(),
        Route("/signin", signin.form),
        Route("/signin", signin.with_key, methods=["POST"]),
        Route("/signin/{code}", signin.with_code),
        Route("/signout", signin.sign_out, methods=["POST"]),
        *static_routes(),
    ]
