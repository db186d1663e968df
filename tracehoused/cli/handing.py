"""A link that is good for one use, given to the user's browser."""

from __future__ import annotations

import html
import os
import shutil
import tempfile
import threading
import webbrowser
from pathlib import Path

__all__ = ["Handing"]

# a browser that has not opened it by then never will
_LONGEST_S = 60.0
# browsers that are installed in this way see nothing of /tmp, and no hidden directories
_CONFINED = Path("/snap/bin")
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>tracehouse</title>
<meta http-equiv="refresh" content="0;url={link}"><p><a href="{link}">Go on</a></p></html>
"""


class Handing:
    """Everybody on the machine sees the words that a program is begun with: so it is given a private page that leads to the link."""

    def __init__(self) -> None:
        self._place = ""

    def open(self, link: str) -> None:
        """Have the browser open it; may last as long as that. OSError where there is no room for the page."""
        self._place = tempfile.mkdtemp(prefix="tracehouse-view-", dir=Path.home() if _CONFINED.is_dir() else None)
        page = Path(self._place, "open.html")
        page.touch(0o600)
        page.write_text(_PAGE.format(link=html.escape(link)), encoding="utf-8")
        timer = threading.Timer(_LONGEST_S, self.close)
        timer.daemon = True
        timer.start()
        webbrowser.open(page.as_uri())

    def close(self) -> None:
        """Remove the page; to be called also when it was never made."""
        if self._place and os.path.isdir(self._place):
            shutil.rmtree(self._place, ignore_errors=True)
