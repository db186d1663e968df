"""Environments with one package each, kept between runs; an interpreter's own ``.pth`` files would hide what an import costs."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benches.procs import ROOT, clean

__all__ = ["InstallError", "bare_venv", "ours_venv", "package_venv"]


class InstallError(Exception):
    """A package could not be installed; the message is the end of pip's."""


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "tracehouse-bench" / f"{sys.version_info[0]}.{sys.version_info[1]}"


def bare_venv(folder: Path, *, pip: bool = False) -> Path:
    """The Python of a new, empty environment."""
    options = [] if pip else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True, env=clean())
    return folder / "bin" / "python"


def ours_venv(folder: Path) -> Path:
    """One with the working tree's ``tracehouse`` alone, as ``pip install --no-deps`` leaves it."""
    python = bare_venv(folder)
    site = next((folder / "lib").glob("python*/site-packages"))
    shutil.copytree(ROOT / "tracehouse", site / "tracehouse", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(str(site), quiet=1)
    return python


def package_venv(name: str, *requirements: str, seconds: float = 240) -> Path:
    """The Python of an environment with a published package, as wheels only. InstallError where it cannot be had."""
    folder = _cache() / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists() and done.read_text() == " ".join(requirements):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    bare_venv(folder, pip=True)
    command = [str(python), "-m", "pip", "install", "-q", "--only-binary", ":all:", *requirements]
    environ = clean(PIP_DISABLE_PIP_VERSION_CHECK="1")
    try:
        made = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"not installed after {seconds:.0f} s") from None
    if made.returncode:
        raise InstallError(made.stdout.strip()[-300:])
    done.write_text(" ".join(requirements))
    return python
