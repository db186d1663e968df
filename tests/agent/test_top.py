"""``tracehouse top`` as its user has it: in a terminal that changes its size, over jobs that write, end and misbehave."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tracehouse as cm
from tests.support.waiting import wait_until
from tracehoused.cli.frame import Look, frame, sparkline
from tracehoused.config import resolve
from tracehoused.following import Feed, Follower
from tracehoused.status import look
from tracehoused.upload.engine import Engine

_COMMAND = [sys.executable, "-c", "from tracehoused.cli.main import tracehouse; tracehouse()", "top"]
# a terminal tells the size's changes to the session that it controls
_TAKING = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); sys.argv.insert(1, 'top');"
    "from tracehoused.cli.main import tracehouse; tracehouse()"
)
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environ(**more: str) -> dict[str, str]:
    # COLUMNS and LINES, which a test runner may set, would hide the terminal's own size
    rest = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**rest, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", **more}


def once(spool: Path, *words: str) -> str:
    done = subprocess.run(
        [*_COMMAND, str(spool), "--once", *words], env=environ(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Terminal:
    """A program on a terminal of its own; ``seen`` is all it wrote."""

    def __init__(self, spool: Path, columns: int, rows: int) -> None:
        self.ours, self._theirs = pty.openpty()
        self.resize(columns, rows)
        os.set_blocking(self.ours, False)
        self.before = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKING, str(spool)],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=subprocess.STDOUT,
            env=environ(),
            start_new_session=True,
        )
        self.seen = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def frames(self) -> list[list[str]]:
        """Each frame's lines, as they are read without their styles."""
        try:
            while part := os.read(self.ours, 65536):
                self.seen += part.decode("utf-8", "replace")
        except (BlockingIOError, OSError):
            pass  # nothing more for now, or for ever
        drawn = self.seen.split("\x1b[H")[1:]
        return [_STYLE.sub("", one).split("\r\n") for one in drawn if one.endswith("\x1b[J") or "\x1b[J" in one]

    def wait_for(self, text: str) -> list[str]:
        return wait_until(
            lambda: next((f for f in reversed(self.frames()) if text in "\n".join(f)), None) or [],
            what=lambda: f"{text!r} in {self.seen[-2000:]!r}",
        )

    def has_its_modes_back(self) -> bool:
        return termios.tcgetattr(self._theirs) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        os.close(self._theirs)
        os.close(self.ours)


@contextmanager
def terminal(spool: Path, columns: int = 100, rows: int = 24) -> Iterator[Terminal]:
    shown = Terminal(spool, columns, rows)
    try:
        yield shown
    finally:
        shown.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[cm.TrainingRun]:
    training = cm.TrainingRun(
        project="rl", client_run_id="live-run", spool_dir=tmp_path, capture_env=False, system_metrics=False
    )
    for step in range(40):
        training.log({"loss": 1 / (step + 1), "acc": step, "system/cpu": 1.0})
    yield training
    training.finish()


def test_one_frame_tells_state_metrics_and_what_waits(run: cm.TrainingRun, tmp_path: Path) -> None:
    shown = once(tmp_path)
    assert "1 live of 1 sessions" in shown
    assert re.search(r"run +live-run  running  \d+ records  pending \d+ \(", shown)
    assert re.search(r"  loss  +[▁-█]{20}  0\.025  step 39\n", shown)
    assert "system/cpu" not in shown
    assert "! there is no key" in shown


def test_chosen_keys_are_shown_and_no_others(run: cm.TrainingRun, tmp_path: Path) -> None:
    shown = once(tmp_path, "--key", "sys*", "--key", "acc")
    assert "system/cpu" in shown
    assert "acc" in shown
    assert "loss" not in shown


def test_ended_sessions_are_shown_with_how_they_ended(tmp_path: Path) -> None:
    with cm.Run(session_id="chat", spool_dir=tmp_path) as chat:
        chat.log_assistant("the last word")
    shown = once(tmp_path)
    assert "0 live of 1 sessions" in shown
    assert "trace chat  ended" in shown
    assert "assistant: the last word" in shown


def test_an_empty_spool_says_so(tmp_path: Path) -> None:
    assert "no sessions yet" in once(tmp_path)


