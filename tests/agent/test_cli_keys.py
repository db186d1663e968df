"""login, logout, whoami and config, driven as their user would: as programs."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
import termios
from pathlib import Path

from tests.support.servers import reply, serving
from tests.support.waiting import wait_until
from tracehouse.spool import keys
from tracehouse.spool.layout import fingerprint

MARK = fingerprint("ba_one")


def run(
    *words: str, stdin: str = "", program: str = "tracehouse", **variables: str
) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from tracehoused.cli.main import {program}; sys.argv[0] = '{program}'; {program}()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        input=stdin,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_login_keeps_a_key_from_standard_input_and_never_shows_it() -> None:
    done = run("login", stdin="ba_one\n")
    assert done.returncode == 0
    assert "ba_one" not in done.stdout + done.stderr
    assert MARK in done.stdout
    (entry,) = keys.load()
    assert (entry.profile, entry.api_base, entry.key, entry.source) == (
        "default", "https://tracehouse.ai", "ba_one", "login",
    )  # fmt: skip
    assert stat.S_IMODE(os.stat(keys.credentials_path()).st_mode) == 0o600


def test_login_asks_without_echo_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    code = "from tracehoused.cli.login import login; login()"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    try:
        while b"not shown" not in seen:
            seen += os.read(ours, 1000)
        # what is typed before the terminal stops echoing is flushed away
        wait_until(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO, what="the terminal not to echo")
        os.write(ours, b"ba_one\n")
        while True:
            part = os.read(ours, 1000)
            if not part:
                break
            seen += part
    except OSError:
        pass  # the terminal is gone with its last user
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    assert b"kept the key" in seen
    assert b"ba_one" not in seen
    assert keys.load()[0].key == "ba_one"


def test_login_for_another_server_and_profile_and_again_with_a_new_key() -> None:
    for key, said in (("ba_one", "kept"), ("ba_two", "replaced")):
        done = run("login", "--api-base", "http://127.0.0.1:8765/", "--profile", "work", stdin=key)
        assert said in done.stdout
    (entry,) = keys.load()
    assert (entry.api_base, entry.profile, entry.key) == ("http://127.0.0.1:8765", "work", "ba_two")
    assert entry.fingerprints[1] == MARK


def test_login_refuses_what_cannot_be_right() -> None:
    for words, stdin, told in (
        ((), "sk-1", "should start with 'ba_'"),
        ((), "", "no key came on standard input"),
        (("--api-base", "tracehouse.ai"), "ba_one", "https://tracehouse.ai"),
        (("--profile", "a b"), "ba_one", "--profile"),
        (("--profile", "key-x"), "ba_one", "--profile"),
    ):
        done = run("login", *words, stdin=stdin)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
    assert keys.load() == []


def test_login_says_that_plain_http_needs_a_flag() -> None:
    assert "--allow-plain-http" in run("login", "--api-base", "http://far.example", stdin="ba_one").stderr


def test_login_says_what_the_server_makes_of_the_key_and_keeps_it_all_the_same() -> None:
    for answer, told in (
        (reply(401, b'{"message":"no such key"}'), "does not take this key"),
        (reply(200, b"{}"), ""),
        (reply(404), ""),
    ):
        with serving(answer) as server:
            done = run("login", "--api-base", server.url, stdin="ba_one")
            assert server.received[0].headers["authorization"] == "Bearer ba_one"
        assert told in done.stderr if told else not done.stderr
        assert "ba_one" not in done.stdout + done.stderr
        assert (done.returncode, keys.load()[0].key) == (0, "ba_one")
    assert "could not be asked" in run("login", "--api-base", server.url, stdin="ba_one").stderr


def test_login_says_when_the_key_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("login", stdin="ba_one", TRACEHOUSE_CONFIG_DIR=str(tmp_path / "file" / "below"))
    assert done.returncode != 0
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_whoami_lists_identities_and_no_key() -> None:
    nobody = run("whoami")
    assert nobody.returncode == 1
    assert "tracehouse login" in nobody.stderr
    keys.save_key("ba_one", "https://tracehouse.ai", "work", source="login")
    done = run("whoami", TRACEHOUSE_API_KEY="ba_env", TRACEHOUSE_API_BASE="http://127.0.0.1:1")
    assert done.returncode == 0
    assert not {"ba_one", "ba_env"} & set(done.stdout.split())
    rows = json.loads(run("whoami", "--json").stdout)
    assert [(row["profile"], row["fingerprint"], row["source"]) for row in rows] == [("work", MARK, "login")]


def test_logout_forgets_the_one_key_or_asks_which() -> None:
    assert run("logout").returncode == 1
    keys.save_key("ba_one", "https://tracehouse.ai", "work")
    assert "work" in run("logout").stdout
    assert keys.load() == []
    for profile in ("work", "home"):
        keys.save_key(f"ba_{profile}", "https://tracehouse.ai", profile)
    which = run("logout")
    assert which.returncode == 2
    assert "--profile home" in which.stderr
    assert run("logout", "--profile", "work").returncode == 0
    assert [entry.profile for entry in keys.load()] == ["home"]
    assert run("logout", "--all").returncode == 0
    assert keys.load() == []


def test_config_prints_every_value_with_its_source() -> None:
    done = run("config", program="tracehoused", TRACEHOUSE_JOBS="9")
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("jobs ")]
    assert "= 9  # TRACEHOUSE_JOBS" in line
    told = json.loads(run("config", "--json", program="tracehoused").stdout)
    assert told["batch_points"] == {"value": 1000, "source": "default"}


def test_config_names_what_is_wrong_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("jbos = 3\n")
    done = run("config", program="tracehoused", TRACEHOUSE_CONFIG_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "did you mean 'jobs'?" in done.stderr
    assert "Traceback" not in done.stderr
