"""S5: a command that is suggested holds text from a foreign spool, or of a server, only as one word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tracehouse.spool.keys import normalise_api_base
from tracehoused.identities.credentials import NoCredential, find
from tracehoused.text import argument
from tracehoused.upload import otherwise
from tracehoused.upload.checkpoint import Checkpoint

HOSTILE = "https://x.example/;echo${IFS}evil|cat"


def words(told: str) -> list[str]:
    """Those of the first command that is suggested, as a shell takes them."""
    found = re.search("`([^`]*)`", told)
    assert found is not None, told
    return in_shell(found[1])


def in_shell(command: str) -> list[str]:
    script = f"set -- {command}\nprintf '%s\\n' \"$@\""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("text", ["https://x.example;echo evil|cat #", "$(evil)", "it's", "a b", "\n", ""])
def test_s5_what_is_suggested_is_one_word_for_a_shell(text: str) -> None:
    assert len(in_shell(argument(text))) == 1


def test_what_needs_no_quotes_has_none() -> None:
    assert argument("https://tracehouse.ai") == "https://tracehouse.ai"
    assert argument("/tmp/spool/run-r-09f79af09aa0473b") == "/tmp/spool/run-r-09f79af09aa0473b"


@pytest.mark.parametrize("api_base", ["https://x.example;echo evil|cat #", HOSTILE])
def test_s5_a_server_that_a_foreign_journal_names_is_one_word_of_the_command_that_is_suggested(
    tmp_path: Path, api_base: str
) -> None:
    session = tmp_path / "run-x"
    (session / "upload").mkdir(parents=True)
    known = Checkpoint(str(session / "upload" / "0123456789abcdef"), "")
    known.note({"op": "done", "epoch": "aa", "ranges": [[1, 2]]})
    known.fact("to", [api_base, "me"])
    known.commit()
    assert words(otherwise.word(str(session))) == ["tracehouse", "sync", "--api-base", api_base]


@pytest.mark.parametrize("mark", [None, "0123456789abcdef"])
def test_s5_a_server_that_a_foreign_manifest_names_is_one_word_of_the_command_that_is_suggested(
    tmp_path: Path, mark: str | None
) -> None:
    assert normalise_api_base(HOSTILE) == HOSTILE
    found = find(HOSTILE, mark, environ={"TRACEHOUSE_CONFIG_DIR": str(tmp_path)})
    assert isinstance(found, NoCredential)
    assert words(found.hint)[:4] == ["tracehouse", "login", "--api-base", HOSTILE]
