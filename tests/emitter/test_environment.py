"""The environment snapshot: the published fields, never a secret, never an exception."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.lanes import needs_tool
from tracehouse import environment, masking, tools
from tracehouse.values import encode

PUBLISHED = (
    "python os cpu memory_total_bytes gpus cuda git packages env_vars cwd argv hostname".split()  # noqa: SIM905
)


def program(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in front of PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def captured(**how: Any) -> dict[str, Any]:
    found: dict[str, Any] = environment.capture(**how)
    assert json.loads(encode(found)) == found
    return found


def test_it_has_the_published_fields_in_their_order() -> None:
    found = captured()
    assert [name for name in found if name in PUBLISHED] == PUBLISHED
    assert found["python"] == {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
    }
    assert list(found["os"]) == ["system", "release", "machine", "platform"]
    assert found["cpu"]["count"] == os.cpu_count()
    assert found["cwd"] == os.getcwd()
    assert found["hostname"] == platform.node()


def test_e6_only_named_variables_are_taken() -> None:
    environ = {"CUDA_VISIBLE_DEVICES": "0,1", "HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "s", "RANK": "3"}
    assert captured(environ=environ)["env_vars"] == {"CUDA_VISIBLE_DEVICES": "0,1", "RANK": "3"}
    told = ("TOKEN", "KEY", "SECRET", "PASSW", "AUTH")
    names = [name for name in environment.VARIABLES if any(word in name for word in told)]
    assert names == ["TOKENIZERS_PARALLELISM"]


@pytest.mark.parametrize(
    "given,kept",
    [
        (["train.py", "--lr", "0.1"], ["train.py", "--lr", "0.1"]),
        (["--api-key", "s3cret", "x"], ["--api-key", "***", "x"]),
        (["--api_key=s3cret"], ["--api_key=***"]),
        (["--hf-token=s3cret", "--push"], ["--hf-token=***", "--push"]),
        (["--password", "--verbose"], ["--password", "--verbose"]),
        (["wandb.api_key=s3cret", "+opt.secret=1"], ["wandb.api_key=***", "+opt.secret=***"]),
        (["--authorization=s3cret"], ["--authorization=***"]),
        (
            ["--max-tokens", "5", "--tokenizer=bpe", "--pad_token=x"],
            ["--max-tokens", "5", "--tokenizer=bpe", "--pad_token=x"],
        ),
        (["--tokenizer-api-key=s3cret", "--author=me"], ["--tokenizer-api-key=***", "--author=me"]),
        (["https://me:pw@host/x?y=1"], ["https://***@host/x?y=1"]),
        (["--db=postgres://tok@host/x"], ["--db=postgres://***@host/x"]),
        (["s3://bucket/a@b", "me@host"], ["s3://bucket/a@b", "me@host"]),
        (["--note", "ba_0123456789abcdef"], ["--note", "[redacted]"]),
        (["-c", "find the secret; a=5"], ["-c", "find the secret; a=5"]),
        (["--token", "s3cret", "--password", "s3cret"], ["--token", "***", "--password", "***"]),
        (["--key", "s3cret", "--openai-key=s3cret"], ["--key", "***", "--openai-key=***"]),
        (["-e", "DB_PASS=s3cret", "-eGH_PAT=s3cret"], ["-e", "DB_PASS=***", "-eGH_PAT=***"]),
        (["--env=OPENAI_API_KEY=s3cret,A=1"], ["--env=OPENAI_API_KEY=***,A=1"]),
        (
            ["-H", "X-Api-Key: s3cret", "-H", "Authorization: Basic s3cret"],
            ["-H", "X-Api-Key: ***", "-H", "Authorization: ***"],
        ),
        (['{"a": 1, "api_key": "s3cret x", "b": 2}'], ['{"a": 1, "api_key": ***, "b": 2}']),
        (["-H", "Authorization: ApiKey s3cret"], ["-H", "Authorization: ***"]),
        (["-H", 'Authorization: Digest user="me", response="s3cret"'], ["-H", "Authorization: ***"]),
        (["-c", "curl -H 'Authorization: ApiKey s3cret' x"], ["-c", "curl -H 'Authorization: ***' x"]),
        (["-H", "Cookie: a=1; session=s3cret"], ["-H", "Cookie: ***"]),
        (['{"cookie": "a=1; s=\\"s3cret\\"", "b": 2}'], ['{"cookie": ***, "b": 2}']),
        (["{'Authorization': ['ApiKey s3cret'], 'b': 2}"], ["{'Authorization': ***, 'b': 2}"]),
        (["{'api_key': ['s3cret', ('s3cret]', {})], 'b': 2}"], ["{'api_key': ***, 'b': 2}"]),
        (["x", "api_key: {a: [s3cret"], ["x", "api_key: ***"]),
        (['"Cookie": a=1; session=s3cret'], ['"Cookie": ***']),
        (['auth: Bearer "s3cret"'], ["auth: ***"]),
        (["-c", "go(api_key=b's3cret', n=5)"], ["-c", "go(api_key=***, n=5)"]),
        (["-c", "go(api_key=get('s3cret'), n=5)"], ["-c", "go(api_key=***, n=5)"]),
        (["-c", "login(token='s3cret'); go(n=5)"], ["-c", "login(token=***); go(n=5)"]),
        (
            ["--pass_rate=0.5", "--input_key", "q", "--sort-key=n"],
            ["--pass_rate=0.5", "--input_key", "q", "--sort-key=n"],
        ),
        (["--passes=2", "--path=a:b", "--author: me"], ["--passes=2", "--path=a:b", "--author: me"]),
        ([], []),
    ],
)
def test_e6_secrets_in_the_command_line_are_masked(given: Sequence[str], kept: Sequence[str]) -> None:
    assert masking.command_line(given) == kept
    assert captured(argv=given)["argv"] == kept


@pytest.mark.parametrize(
    "url,kept",
    [
        ("https://user:ghp_token@github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://ghp_token@github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://github.com/a/b.git?private_token=x#y", "https://github.com/a/b.git"),
        ("ssh://git@host:22/a", "ssh://host:22/a"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("/srv/a b.git", "/srv/a b.git"),
    ],
)
def test_e6_an_address_loses_its_credentials(url: str, kept: str) -> None:
    assert masking.address(url) == kept


def test_the_state_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_tool("git")
    monkeypatch.chdir(tmp_path)
    assert captured()["git"] == {}

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(("git", *who, *arguments), check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "trunk")
    assert captured()["git"] == {"commit": None, "branch": "trunk", "dirty": False, "remote": None}
    Path("a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "m")
    git("remote", "add", "origin", "https://me:s3cret@example.org/a.git")
    Path("untracked").write_text("1")
    clean = {
        "commit": git("rev-parse", "HEAD"),
        "branch": "trunk",
        "dirty": False,
        "remote": "https://example.org/a.git",
    }
    assert captured()["git"] == clean
    Path("a").write_text("2")
    assert captured()["git"] == {**clean, "dirty": True}
    git("checkout", "-q", "--detach")
    assert captured()["git"]["branch"] is None


def test_a_repository_cannot_have_a_program_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_tool("git")
    monkeypatch.chdir(tmp_path)
    subprocess.run(("git", "init", "-q"), check=True)
    program(tmp_path, "monitor", f"touch {tmp_path}/ran")
    subprocess.run(("git", "config", "core.fsmonitor", str(tmp_path / "monitor")), check=True)
    captured()
    assert not (tmp_path / "ran").exists()


def test_gpus_as_nvidia_smi_tells_them(path_dir: Path) -> None:
    program(
        path_dir,
        "nvidia-smi",
        'test "$1" = --query-gpu=index,name,memory.total,driver_version,compute_cap || exit 2\n'
        'echo "0, NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0"\necho "1, Old Card, [N/A], 550.54.15, [Not Supported]"',
    )
    found = captured()
    assert found["gpus"] == [
        {
            "index": 0,
            "name": "NVIDIA H100 80GB HBM3",
            "memory_total_mib": 81559,
            "driver_version": "550.54.15",
            "compute_capability": "9.0",
        },
        {
            "index": 1,
            "name": "Old Card",
            "memory_total_mib": None,
            "driver_version": "550.54.15",
            "compute_capability": None,
        },
    ]
    assert found["cuda"]["nvidia_smi"] == "550.54.15"


@pytest.mark.parametrize("script", ["exit 9", "echo 'NVIDIA-SMI has failed'", "printf '\\377\\376'", "kill -9 $$"])
def test_a_broken_nvidia_smi_is_no_gpu(path_dir: Path, script: str) -> None:
    program(path_dir, "nvidia-smi", script)
    assert captured()["gpus"] == []
    assert captured()["cuda"]["nvidia_smi"] is None


def test_a_program_that_hangs_is_given_up(path_dir: Path) -> None:
    program(path_dir, "slow", "exec sleep 600")
    assert tools.ask(("slow",), timeout=0.05) is None


def test_a_machine_that_tells_nothing_is_described_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = captured(root=str(tmp_path))
    assert list(found)[: len(PUBLISHED)]
    assert (found["cwd"], found["git"], found["gpus"], found["memory_limit_bytes"]) == (None, {}, [], None)


def test_packages_are_found_without_importing_them() -> None:
    code = (
        "import json, sys; from tracehouse.environment import capture; found = capture()['packages'];"
        "print(json.dumps([found, sorted(set(found) & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, imported = json.loads(done.stdout)
    assert imported == []
    assert all(isinstance(version, str) for version in found.values())


def test_a_package_from_a_source_tree_tells_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("vllm")
    monkeypatch.setattr(module, "__version__", "1.2.3+local", raising=False)
    monkeypatch.setitem(sys.modules, "vllm", module)
    assert captured()["packages"]["vllm"] == "1.2.3+local"
