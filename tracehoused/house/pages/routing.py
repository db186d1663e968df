"""The pages' addresses: `/`, `/r/<run id>`, `/t/<trace id>`, signing in and out, and the style sheet."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from tracehoused.house.pages import signin, views

_STATIC = Path(__file__).parent / "static"


def routes() -> list[BaseRoute]:
    return [
        Route("/", views.home),
        Route("/r/{id}", views.run),
        Route("/t/{id}", views.trace),
        Route("/signin", signin.form),
        Route("/signin", signin.with_key, methods=["POST"]),
        Route("/signin/{code}", signin.with_code),
        Route("/signout", signin.sign_out, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
    ]
