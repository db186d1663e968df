"""The addresses of keeping house; what changes anything is a form, sent by POST from a page of the house's own."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from tracehoused.house.pages import keeping


def keeping_routes() -> list[BaseRoute]:
    return [
        Route("/keys", keeping.keys),
        Route("/keys", keeping.new_key, methods=["POST"]),
        Route("/keys/revoke", keeping.revoke_key, methods=["POST"]),
        Route("/shares", keeping.shares),
        Route("/shares", keeping.new_share, methods=["POST"]),
        Route("/shares/revoke", keeping.revoke_share, methods=["POST"]),
        Route("/deleted", keeping.deleted),
        Route("/delete", keeping.delete, methods=["POST"]),
        Route("/restore", keeping.restore, methods=["POST"]),
        Route("/purge", keeping.purge, methods=["POST"]),
        Route("/disk", keeping.disk),
        Route("/agents", keeping.agents),
        Route("/claim", keeping.claim),
        Route("/claim", keeping.claim_now, methods=["POST"]),
    ]
