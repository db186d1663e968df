"""`tracehouse view`: a spool in the browser, with nothing to set up."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from tracehouse.spool import layout
from tracehoused.cli.common import resolve_spools, say
from tracehoused.cli.handing import Handing
from tracehoused.cli.serve import check_needs, house_version
from tracehoused.config import resolve
from tracehoused.service import logfile
from tracehoused.text import printable

if TYPE_CHECKING:
    from tracehoused.viewing import View

__all__ = ["view"]

# so long is a lone session waited for, so that its own page is the first
_FIRST_PAGE_S = 5.0


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="On loopback.  [default: a free one]")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where what is shown is kept meanwhile: new, empty, or an earlier view's.  [default: in the user's state directory]",
)
def view(spool: str | None, no_browser: bool, port: int, data: Path | None) -> None:
    """Look at SPOOL (default: the one jobs here write to), or at one session's directory, in the browser, as jobs write it.

    Nothing is sent anywhere, nothing in the spool is changed or counts as uploaded. Ctrl-C ends it.
    """
    check_needs()
    from sqlalchemy.exc import DBAPIError

    from tracehoused.house.auth import KeyFileError
    from tracehoused.house.errors import FormatError, StorageFailure
    from tracehoused.house.server import PortInUse
    from tracehoused.viewing import AlreadyViewed, NotAView, View, forget_gone, view_dir

    settings = resolve({}, environ=os.environ)
    roots = resolve_spools(spool, settings)
    if not roots:
        raise click.ClickException(f"no spool yet in {', '.join(settings.spools)}: name one, or let a job log first")
    logfile.begin("warning", None, most=0, keep=0, terminal=sys.stderr)
    forget_gone(settings)
    shown = View(roots, settings, os.environ, data or view_dir(settings, roots))
    try:
        with closing(Handing()) as browser:
            given = None if no_browser else browser
            shown.run(port, house_version(), lambda address: _announce(shown, roots, address, given))
    except AlreadyViewed as other:
        _point_to(other.address, str(other), not no_browser)
    except NotAView as error:
        raise click.ClickException(str(error)) from None
    except PortInUse as error:
        raise click.ClickException(f"{error}; leave --port out for a free one") from None
    except (DBAPIError, FormatError, KeyFileError, StorageFailure) as error:
        place, told = data or view_dir(settings, roots), getattr(error, "orig", error)
        raise click.ClickException(f"{told}; {place} holds nothing that the spool has not: delete it") from None
    except OSError as error:
        raise click.ClickException(f"cannot show it: {error}") from None


def _announce(shown: View, roots: list[str], address: str, browser: Handing | None) -> None:
    found = len(shown.sessions())
    what = "a session" if layout.is_session_dir(os.path.basename(roots[0])) else f"{found} session{'s' * (found != 1)}"
    say(f"{', '.join(map(printable, roots))}: {what}, shown at {address} as jobs write; Ctrl-C ends it")
    query = urlencode({"next": shown.page(_FIRST_PAGE_S)})
    say(f"open this link, good for one use: {shown.new_link()}?{query}")
    if "SSH_CONNECTION" in os.environ:
        port = address.rpartition(":")[2]
        say(f"from your own machine, first: ssh -L {port}:127.0.0.1:{port} {os.uname().nodename}")
    if browser is not None and _has_screen(os.environ):
        try:
            browser.open(f"{shown.new_link()}?{query}")
        except OSError as error:
            say(f"no browser was opened: {error}")


def _point_to(address: str | None, message: str, opening: bool) -> None:
    if address is None:
        raise click.ClickException(f"it is shown already: {message}")
    say(f"it is shown already, at {address}; the link that signs in is where that was started")
    if opening and _has_screen(os.environ):
        webbrowser.open(address)


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser can open here; one inside the terminal would take it."""
    if sys.platform == "darwin":
        return "SSH_CONNECTION" not in environ
    return any(environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
