"""Ids are random, well formed and never handed out twice: not to two threads, not to a parent and its child."""

from __future__ import annotations

import os
import re
import uuid
from threading import Thread

import pytest

from tracehouse import ids

FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_uuid_has_the_form_and_bits_of_version_4() -> None:
    for _ in range(1000):
        text = ids.uuid4()
        assert FORM.fullmatch(text)
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)


def test_every_free_digit_varies() -> None:
    texts = [ids.uuid4() for _ in range(2000)]
    seen = [len({text[place] for text in texts}) for place in range(36)]
    assert [n for n in range(36) if seen[n] == 1] == [8, 13, 14, 18, 23]
    assert seen[19] == 4
    assert all(n == 16 for place, n in enumerate(seen) if place not in (8, 13, 14, 18, 19, 23))


def test_threads_never_share_an_id() -> None:
    drawn: list[list[str]] = [[] for _ in range(8)]

    def draw(into: list[str]) -> None:
        into.extend(ids.uuid4() for _ in range(5000))

    threads = [Thread(target=draw, args=(into,)) for into in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [text for into in drawn for text in into]
    assert len(set(every)) == len(every) == 40_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_e4_a_child_draws_its_own_ids() -> None:
    ids.uuid4()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "\n".join(ids.uuid4() for _ in range(500)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        theirs = pipe.read().split("\n")
    os.waitpid(child, 0)
    ours = [ids.uuid4() for _ in range(500)]
    assert len(set(theirs)) == 500
    assert not set(theirs) & set(ours)


@pytest.mark.parametrize("digits", [1, 7, 8, 16, 32])
def test_a_hex_id_has_that_many_digits(digits: int) -> None:
    assert re.fullmatch(f"[0-9a-f]{{{digits}}}", ids.hex_id(digits))
    if digits >= 16:
        assert ids.hex_id(digits) != ids.hex_id(digits)
