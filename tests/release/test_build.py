"""What is published: built twice it is the same, it holds what it should, and it works where nothing else of ours is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import tracehouse
from tests.support import jobs, lanes
from tests.support.waiting import wait_until

_ROOT = jobs.ROOT
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info", "*.pyc"
)
_EPOCH = "1767225600"
_PUBLISHED = "0.6.0"
_EMIT = """
import sys
import tracehouse as cm
with cm.init_run(project="smoke", client_run_id="smoke-run", spool_dir=sys.argv[1]) as run:
    run.log({"loss": 0.5, "sample": cm.Image(b"GIF89a...")})
    with run.rollout(step=0) as trace:
        trace.log_user("2 + 2?")
run = cm.init(project="smoke", session_id="smoke-trace", spool_dir=sys.argv[1])
cm.log_user("hello")
assert cm.finish(outcome="good")
import tracehouse.wandb
print(cm.__version__, cm.__file__)
"""


class Dist(NamedTuple):
    """A built pair, and the tree that it was built from."""

    sdist: Path
    wheel: Path
    tree: Path

    @property
    def hashes(self) -> tuple[bytes, bytes]:
        return self.sdist.read_bytes(), self.wheel.read_bytes()


def _plain() -> dict[str, str]:
    """An environment in which only what is installed can be found."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _done(*words: str | Path, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**_plain(), **more}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"
    return done.stdout


def _build(home: Path, umask: int) -> Dist:
    """Sdist and, from it, wheel; of a copy of the tree."""
    lanes.needs_module("build")
    lanes.needs_module("hatchling", "build")
    tree, out = home / "tree", home / "out"
    shutil.copytree(_ROOT, tree, ignore=_LEFT_OUT, symlinks=True)
    command = f'umask {umask:04o} && exec "$0" -m build --no-isolation --outdir "$1"'
    _done("sh", "-c", command, sys.executable, out, cwd=tree, SOURCE_DATE_EPOCH=_EPOCH)
    [sdist], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    return Dist(sdist, wheel, tree)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    return _build(tmp_path_factory.mktemp("dist"), 0o022)


def _venv(home: Path) -> Path:
    venv.create(home, with_pip=True)
    return home / "bin" / "python"


def _pip(python: Path, *words: str | Path) -> None:
    _done(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words, cwd=python.parent)


def test_a_build_elsewhere_later_and_by_another_user_is_the_same_bytes(dist: Dist, tmp_path: Path) -> None:
    again = _build(tmp_path / "another place", 0o077)
    assert again.hashes == dist.hashes
    assert again.wheel.name == dist.wheel.name == f"tracehouse_sdk-{tracehouse.__version__}-py3-none-any.whl"


def test_the_wheel_holds_both_packages_whole_and_nothing_else(dist: Dist) -> None:
    names = {name for name in zipfile.ZipFile(dist.wheel).namelist() if ".dist-info/" not in name}
    ours = [path for package in ("tracehouse", "tracehoused") for path in (dist.tree / package).rglob("*")]
    units = {f"tracehoused/service/units/{path.name}" for path in (dist.tree / "systemd").iterdir()}
    assert names == {path.relative_to(dist.tree).as_posix() for path in ours if path.is_file()} | units
    assert {"tracehouse/py.typed", "tracehoused/py.typed"} <= names


