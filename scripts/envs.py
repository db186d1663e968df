"""Virtual environments and the interpreters they are made from, with nothing but a system Python.

`python3 scripts/envs.py` makes or refreshes `.venv`, with the extras `house` and `dev`, and prints its Python's path.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import debian

ROOT = Path(__file__).resolve().parent.parent
MINORS = range(9, 15)
HOUSE_MINOR = 10
MAIN_VENV = ".venv"
MAIN_REQUIREMENTS = ("-e", ".[house,dev]")
LANE_REQUIREMENTS = ("-e", ".[test]")

_PROBE = (
    "import json, platform, sys, ensurepip, ssl, sqlite3, venv;"
    "print(json.dumps([platform.python_implementation(), *sys.version_info[:3], sys.executable]))"
)
_PLACES = (
    "~/.pyenv/versions/*/bin/python",
    "~/.local/share/uv/python/*/bin/python3",
    "/opt/*/bin/python3",
    "/opt/python*/bin/python3.*",
    "/usr/local/bin/python3.*",
    "/opt/homebrew/bin/python3.*",
)


class SetupError(Exception):
    """An environment cannot be made; the message says what to do about it."""


@dataclass(frozen=True)
class Interpreter:
    """A CPython that was run and answered."""

    path: Path
    version: tuple[int, int, int]

    @property
    def minor(self) -> int:
        return self.version[1]

    @property
    def lane(self) -> str:
        return f"py3{self.minor}"

    @property
    def label(self) -> str:
        return ".".join(str(part) for part in self.version)


def clean_environ(**extra: str) -> dict[str, str]:
    """This process's environment without what would lead a child to another Python's packages, or have it compile all anew."""
    dropped = {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYENV_VERSION",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
        "PYTHONDONTWRITEBYTECODE",
    }
    return {**{key: value for key, value in os.environ.items() if key not in dropped}, **extra}


def probe(path: str | Path) -> Interpreter | None:
    """The interpreter behind `path`, or None unless it is a CPython 3 that runs and can make environments."""
    try:
        done = subprocess.run(
            [str(path), "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
            env=clean_environ(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    implementation, major, minor, micro, executable = json.loads(done.stdout)
    if implementation != "CPython" or major != 3:
        return None
    return Interpreter(Path(executable), (major, minor, micro))


def _candidates() -> Iterator[str]:
    for minor in MINORS:
        for folder in os.get_exec_path():
            path = Path(folder) / f"python3.{minor}"
            if path.is_file():
                yield str(path)
    for pattern in _PLACES:
        place = Path(pattern).expanduser()
        yield from sorted(str(path) for path in Path(place.anchor).glob(str(place.relative_to(place.anchor))))


def find_interpreters() -> dict[int, Interpreter]:
    """Every CPython 3.9 to 3.14 on this machine that runs, the latest patch release of each, by minor version."""
    found: dict[int, Interpreter] = {}
    seen: set[Path] = set()
    for candidate in _candidates():
        # A shim is one file under many names, so only what it leads to tells two interpreters apart.
        interpreter = probe(candidate)
        if interpreter is None or interpreter.path in seen or interpreter.minor not in MINORS:
            continue
        seen.add(interpreter.path)
        best = found.get(interpreter.minor)
        if best is None or interpreter.version > best.version:
            found[interpreter.minor] = interpreter
    return found


def main_interpreter(found: dict[int, Interpreter] | None = None) -> Interpreter:
    """`python3` where the house runs on it, else the newest interpreter found."""
    default = probe("python3") or probe(sys.executable)
    if default is None and debian.can_install():
        # Debian's python3 comes without what makes environments.
        debian.install(["python3-venv"])
        default = probe("python3")
    if default is not None and default.minor >= HOUSE_MINOR:
        return default
    others = found if found is not None else find_interpreters()
    if others and max(others) >= HOUSE_MINOR:
        return others[max(others)]
    if default is not None and default.minor in MINORS:
        return default
    raise SetupError(
        "no CPython 3.9 or later that can make virtual environments was found; "
        "install one (on Debian: apt-get install python3 python3-venv)"
    )


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str | Path], what: str) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=clean_environ(PIP_DISABLE_PIP_VERSION_CHECK="1"),
    )
    if done.returncode != 0:
        raise SetupError(f"{what} failed:\n{done.stdout[-4000:]}")


def _wanted(interpreter: Interpreter, requirements: Sequence[str], optional: Sequence[str]) -> str:
    text = json.dumps([str(ROOT), interpreter.minor, *requirements, *optional])
    return hashlib.sha256(text.encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()


def _usable(folder: Path, interpreter: Interpreter) -> bool:
    # The scripts of an environment that was moved or copied still point at the old place.
    marker = folder / "made-for"
    inside = probe(folder / "bin" / "python")
    moved = marker.exists() and marker.read_text() != str(ROOT)
    return inside is not None and inside.minor == interpreter.minor and not moved


def ensure_venv(name: str, interpreter: Interpreter, requirements: Sequence[str], optional: Sequence[str] = ()) -> Path:
    """The Python of the environment `name`: made where missing or broken, installed into where pyproject.toml changed.

    `optional` are installed one by one, as wheels, and only where there is one. Raises SetupError.
    """
    folder = ROOT / name
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    wanted = _wanted(interpreter, requirements, optional)
    with _locked():
        if not _usable(folder, interpreter):
            print(f"making {name} with Python {interpreter.label}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            _run([interpreter.path, "-m", "venv", folder], f"making {name}")
            _run([python, "-m", "pip", "install", "-q", "--upgrade", "pip"], f"upgrading pip in {name}")
            (folder / "made-for").write_text(str(ROOT))
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"installing {' '.join(requirements)} into {name}", file=sys.stderr, flush=True)
            _run([python, "-m", "pip", "install", "-q", *requirements], f"installing into {name}")
            for requirement in optional:
                with contextlib.suppress(SetupError):
                    _run([python, "-m", "pip", "install", "-q", "--only-binary", ":all:", requirement], requirement)
            stamp.write_text(wanted)
    return python


def main_venv() -> Path:
    """The Python of `.venv`, with the house and all a contributor needs. Raises SetupError."""
    return ensure_venv(MAIN_VENV, main_interpreter(), MAIN_REQUIREMENTS)


def main() -> int:
    try:
        print(main_venv())
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
