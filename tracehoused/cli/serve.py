"""`tracehouse serve`: run a house on this machine."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracehoused.cli.common import say

if TYPE_CHECKING:
    from tracehoused.house.server import Opened

_NEEDS = ("jinja2", "sqlalchemy", "starlette", "uvicorn")
_OLDEST = (3, 10)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the house keeps its data.  [default: the user's data directory]",
)
@click.option(
    "--database",
    envvar="TRACEHOUSE_HOUSE_DATABASE",
    show_envvar=True,
    metavar="URL",
    help="PostgreSQL instead of a file, for several houses side by side: postgresql://user@host/name.",
)
@click.option(
    "--media",
    envvar="TRACEHOUSE_HOUSE_MEDIA",
    show_envvar=True,
    metavar="URL",
    help="S3, or what speaks like it, for images and videos: s3://bucket/prefix; keys and endpoint as AWS_… say.",
)
@click.option("--allow-anonymous", is_flag=True, help="Take uploads from clients without a key.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A further name this house answers to (Host header).")
def serve(
    host: str,
    port: int,
    data: Path | None,
    database: str | None,
    media: str | None,
    allow_anonymous: bool,
    allow_host: tuple[str, ...],
) -> None:
    """Run a house: receive traces and runs, and show them in the browser."""
    check_needs()
    from sqlalchemy.exc import DBAPIError

    from tracehoused.house.alone import DataInUse
    from tracehoused.house.auth import KeyFileError
    from tracehoused.house.errors import StorageFailure
    from tracehoused.house.mediastore import MediaError
    from tracehoused.house.server import PortInUse, Settings, run
    from tracehoused.house.state import Options
    from tracehoused.house.store.dialect import DatabaseError
    from tracehoused.house.store.store import FormatError

    options = Options(house_version(), allow_anonymous, frozenset(allow_host))
    try:
        run(Settings(host, port, data or _default_data(), options, database, media), _announce)
    except PortInUse as error:
        raise click.ClickException(f"{error}; choose another with --port, e.g. --port {_another(port)}") from None
    except DataInUse as error:
        raise click.ClickException(
            f"{error}; stop that one, or give this one a directory of its own with --data"
        ) from None
    except (DatabaseError, FormatError, KeyFileError, MediaError, StorageFailure) as error:
        raise click.ClickException(str(error)) from None
    except DBAPIError as error:
        raise click.ClickException(f"the database cannot be used: {error.orig}") from None
    except OSError as error:
        raise click.ClickException(f"cannot serve on {host} port {port}: {error}") from None


def check_needs() -> None:
    """ClickException with what to do where a house cannot run."""
    if sys.version_info < _OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        raise click.ClickException(
            f"the house needs Python {'.'.join(map(str, _OLDEST))} or newer, this is {found}. With a newer one: "
            "python3 -m pip install 'tracehouse-sdk[house]'"
        )
    missing = [name for name in _NEEDS if not _is_there(name)]
    if missing:
        raise click.ClickException(
            f"the house needs {', '.join(missing)}. Install: {sys.executable} -m pip install 'tracehouse-sdk[house]'"
        )


def _is_there(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True


def house_version() -> str:
    """The installed version, for what a house tells of itself."""
    try:
        return metadata.version("tracehouse-sdk")
    except metadata.PackageNotFoundError:
        return "unknown"


def _default_data() -> Path:
    from platformdirs import user_data_path

    return user_data_path("tracehouse") / "house"


def _another(port: int) -> int:
    return port + 1 if port < 65535 else port - 1


def _announce(opened: Opened) -> None:
    if opened.new_key is not None:
        say(f"key (shown this once): {opened.new_key}")
    say(f"key file: {opened.key_file}")
    say(f"sign in once, in your browser: {opened.new_link()}")
    say(f"house: listening on {opened.url}")


if __name__ == "__main__":
    serve()
