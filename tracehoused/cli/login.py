"""`tracehouse login`: keep an API key for the agent."""

from __future__ import annotations

import os
import sys

import click

from tracehouse.spool import keys
from tracehouse.spool.layout import fingerprint
from tracehoused.config import Settings, resolve
from tracehoused.http.retry import Verdict

__all__ = ["login"]


@click.command()
@click.option(
    "--api-base",
    metavar="URL",
    help="The server that the key is for.  [default: TRACEHOUSE_API_BASE, or tracehouse.ai]",
)
@click.option("--profile", default=keys.DEFAULT_PROFILE, show_default=True, help="A name for this identity.")
def login(api_base: str | None, profile: str) -> None:
    """Keep an API key, readable by you alone, so that uploads to one server find it, and ask that server about it.

    The key is asked for without echo, or read from standard input: `tracehouse login < key-file`. A profile that is there
    already gets the new key, and keeps what was acknowledged to it.
    """
    settings = resolve({"api_base": api_base}, environ=os.environ)
    _check_profile(profile)
    directory = keys.default_config_dir(os.environ)
    before = {(entry.api_base, entry.profile): entry for entry in keys.load(directory)}
    told = _ask(settings.api_base)
    if not told.strip():
        raise click.UsageError("no key came on standard input; `tracehouse login < key-file`, or call it in a terminal")
    key = keys.check_key(told)
    try:
        path = keys.save_key(key, settings.api_base, profile, source="login", config_dir=directory)
    except OSError as error:
        raise click.ClickException(f"cannot keep the key in {directory}: {error}") from None
    old = before.get((settings.api_base, profile))
    changed = old is not None and old.key != key
    click.echo(f"{'replaced' if changed else 'kept'} the key of profile {profile!r} for {settings.api_base}")
    click.echo(f"fingerprint {fingerprint(key)}, in {path}")
    if settings.api_base.startswith("http:") and not keys.is_loopback(settings.api_base):
        click.echo("note: this address is not encrypted; uploads there need --allow-plain-http", err=True)
    else:
        _try(key, settings)


def _try(key: str, settings: Settings) -> None:
    """Say what the server makes of it; it is kept all the same, for the network may be away, or the server be one that shows nothing."""
    from tracehoused.http.asking import ask_about_key, speaks  # half the time that this command takes, and only now

    answer = ask_about_key(settings.api_base, key, timeout=settings.timeout, ca_file=settings.ca_file)
    if answer.verdict is Verdict.UNAUTHORIZED:
        click.echo(
            f"note: {settings.api_base} does not take this key ({answer.reason}); was it meant for another server?",
            err=True,
        )
    elif answer.status is None:
        click.echo(f"note: {settings.api_base} could not be asked about it: {answer.reason}", err=True)
    elif not speaks(answer):
        click.echo(f"note: {settings.api_base} answers {answer.reason}; is it the right address?", err=True)


def _ask(api_base: str) -> str:
    if sys.stdin.isatty():
        told: str = click.prompt(f"API key for {api_base} (it is not shown)", hide_input=True)
        return told
    return sys.stdin.readline()


def _check_profile(profile: str) -> None:
    fit = profile.isascii() and all(c.isalnum() or c in "._-" for c in profile) and 0 < len(profile) <= 64
    if not fit or profile.startswith(("anon-", "key-")):
        raise click.BadParameter(
            "a profile is named by up to 64 letters, digits, '.', '_' and '-', and not anon-… or key-…",
            param_hint="--profile",
        )
