"""The commands where what they need is not installed: one line that says what, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def _run(program: str, *words: str, without: str) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; sys.modules[{without!r}] = None; sys.argv[0] = {program!r}\n"
        f"from tracehoused.cli.entry import {program}; {program}()"
    )
    environ = {**os.environ, "PYTHONPATH": str(_ROOT)}
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environ, timeout=60)


@pytest.mark.parametrize("program", ["tracehouse", "tracehoused"])
def test_without_click_both_programs_say_what_to_install(program: str) -> None:
    done = _run(program, "--help", without="click")
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{program} needs click, which is not installed here")
    assert line.endswith("-m pip install tracehouse-sdk")


def test_a_command_whose_module_needs_more_says_so_too(tmp_path: Path) -> None:
    done = _run("tracehouse", "doctor", str(tmp_path), without="httpx")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("tracehouse needs httpx")


def test_commands_that_only_look_load_no_http_client(tmp_path: Path) -> None:
    for words in (("status",), ("sync", "--dry-run"), ("export", "--format", "jsonl")):
        assert _run("tracehouse", *words, str(tmp_path), without="httpx").returncode == 0


def test_an_upload_imports_nothing_that_only_happens_to_be_installed(tmp_path: Path) -> None:
    for name in ("trio", "rich"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    code = "import tracehoused.http.client, sys; sys.exit(('trio' in sys.modules) + ('rich' in sys.modules))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(_ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_defect_of_ours_is_no_missing_dependency(tmp_path: Path) -> None:
    done = _run("tracehouse", "sync", str(tmp_path), without="tracehoused.upload.engine")
    assert "Traceback" in done.stderr
