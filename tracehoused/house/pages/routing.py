"""The pages' addresses: `/`, `/r/<run id>`, `/t/<trace id>`, signing in and out, and the style sheet."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from tracehoused.house.pages import signin, views
from tracehoused.house.pages.static_files import static_routes


def routes() -> list[BaseRoute]:
    return [
        Route("/", views.all_runs),
        Route("/traces", views.all_traces),
        Route("/r/{id}", views.run),
        Route("/t/{id}", views.trace),
        Route("/signin", signin.form),
        Route("/signin", signin.with_key, methods=["POST"]),
        Route("/signin/{code}", signin.with_code),
        Route("/signout", signin.sign_out, methods=["POST"]),
        *static_routes(),
    ]
