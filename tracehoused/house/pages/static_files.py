"""Style sheets, scripts and icons: under an address that names their content, and so for ever the same.

A page links `/static/<hash>/…`, which browsers keep without asking again; modules import each other by relative names
and so stay within one state of the files. `/static/…` without the hash is asked anew each time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

_FOLDER = Path(__file__).parent / "static"


def _content_hash() -> str:
    found = hashlib.sha256()
    for path in sorted(_FOLDER.iterdir()):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


CONTENT = _content_hash()


class _Files(StaticFiles):
    def __init__(self, caching: str) -> None:
        super().__init__(directory=_FOLDER)
        self._caching = caching

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = self._caching
        return answer


def static_routes() -> list[BaseRoute]:
    return [
        Mount(f"/static/{CONTENT}", _Files("public, max-age=31536000, immutable")),
        Mount("/static", _Files("no-cache"), name="static"),
    ]
