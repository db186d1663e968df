"""Media on the house's own disk."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.support.house import House, new_run
from tests.support.strace import counting


@pytest.mark.parametrize("damage", [b"", b"\0" * 7, b"pic"])
def test_a_file_that_was_damaged_is_whole_again_once_its_bytes_are_sent_again(
    client: httpx.Client, house: House, damage: bytes
) -> None:
    path, params = f"/v1/runs/{new_run(client)}/media", {"key": "k", "media_type": "image"}
    name = sha256(b"picture").hexdigest()
    assert client.post(path, params=params, content=b"picture").is_success
    (house.data / "media" / name[:2] / name).write_bytes(damage)
    assert client.post(path, params=params, content=b"picture").is_success
    assert client.get(f"/v1/media/{name}").content == b"picture"
    assert list((house.data / "media" / "incoming").iterdir()) == []


def test_the_names_of_its_directories_are_on_the_disk_before_it_says_that_it_listens(tmp_path: Path) -> None:
    """Else all that is in them may be without a name once the power was gone."""
    log, data, media = tmp_path / "log", tmp_path / "of" / "the" / "house", tmp_path / "of" / "media"
    serve = [
        sys.executable,
        "-m",
        "tracehoused.cli.serve",
        "--port",
        "0",
        "--data",
        str(data),
        "--media",
        media.as_uri(),
    ]
    command = [*counting(log, "?mkdir", "?mkdirat", "fsync", "fdatasync", "write"), "-y", *serve]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as traced:
        assert traced.stdout is not None
        said = next((line for line in traced.stdout if "listening on" in line), "")
        os.kill(int((data / "house.lock").read_text()), signal.SIGTERM)
    assert said
    before = log.read_text(errors="replace").partition("listening on")[0]
    for made in (data, media, tmp_path / "of" / "the", tmp_path / "of"):
        _, begun, after = before.rpartition(f'"{made}", 0')
        assert begun, f"{made} was made"
        assert re.search(rf"f(data)?sync\(\d+<{re.escape(str(made.parent))}>\) += 0", after), made
