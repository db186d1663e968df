"""The workflows do what they are for: every Python that is told of is tested, their steps can run, and nothing they use can change."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import jobs, lanes

_ROOT = jobs.ROOT
_FOLDER = _ROOT / ".github" / "workflows"
_NAMES = ("test.yml", "release.yml")
_SUPPORTED = ["3.9", "3.10", "3.11", "3.12", "3.13"]


def _workflow(name: str) -> dict[str, Any]:
    lanes.needs_module("yaml")
    if not _FOLDER.is_dir():
        lanes.require("workflows", "a source distribution is without them")
    import yaml

    found = yaml.safe_load((_FOLDER / name).read_text())
    assert isinstance(found, dict)
    return found


def _steps(name: str) -> Iterator[dict[str, Any]]:
    for job in _workflow(name)["jobs"].values():
        yield from job["steps"]


def _scripts(name: str) -> list[str]:
    return [step["run"] for step in _steps(name) if "run" in step]


def test_every_python_that_is_supported_is_tested_on_linux_and_macos() -> None:
    project = (_ROOT / "pyproject.toml").read_text()
    assert re.findall(r"Python :: (3\.\d+)", project) == _SUPPORTED
    jobs_of = _workflow("test.yml")["jobs"]
    assert jobs_of["suite"]["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest"], "python": _SUPPORTED}
    [versions] = [
        step["with"]["python-version"] for step in jobs_of["everything"]["steps"] if "python-version" in str(step)
    ]
    assert sorted(versions.split(), key=_SUPPORTED.index) == _SUPPORTED


@pytest.mark.parametrize("name", _NAMES)
def test_steps_are_shell_that_parses_and_call_what_is_there(name: str) -> None:
    for script in _scripts(name):
        plain = re.sub(r"\$\{\{.*?\}\}", "expression", script)
        parsed = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True)
        assert parsed.returncode == 0, parsed.stderr
        for word in re.findall(r"(?<![\w/.-])(?:\.ci|scripts|tests)/[\w/.-]+", script):
            assert (_ROOT / word).exists(), f"{name} calls {word}"
    for script in _scripts("test.yml"):
        command = script.split()[0]
        assert shutil.which(command) or (_ROOT / command).is_file(), command


@pytest.mark.parametrize("name", _NAMES)
def test_actions_are_named_by_their_commits_and_get_no_more_rights_than_they_need(name: str) -> None:
    workflow = _workflow(name)
    used = [step["uses"] for step in _steps(name) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", one) for one in used), used
    assert workflow["permissions"] == {"contents": "read"}
    for job, told in workflow["jobs"].items():
        assert told["timeout-minutes"] <= 60
        wanted = {"id-token": "write"} if job == "publish" else None
        assert told.get("permissions") == wanted


def test_what_is_published_was_built_by_the_job_before_and_by_no_kept_password() -> None:
    publish = _workflow("release.yml")["jobs"]["publish"]
    assert (publish["needs"], publish["environment"]["name"]) == ("build", "pypi")
    last = publish["steps"][-1]
    assert last["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert last["with"] == {"attestations": True}


def test_workflows_are_what_their_schema_wants() -> None:
    lanes.needs_module("check_jsonschema", "check-jsonschema")
    if not _FOLDER.is_dir():
        lanes.require("workflows", "a source distribution is without them")
    words = ["--builtin-schema", "vendor.github-workflows", *(str(_FOLDER / name) for name in _NAMES)]
    done = subprocess.run([sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
