"""`tracehoused config`: the effective settings, and where each comes from."""

from __future__ import annotations

import json
import os

import click

from tracehoused.config import SETTINGS, config_path, resolve
from tracehoused.text import printable

__all__ = ["config"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON: name to value and source.")
def config(as_json: bool) -> None:
    """Print every setting with its value and its source: an option, a variable, config.toml or the default."""
    settings = resolve(environ=os.environ)
    told = {name: {"value": getattr(settings, name), "source": settings.sources[name]} for name in SETTINGS}
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    path = config_path(os.environ)
    click.echo(f"# {path}{'' if os.path.exists(path) else ' (not there)'}")
    width = max(map(len, told))
    for name, one in told.items():
        click.echo(
            f"{name.ljust(width)} = {_shown(one['value'])}  # {printable(str(one['source']))}; {SETTINGS[name].help}"
        )


def _shown(value: object) -> str:
    """As TOML, as far as the value is one."""
    if value is None:
        return "(none)"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
