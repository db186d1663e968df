"""One tree of errors, and the published names and texts in it."""

from __future__ import annotations

import pickle

import pytest

from tracehouse import exceptions


def test_every_error_is_of_the_one_tree() -> None:
    errors = [getattr(exceptions, name) for name in exceptions.__all__]
    assert all(issubclass(error, exceptions.ClaudeMonitorError) for error in errors)
    assert exceptions.__all__ == sorted(exceptions.__all__)
    assert exceptions.TracehouseError is exceptions.ClaudeMonitorError


def test_an_api_error_tells_status_and_message() -> None:
    error = exceptions.ApiError(404, "m")
    assert (error.status, error.message, error.args, str(error)) == (404, "m", ("404: m",), "404: m")


@pytest.mark.parametrize(
    "error,builtin",
    [
        (exceptions.ArgumentError("x"), ValueError),
        (exceptions.NotActiveError("x"), RuntimeError),
        (exceptions.MediaError("x"), TypeError),
        (exceptions.MediaUnreadable(2, "No such file", "a.png"), (TypeError, OSError)),
        (exceptions.MediaTooLarge("a.png", 3, 2), (TypeError, ValueError)),
    ],
)
def test_errors_are_caught_by_their_builtin_names(error: Exception, builtin: type[Exception]) -> None:
    assert isinstance(error, builtin)
    assert isinstance(error, exceptions.ClaudeMonitorError)


def test_an_unreadable_file_is_named() -> None:
    error = exceptions.MediaUnreadable(2, "No such file or directory", "out/a.png")
    assert (error.errno, error.filename) == (2, "out/a.png")
    assert str(error) == "cannot read media file 'out/a.png': No such file or directory"


def test_media_too_large_names_size_and_limit() -> None:
    error = exceptions.MediaTooLarge("a.png", 30_000_000, 25 * 1024 * 1024)
    assert str(error) == "a.png is 30,000,000 bytes; media may have at most 26,214,400 bytes (25 MiB)"
    assert (error.size, error.limit) == (30_000_000, 26_214_400)


def test_a_spool_error_says_where_and_what_to_do() -> None:
    error = exceptions.SpoolError("not a directory", path="/x", hint="name another")
    assert (error.path, error.hint) == ("/x", "name another")
    assert str(error) == "not a directory: /x (name another)"


def test_a_newer_format_is_refused_with_a_clear_word() -> None:
    error = exceptions.SpoolFormatError(2, 1, path="/x")
    assert "format 2 is newer than 1" in str(error)
    assert "upgrade" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ApiError(503, "m"),
        exceptions.ArgumentError("x"),
        exceptions.MediaTooLarge("a", 3, 2),
        exceptions.MediaUnreadable(2, "No such file", "a.png"),
        exceptions.SpoolError("x", path="/y", hint="z"),
        exceptions.SpoolFormatError(2, 1, path="/y"),
    ],
)
def test_errors_survive_the_way_from_a_worker_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
