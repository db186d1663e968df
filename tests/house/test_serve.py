"""`tracehouse serve`: clear words at the start, a clean end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.house import House
from tests.support.waiting import wait_until
from tracehoused.house.server import listen


def test_a_port_in_use_is_named_and_another_suggested(house: House, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", str(house.port), "--data", str(tmp_path / "d")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert f"port {house.port} is in use" in ended.stderr
    assert "--port" in ended.stderr
    assert not (tmp_path / "d").exists()


def test_two_houses_never_share_one_directory(house: House) -> None:
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(house.data)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert f"another house runs on {house.data} (process {house.pid})" in ended.stderr
    assert "--data" in ended.stderr
    assert httpx.get(f"{house.url}/v1/capabilities").status_code == 200


def test_a_killed_house_leaves_its_directory_free(tmp_path: Path) -> None:
    house = House(tmp_path / "data").start()
    house.kill()
    house.start()
    assert house.stop() == 0


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    house = House(tmp_path / "data").start()
    assert httpx.get(f"{house.url}/v1/capabilities").status_code == 200
    assert house.stop() == 0
    assert "Traceback" not in house.output()
    assert not (house.data / "house.db-wal").exists()


def test_a_missing_extra_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('not here')")
    ended = subprocess.run(
        [sys.executable, "-m", "tracehoused.cli.serve", "--data", str(tmp_path / "d")],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).resolve().parents[2]}", "PATH": ""},
    )
    assert ended.returncode == 1
    assert "pip install 'tracehouse-sdk[house]'" in ended.stderr
    assert "starlette" in ended.stderr


def test_data_of_a_newer_house_is_refused(tmp_path: Path) -> None:
    import sqlite3

    house = House(tmp_path / "data").start()
    house.stop()
    with sqlite3.connect(house.data / "house.db") as database:
        database.execute("UPDATE house SET value = '99' WHERE name = 'format'")
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(house.data)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "format 99" in ended.stderr) == (1, True)


@pytest.mark.parametrize("content", ["", "\n", "ba_", "secret", "ba_short"])
def test_a_damaged_key_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    (tmp_path / "house.key").write_text(content)
    command = [sys.executable, "-m", "tracehoused.cli.serve", "--port", "0", "--data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, "does not hold a key" in ended.stderr) == (1, True)


@pytest.mark.parametrize("how", ["closed", "unread"])
def test_a_house_that_nobody_listens_to_serves(tmp_path: Path, how: str) -> None:
    """Its output is closed, or a pipe whose reader has gone."""
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    reading, writing = os.pipe()
    os.close(reading)
    serve = [sys.executable, "-m", "tracehoused.cli.serve", "--port", str(port), "--data", str(tmp_path / "data")]
    errors = tmp_path / "errors"
    with open(errors, "wb") as to:
        closing = ["sh", "-c", 'exec "$@" >&-', "sh"] if how == "closed" else []
        process = subprocess.Popen([*closing, *serve], stdout=writing, stderr=to)
    os.close(writing)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None, what="an answer")
        assert process.poll() is None, errors.read_text()
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert errors.read_text() == ""


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code < 500
    except httpx.TransportError:
        return False
