"""What a job is told when a session begins: one line, where the records go, where its key is, who will see them, what uploads them."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import pytest

import tracehouse as cm
from tracehouse.spool.layout import AGENT_LOCK


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.LogCaptureFixture:
    monkeypatch.setenv("TRACEHOUSE_CONFIG_DIR", str(tmp_path / "config"))
    caplog.set_level(logging.INFO, logger="tracehouse")
    return caplog


def _line(told: pytest.LogCaptureFixture) -> str:
    # a session of an earlier test may still have something to tell on the same logger
    (line,) = [message for message in told.messages if message.startswith("recording ")]
    return line


def test_the_line_says_where_the_records_go_and_how_to_upload_them(
    told: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    run = cm.Run(session_id="s", spool_dir=tmp_path / "a spool")
    assert f"recording trace 's' to {run.spool_path}" in _line(told)
    assert f"upload with `tracehouse sync '{tmp_path / 'a spool'}'`" in _line(told)
    assert "key" not in _line(told)
    assert "public" not in _line(told)


def test_e6_the_line_says_where_a_key_given_in_code_is_kept(told: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    cm.Run(session_id="s", spool_dir=tmp_path / "spool", api_key="ba_0123456789abcdef", api_base="https://t.example")
    kept = tmp_path / "config" / "credentials.json"
    assert f"the API key is kept in {kept} for https://t.example" in _line(told)
    assert "ba_" not in _line(told)


def test_a9_the_line_says_that_anonymous_records_will_be_public(
    told: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEHOUSE_ANON", "1")
    cm.Run(session_id="s", spool_dir=tmp_path / "spool")
    assert "it will be public once uploaded" in _line(told)


def test_where_an_agent_lives_nothing_is_asked_for(told: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    lock = os.open(tmp_path / AGENT_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cm.Run(session_id="s", spool_dir=tmp_path)
    finally:
        os.close(lock)
    assert _line(told).startswith("recording trace 's' to ")
    assert "sync" not in _line(told)
