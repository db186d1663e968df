"""``tracehouse top``: live sessions in the terminal, for people on ssh."""

from __future__ import annotations

import io
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from tracehoused.cli.common import resolve_spools
from tracehoused.cli.frame import Look, frame
from tracehoused.config import resolve
from tracehoused.following import Follower
from tracehoused.status import look
from tracehoused.upload.engine import Engine

__all__ = ["top"]

_EVERY = 1.0
_OPEN, _CLOSE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"
_MOST_PLAIN = 50


@click.command()
@click.argument("spool", required=False, type=click.Path(file_okay=False))
@click.option("--key", "keys", multiple=True, metavar="GLOB", help="Show these metrics; may be given several times.")
@click.option("--once", is_flag=True, help="Print what there is now and exit; so without a terminal.")
def top(spool: str | None, keys: tuple[str, ...], once: bool) -> None:
    """Jobs that log to SPOOL (default: the one jobs here write to), as they do: metrics, speed, what waits to be uploaded, errors.

    Redrawn each second; q or Ctrl-C ends it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    settings = resolve({}, environ=os.environ)
    engine = Engine(settings, os.environ)
    roots = resolve_spools(spool, settings)
    follower = Follower(roots, lambda path: look(engine, path))
    try:
        if once or not sys.stdout.isatty():
            click.echo("\n".join(frame(_look(follower, roots, keys, _MOST_PLAIN), 200, 10_000)))
        else:
            _run(follower, roots, keys)
    finally:
        engine.close()


def _look(follower: Follower, roots: list[str], keys: tuple[str, ...], most: int, colour: bool = False) -> Look:
    feeds = follower.look(time.monotonic(), most)
    at = time.strftime("%H:%M:%S")
    return Look(roots, at, follower.sessions, follower.live, feeds, keys, colour)


def _run(follower: Follower, roots: list[str], keys: tuple[str, ...]) -> None:
    colour = "NO_COLOR" not in os.environ
    with ExitStack() as stack:
        wakes = stack.enter_context(_signals())
        has_keys = stack.enter_context(_key_by_key())
        stack.enter_context(_screen())
        while True:
            height = shutil.get_terminal_size().lines
            view = _look(follower, roots, keys, max(1, height // 2), colour)
            if not _draw_until(time.monotonic() + _EVERY, view, wakes, has_keys):
                return


def _draw_until(deadline: float, view: Look, wakes: int, has_keys: bool) -> bool:
    """Show it until the deadline, also in a terminal that changes its size. False when the user has had enough."""
    _draw(view)
    watched = [wakes, sys.stdin.fileno()] if has_keys else [wakes]
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(watched, [], [], left)
        if wakes in ready:
            if any(number != signal.SIGWINCH and number != signal.SIGCONT for number in os.read(wakes, 64)):
                return False
            _draw(view)
        elif ready:
            typed = os.read(watched[-1], 64)
            if not typed or typed[:1] in b"qQ":
                return False
    return True


def _draw(view: Look) -> None:
    width, height = shutil.get_terminal_size()
    lines = frame(view, width, height)
    _write("\x1b[H" + "\n".join(line + "\x1b[K" for line in lines) + "\x1b[J")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def _screen() -> Iterator[None]:
    _write(_OPEN)
    try:
        yield
    finally:
        _write(_CLOSE)


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that gives the numbers of signals as they come, SIGINT and SIGTERM among them."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    numbers = (signal.SIGWINCH, signal.SIGCONT, signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda *_: None) for number in numbers}
    before = signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextmanager
def _key_by_key() -> Iterator[bool]:
    """Whether keys can be read, and then one by one and unseen."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield False
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield True
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
