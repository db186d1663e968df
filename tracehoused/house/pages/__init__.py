"""What people see: server-rendered pages that work without scripts."""

from __future__ import annotations

from tracehoused.house.pages.routing import routes

__all__ = ["routes"]
