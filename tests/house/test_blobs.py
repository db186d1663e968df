"""Media on the house's own disk."""

from __future__ import annotations

from hashlib import sha256

import httpx
import pytest

from tests.support.house import House, new_run


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
