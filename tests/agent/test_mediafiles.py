"""S5: a media file goes out only where its content is what its name says."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from tracehoused.http.request import FileBody
from tracehoused.upload.mediafiles import checked_media

NOTHING = sha256(b"").hexdigest()


@pytest.mark.parametrize("read", [True, False])
def test_s5_an_empty_file_under_another_contents_name_is_never_sent(tmp_path: Path, read: bool) -> None:
    path = tmp_path / f"{'f' * 64}.png"
    path.write_bytes(b"")
    found = checked_media(str(path), 0, "f" * 64, read=read)
    assert isinstance(found, str)
    assert "damaged" in found


@pytest.mark.parametrize("read", [True, False])
def test_an_empty_file_under_its_own_name_is_sent(tmp_path: Path, read: bool) -> None:
    path = tmp_path / f"{NOTHING}.png"
    path.write_bytes(b"")
    found = checked_media(str(path), 0, NOTHING, read=read)
    assert isinstance(found, FileBody)
    assert list(found.read(found.open())) == []