def test_s5_what_a_spool_holds_never_drives_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\r\n\x9b31m\u202e"
    with cm.TrainingRun(
        project=evil, client_run_id="x" + evil, spool_dir=tmp_path, capture_env=False, system_metrics=False
    ) as training:
        training.log({"key" + evil: 1.0})
        training.rollout(step=1).log_user(evil)
    shown = once(tmp_path)
    assert not any((ord(char) < 32 and char != "\n") or char in "\x7f\x9b\u202e" for char in shown)
    assert "\\x1b[2J" in shown


def test_a_session_that_cannot_be_read_does_not_hide_the_others(run: cm.TrainingRun, tmp_path: Path) -> None:
    broken = tmp_path / "trace-broken-0123456789abcdef"
    broken.mkdir()
    (broken / "session.json").write_text("{")
    shown = once(tmp_path)
    assert "live-run" in shown
    assert "is not a manifest" in shown


def test_it_is_redrawn_as_the_job_goes_on_and_q_ends_it(run: cm.TrainingRun, tmp_path: Path) -> None:
    with terminal(tmp_path) as shown:
        shown.wait_for("step 39")
        run.log({"loss": 7.25})
        shown.wait_for("7.25  step 40")
        shown.wait_for("records/s")
        os.write(shown.ours, b"q")
        assert shown.process.wait(60) == 0
        shown.frames()
        assert shown.seen.endswith("\x1b[?25h\x1b[?1049l")
        assert shown.has_its_modes_back()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_gives_the_terminal_back(run: cm.TrainingRun, tmp_path: Path, number: int) -> None:
    with terminal(tmp_path) as shown:
        shown.wait_for("live-run")
        shown.process.send_signal(number)
        assert shown.process.wait(60) == 0
        shown.frames()
        assert shown.seen.endswith("\x1b[?25h\x1b[?1049l")
        assert shown.has_its_modes_back()


def test_a_frame_fits_the_terminal_also_after_its_size_changed(run: cm.TrainingRun, tmp_path: Path) -> None:
    with terminal(tmp_path, 120, 30) as shown:
        shown.wait_for("live-run")
        shown.resize(30, 4)
        found = shown.wait_for("… more")
        assert len(found) <= 4
        assert all(len(line) <= 30 for line in found), found


def follower(spool: Path) -> Follower:
    engine = Engine(resolve({}, environ=os.environ), os.environ)
    return Follower([str(spool)], lambda path: look(engine, path))


def test_rates_are_what_was_appended_between_two_looks(run: cm.TrainingRun, tmp_path: Path) -> None:
    following = follower(tmp_path)
    [feed] = following.look(0.0, 10)
    assert feed.rates() is None
    for step in range(20):
        run.log({"loss": step})
    [feed] = following.look(2.0, 10)
    rates = feed.rates()
    assert rates is not None
    assert rates[0] == 10
    assert rates[1] > 100
    assert following.look(4.0, 10)[0].rates() == (5, rates[1] / 2)


def test_living_sessions_come_first_and_no_more_than_fit(run: cm.TrainingRun, tmp_path: Path) -> None:
    for number in range(15):
        with cm.Run(session_id=f"chat-{number}", spool_dir=tmp_path) as chat:
            chat.log_user("x")
    following = follower(tmp_path)
    found = following.look(0.0, 5)
    assert (following.sessions, len(found)) == (16, 5)
    assert found[0].status is not None
    assert Path(found[0].path).name.startswith("run-")


@pytest.mark.parametrize(
    "values, expected",
    [
        ([], "    "),
        ([1.0], "   ▁"),
        ([0, 1, 2, 3], "▁▃▆█"),
        ([0, 0, 3, 3, 6, 6, 9, 9], "▁▃▆█"),
        ([math.nan, 1, math.inf, 2], " ▁ █"),
        ([-1e308, 1e308], "  ▁█"),
    ],
)
def test_a_sparkline_is_as_wide_as_told(values: list[float], expected: str) -> None:
    assert sparkline(values, 4) == expected


@pytest.mark.parametrize("width", [1, 7, 40])
def test_wide_characters_are_counted_by_their_cells(width: int) -> None:
    view = Look(["/日本語日本語日本語日本語"], "12:00:00", 0, 0, list[Feed]())
    for line in frame(view, width, 3):
        cells = sum(2 if ord(char) > 0x2E80 else 1 for char in line)
        assert cells <= width