def test_the_wheel_says_what_it_is(dist: Dist) -> None:
    archive = zipfile.ZipFile(dist.wheel)
    inside = {name.partition("/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    told = archive.read(inside["METADATA"]).decode()
    assert f"\nVersion: {tracehouse.__version__}\n" in told
    assert "\nRequires-Python: >=3.9\n" in told
    assert "\nLicense-Expression: MIT\n" in told
    assert "licenses/LICENSE" in inside
    needed = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", told, re.M)
    assert sorted(needed) == ["click", "httpx", "platformdirs", "tomli", "watchdog"]


def test_the_sdist_holds_the_tests_and_what_they_need(dist: Dist, tmp_path: Path) -> None:
    with tarfile.open(dist.sdist) as archive:
        archive.extractall(tmp_path)
    [tree] = tmp_path.iterdir()
    for folder in ("tests", "scripts", "systemd", "tracehouse", "tracehoused"):
        there = {path.relative_to(tree) for path in (tree / folder).rglob("*")}
        assert there == {path.relative_to(dist.tree) for path in (dist.tree / folder).rglob("*")}
    words = ("-q", "-n0", "-p", "no:cacheprovider", "tests/scripts", "tests/emitter/test_import.py")
    _done(sys.executable, "-m", "pytest", *words, cwd=tree)


def test_twine_finds_nothing_to_complain_of(dist: Dist) -> None:
    lanes.needs_module("twine")
    _done(sys.executable, "-m", "twine", "check", "--strict", dist.sdist, dist.wheel, cwd=dist.tree)


def test_the_wheel_without_its_dependencies_is_enough_to_emit(dist: Dist, tmp_path: Path) -> None:
    python = _venv(tmp_path / "bare")
    _pip(python, "--no-deps", "--no-index", dist.wheel)
    version, _, path = _done(python, "-c", _EMIT, tmp_path / "spool", cwd=tmp_path).strip().partition(" ")
    assert version == tracehouse.__version__
    assert Path(path).is_relative_to(tmp_path)
    assert len(jobs.sessions(tmp_path / "spool")) == 2


@contextmanager
def _house(command: Path, data: Path) -> Iterator[str]:
    """A house of the installed package; its address."""
    log = data.with_suffix(".log")
    with open(log, "wb") as output:
        words = [str(command), "serve", "--port", "0", "--data", str(data)]
        process = subprocess.Popen(words, stdout=output, stderr=output, env=_plain(), cwd=data.parent)
    try:
        pattern = re.compile(r"^house: listening on (http://\S+)$", re.M)
        found = wait_until(lambda: process.poll() is not None or pattern.search(log.read_text()), what=log.read_text)
        assert isinstance(found, re.Match), log.read_text()
        yield found[1]
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_the_wheel_with_its_dependencies_emits_serves_and_syncs(dist: Dist, tmp_path: Path) -> None:
    lanes.needs_house()
    python = _venv(tmp_path / "whole")
    _pip(python, f"{dist.wheel}[house]")
    _done(python, "-m", "pip", "check", cwd=tmp_path)
    commands, spool = python.parent, tmp_path / "spool"
    places = {f"TRACEHOUSE_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE")}
    for command in ("tracehouse", "tracehoused"):
        assert tracehouse.__version__ in _done(commands / command, "--version", cwd=tmp_path)
    with _house(commands / "tracehouse", tmp_path / "house") as address:
        key = (tmp_path / "house" / "house.key").read_text().strip()
        known = {**places, "TRACEHOUSE_API_BASE": address, "TRACEHOUSE_API_KEY": key, "TRACEHOUSE_SAVE_KEY": "0"}
        _done(python, "-c", _EMIT, spool, cwd=tmp_path, **known)
        told = _done(commands / "tracehouse", "sync", spool, "--json", cwd=tmp_path, **known)
        assert json.loads(told)["uploaded"] == 2, told
        assert "smoke-run" in _done(commands / "tracehouse", "status", spool, cwd=tmp_path, **known)
    if importlib.util.find_spec("mypy") is not None:
        program = shutil.copy(_ROOT / "tests/emitter/data/typed_user.py", tmp_path)
        _done(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, program, cwd=tmp_path)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_it_takes_the_place_of_the_published_package_of_its_name(dist: Dist, tmp_path: Path) -> None:
    python = _venv(tmp_path / "moved")
    _pip(python, f"tracehouse-sdk=={_PUBLISHED}")
    _pip(python, "--upgrade", dist.wheel)
    version, _, path = _done(python, "-c", _EMIT, tmp_path / "spool", cwd=tmp_path).strip().partition(" ")
    assert version == tracehouse.__version__
    here = {one.name for one in Path(path).parent.glob("*.py")}
    assert here == {one.name for one in (dist.tree / "tracehouse").glob("*.py")}
