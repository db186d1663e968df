"""E6: keys are the user's own, in one private file; and what an api_base is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracehouse.exceptions import ArgumentError
from tracehouse.spool import keys, places
from tracehouse.spool.layout import fingerprint

HOSTED = "https://tracehouse.ai"
HOUSE = "http://127.0.0.1:8765"


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(tmp_path / "config" / "tracehouse")


def profiles(config: str) -> list[tuple[str, str, str]]:
    return [(entry.api_base, entry.profile, entry.key) for entry in keys.load(config)]


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_e6_the_file_is_readable_by_its_owner_alone(config: str) -> None:
    before = os.umask(0)
    try:
        path = keys.save_key("ba_one", HOSTED, config_dir=config)
    finally:
        os.umask(before)
    assert path == keys.credentials_path(config)
    assert (mode(path), mode(config)) == (0o600, 0o700)
    os.chmod(path, 0o644)
    assert keys.load(config)[0].key == "ba_one"
    assert mode(path) == 0o600
    assert sorted(os.listdir(config)) == ["credentials.json", "credentials.lock"]


def test_e6_a_key_from_code_is_kept_once_under_its_fingerprint(config: str) -> None:
    for _ in range(2):
        keys.save_key("ba_one", HOSTED + "/", config_dir=config)
    assert profiles(config) == [(HOSTED, f"key-{fingerprint('ba_one')}", "ba_one")]
    entry = keys.load(config)[0]
    assert (entry.source, entry.fingerprints) == ("code", (fingerprint("ba_one"),))
    assert entry.added_at.endswith("Z")


def test_a11_the_same_key_for_another_server_is_another_entry(config: str) -> None:
    keys.save_key("ba_one", HOSTED, config_dir=config)
    keys.save_key("ba_one", HOUSE, config_dir=config)
    assert [api_base for api_base, _, _ in profiles(config)] == [HOSTED, HOUSE]


def test_a5_a_rotated_key_keeps_its_profile_and_remembers_the_former_ones(config: str) -> None:
    for key in ("ba_one", "ba_two", "ba_three", "ba_two"):
        keys.save_key(key, HOSTED, "work", source="login", config_dir=config)
    (entry,) = keys.load(config)
    assert entry.key == "ba_two"
    assert entry.fingerprints == tuple(map(fingerprint, ("ba_two", "ba_three", "ba_one")))


def test_a5_code_that_still_has_a_rotated_key_brings_no_second_identity(config: str) -> None:
    keys.save_key("ba_one", HOSTED, "work", source="login", config_dir=config)
    keys.save_key("ba_two", HOSTED, "work", source="login", config_dir=config)
    keys.save_key("ba_one", HOSTED, config_dir=config)
    assert profiles(config) == [(HOSTED, "work", "ba_two")]


def test_a5_a_login_names_a_key_that_was_kept_from_code(config: str) -> None:
    keys.save_key("ba_one", HOSTED, config_dir=config)
    keys.save_key("ba_one", HOSTED, "work", source="login", config_dir=config)
    (entry,) = keys.load(config)
    assert (entry.profile, entry.source) == ("work", "login")
    assert entry.formerly == (f"key-{fingerprint('ba_one')}",)


def test_one_key_is_never_in_two_named_profiles(config: str) -> None:
    keys.save_key("ba_one", HOSTED, "work", source="login", config_dir=config)
    with pytest.raises(ArgumentError, match="'work'"):
        keys.save_key("ba_one", HOSTED, "home", source="login", config_dir=config)
    assert profiles(config) == [(HOSTED, "work", "ba_one")]


def test_keys_are_forgotten_by_profile_by_server_or_all(config: str) -> None:
    assert keys.remove(config_dir=config) == []
    for profile, key in (("default", "ba_one"), ("work", "ba_two")):
        for api_base in (HOSTED, HOUSE):
            keys.save_key(key, api_base, profile, config_dir=config)
    assert [e.key for e in keys.remove("work", HOSTED, config_dir=config)] == ["ba_two"]
    assert len(keys.load(config)) == 3
    assert len(keys.remove("default", config_dir=config)) == 2
    assert keys.remove("nobody", config_dir=config) == []
    assert len(keys.remove(config_dir=config)) == 1
    assert keys.load(config) == []


@pytest.mark.parametrize("key", ["", "anon_x", "sk-1", "ba_x\ny", "ba_x y", "ba_ü", "ba_\x00"])
def test_a_key_that_can_be_none_is_refused(config: str, key: str) -> None:
    with pytest.raises(ArgumentError, match="api_key"):
        keys.save_key(key, HOSTED, config_dir=config)
    assert not os.path.exists(config)


def test_blanks_around_a_pasted_key_do_not_matter(config: str) -> None:
    keys.save_key(" ba_one\n", HOSTED, config_dir=config)
    assert keys.load(config)[0].key == "ba_one"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"format":1}',
        b'{"format":1,"keys":[{}]}',
        b'{"format":1,"keys":[{"profile":"p","api_base":"a","key":1,"fingerprints":["x"],"added_at":"","source":""}]}',
        b'{"format":2,"keys":[]}',
        b'{"format":"1","keys":[]}',
        b"\xff",
        b"[" * 100_000,
        b" " * (2 << 20),
    ],
)
def test_a_damaged_file_is_named_and_left_alone(config: str, text: bytes) -> None:
    os.makedirs(config)
    path = Path(keys.credentials_path(config))
    path.write_bytes(text)
    for use in (lambda: keys.load(config), lambda: keys.save_key("ba_one", HOSTED, config_dir=config)):
        with pytest.raises(keys.KeyFileError, match=r"credentials\.json") as caught:
            use()
        assert caught.value.path == str(path)
    assert path.read_bytes() == text


def test_a_file_that_is_none_does_not_hang(config: str) -> None:
    os.makedirs(config)
    os.mkfifo(keys.credentials_path(config))
    with pytest.raises(keys.KeyFileError, match="regular file"):
        keys.load(config)


def test_e6_no_key_shows_in_a_repr(config: str) -> None:
    keys.save_key("ba_secret", HOSTED, config_dir=config)
    assert "ba_secret" not in repr(keys.load(config))


_SAVE = "import sys; from tracehouse.spool import keys; [keys.save_key(f'ba_{sys.argv[1]}_{i}', 'https://h') for i in range(10)]"


def test_keys_saved_by_many_processes_at_once_are_all_kept(config: str) -> None:
    environ = {**os.environ, "TRACEHOUSE_CONFIG_DIR": config, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", _SAVE, str(n)], env=environ) for n in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert len({entry.key for entry in keys.load(config)}) == 60


def test_e1_the_key_file_costs_the_emitter_few_imports() -> None:
    code = "import sys; from tracehouse.spool import keys; print(sorted({'typing','urllib','logging','httpx'} & set(sys.modules)))"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # -S, for what site packages import at start is not ours
    done = subprocess.run([sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_directories_are_those_of_platformdirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    platformdirs = pytest.importorskip("platformdirs")
    for variables in ({}, {"XDG_CONFIG_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert places.default_config_dir() == str(platformdirs.user_config_path("tracehouse"))
        assert places.default_state_dir() == str(platformdirs.user_state_path("tracehouse"))


def test_the_directories_follow_the_environment() -> None:
    assert places.default_config_dir({"TRACEHOUSE_CONFIG_DIR": "/etc/th", "HOME": "/h"}) == "/etc/th"
    assert places.default_config_dir({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == "/x/tracehouse"
    assert places.default_config_dir({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}).startswith("/h/")
    assert places.default_spool_dir({"TRACEHOUSE_SPOOL_DIR": "/scratch", "HOME": "/h"}) == "/scratch"
    assert places.default_spool_dir({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == "/s/tracehouse/spool"


def test_the_directories_of_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.sys, "platform", "darwin")
    assert places.default_config_dir({"HOME": "/Users/u"}) == "/Users/u/Library/Application Support/tracehouse"
    assert places.default_spool_dir({"HOME": "/Users/u"}) == "/Users/u/Library/Application Support/tracehouse/spool"


@pytest.mark.parametrize(
    "given,normal",
    [
        ("https://tracehouse.ai", "https://tracehouse.ai"),
        (" https://tracehouse.ai/// ", "https://tracehouse.ai"),
        ("HTTPS://TraceHouse.AI:443/Base/", "https://tracehouse.ai/Base"),
        ("http://gpu7:80", "http://gpu7"),
        ("http://gpu7:", "http://gpu7"),
        ("http://127.0.0.1:08765", "http://127.0.0.1:8765"),
        ("http://[::1]:8765/x", "http://[::1]:8765/x"),
        ("http://[::1]", "http://[::1]"),
    ],
)
def test_an_api_base_has_one_way_to_be_written(given: str, normal: str) -> None:
    assert keys.normalise_api_base(given) == normal
    assert keys.normalise_api_base(normal) == normal


@pytest.mark.parametrize(
    "url",
    [
        "", "tracehouse.ai", "ftp://h", "://h", "https://", "https:///x", "http://:80", "http://h:0",
        "http://h:65536", "http://h:x", "http://h:٣", "http://u:p@h", "http://h/?q", "http://h/#f", "http://h h",
        "http://h\r\nX: y", "http://h\\evil", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_api_base_is_refused_with_a_word_on_what_would_be(url: str) -> None:
    with pytest.raises(ArgumentError, match="api_base"):
        keys.normalise_api_base(url)


def test_a_password_in_an_api_base_is_not_repeated() -> None:
    with pytest.raises(ArgumentError) as caught:
        keys.normalise_api_base("https://me:hunter2@h")
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_normalising_is_total_and_stable(url: str) -> None:
    for candidate in (url, "http://" + url):
        try:
            normal = keys.normalise_api_base(candidate)
        except ArgumentError:
            continue
        assert keys.normalise_api_base(normal) == normal
        keys.is_loopback(normal)


@pytest.mark.parametrize(
    "url,here",
    [
        ("http://localhost:8765", True),
        ("http://LOCALHOST", True),
        ("http://127.0.0.1:8765/x", True),
        ("http://127.3.2.1", True),
        ("http://[::1]:80", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://127.evil.example.com", False),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("http://[::2]", False),
        ("https://tracehouse.ai", False),
        ("", False),
    ],
)
def test_a11_loopback_is_what_it_is_and_not_what_looks_like_it(url: str, here: bool) -> None:
    assert keys.is_loopback(url) is here


def test_the_file_can_be_read_by_a_person(config: str) -> None:
    path = keys.save_key("ba_one", HOSTED, "work", source="login", config_dir=config)
    (entry,) = json.loads(Path(path).read_text())["keys"]
    assert entry["profile"] == "work"
    assert set(entry) == {"profile", "api_base", "key", "fingerprints", "formerly", "added_at", "source"}
