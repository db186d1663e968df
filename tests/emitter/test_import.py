"""E1: importing and logging take nothing outside the standard library, touch nothing, and load late what they rarely need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tracehouse
from tests.support import jobs

_LATE = ("logging", "dataclasses", "inspect", "hashlib", "uuid", "asyncio", "subprocess", "typing", "numpy", "PIL")


def _loaded(tmp_path: Path, script: str) -> set[str]:
    code = f"import sys\nbefore = set(sys.modules)\n{script}\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=jobs.environ(tmp_path), capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_e1_the_standard_library_is_enough(tmp_path: Path) -> None:
    script = """
import tracehouse as cm
cm.init(session_id='s'); cm.log_user('x'); cm.finish(outcome='good')
with cm.init_run() as run:
    run.log({'a': 1, 'i': cm.Image(b'GIF89a')}); run.rollout().log_user('x'); run.model_card()
"""
    names = {name.partition(".")[0] for name in _loaded(tmp_path, script)}
    if hasattr(sys, "stdlib_module_names"):
        assert names - set(sys.stdlib_module_names) == {"tracehouse"}
    else:
        assert not names & {"httpx", "click", "watchdog", "platformdirs", "tracehoused"}


def test_e1_logging_loads_late_what_it_rarely_needs(tmp_path: Path) -> None:
    script = "import tracehouse as cm\ncm.init(session_id='s'); cm.log_user('x')"
    assert not _loaded(tmp_path, script) & set(_LATE)
    bare = "tracehouse.media tracehouse.monitor tracehouse.environment tracehouse.wandb tracehouse.messages"
    assert not _loaded(tmp_path, script) & set(bare.split())


def test_e1_importing_touches_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    assert "tracehouse" in _loaded(spool, "import tracehouse, threading\nassert threading.active_count() == 1")
    assert not spool.exists()


def test_all_is_sorted_and_there() -> None:
    names = [name for name in tracehouse.__all__ if name != "__version__"]
    assert names == sorted(names)
    for name in tracehouse.__all__:
        assert getattr(tracehouse, name) is not None
        assert name in dir(tracehouse)


def test_every_public_name_is_told() -> None:
    for name in tracehouse.__all__:
        thing = getattr(tracehouse, name)
        assert name == "__version__" or thing.__doc__, name


def test_where_there_is_no_fcntl_import_works_and_init_says_so(tmp_path: Path) -> None:
    script = """
sys.modules['fcntl'] = None
sys.platform = 'win32'
import tracehouse as cm
cm.init(mode='disabled'); cm.log_user('x'); cm.finish()
try:
    cm.init()
except cm.SpoolError as error:
    print(error)
"""
    job = subprocess.run(
        [sys.executable, "-c", "import sys" + script], env=jobs.environ(tmp_path), capture_output=True, text=True
    )
    assert job.stdout == "tracehouse records on Linux and macOS only (use WSL, or mode='disabled')\n", job.stderr
