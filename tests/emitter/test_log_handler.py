"""What a program logs with Python's ``logging``, as spans of its trace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse as cm
from tests.support import jobs
from tracehouse import defaults
from tracehouse.integrations.logs import LogHandler

QUIET: dict[str, Any] = {"capture_env": False, "system_metrics": False}


@pytest.fixture(autouse=True)
def _spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRACEHOUSE_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr(defaults, "_run", None)
    monkeypatch.setattr(defaults, "_training_run", None)
    yield
    jobs.close_all()


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    found = logging.getLogger(f"agent.{request.node.name}")
    found.setLevel(logging.DEBUG)
    yield found
    found.handlers.clear()


def _spans(tmp_path: Path) -> list[dict[str, Any]]:
    return jobs.of_type(jobs.only_session(tmp_path), "span")


def test_messages_are_spans_with_level_place_traceback_and_extra(tmp_path: Path, logger: logging.Logger) -> None:
    logger.addHandler(LogHandler(cm.Run(session_id="s"), level="INFO"))
    logger.debug("below the level")
    logger.info("tool %s took %d s", "Bash", 3, extra={"tool": "Bash"})
    try:
        raise KeyError("jq")
    except KeyError:
        logger.exception("no such tool")
    said, failed = _spans(tmp_path)
    assert (said["kind"], said["name"], said.get("status")) == ("attachment", logger.name, None)
    attributes = said["attributes"]
    assert (attributes["text"], attributes["level"], attributes["extra"]) == (
        "tool Bash took 3 s",
        "INFO",
        {"tool": "Bash"},
    )
    assert attributes["where"].startswith(f"{__file__}:")
    assert (failed["attributes"]["text"], failed["status"]) == ("no such tool", "error")
    assert failed["attributes"]["error"].endswith("KeyError: 'jq'")
    assert "extra" not in failed["attributes"]


def test_a_formatter_makes_the_text(tmp_path: Path, logger: logging.Logger) -> None:
    handler = LogHandler(cm.Run(session_id="s"))
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    logger.warning("slow")
    [span] = _spans(tmp_path)
    assert span["attributes"]["text"] == "WARNING: slow"
    assert "extra" not in span["attributes"]


def test_without_a_target_the_default_trace_of_the_moment_gets_it(tmp_path: Path, logger: logging.Logger) -> None:
    logger.addHandler(LogHandler())
    logger.warning("nobody is there")
    run = cm.init(session_id="s")
    with run.span("tool_use", "Bash") as call:
        logger.warning("slow")
    said, _ = _spans(tmp_path)
    assert (said["attributes"]["text"], said["parent_span_id"]) == ("slow", call.id)


def test_a_run_gets_a_trace_of_its_log_and_keeps_its_steps(tmp_path: Path, logger: logging.Logger) -> None:
    logger.addHandler(LogHandler())
    run = cm.init_run(client_run_id="r", **QUIET)
    run.log({"loss": 0.5})
    logger.warning("one")
    logger.warning("two")
    run.log({"loss": 0.4})
    session = jobs.only_session(tmp_path)
    [trace] = jobs.of_type(session, "trace")
    assert (trace["session_id"], trace["task_name"], trace["rollout_step"]) == ("r-log", "log", 1)
    assert jobs.texts(session) == ["one", "two"]
    assert [one["step"] for one in jobs.of_type(session, "metrics")] == [0, 1]


def test_the_next_default_run_gets_its_own_log(tmp_path: Path, logger: logging.Logger) -> None:
    logger.addHandler(LogHandler())
    for name in ("r1", "r2"):
        cm.init_run(client_run_id=name, **QUIET)
        logger.warning(name)
        cm.run_finish()
    spans = [span for session in jobs.sessions(tmp_path) for span in jobs.of_type(session, "span")]
    assert sorted((span["session_id"], span["attributes"]["text"]) for span in spans) == [
        ("r1-log", "r1"),
        ("r2-log", "r2"),
    ]


def test_text_is_redacted_as_any_other(tmp_path: Path, logger: logging.Logger) -> None:
    logger.addHandler(LogHandler(cm.Run(session_id="s", redact="emails")))
    logger.warning("mail to %s", "ada@example.org", extra={"user": "ada@example.org"})
    assert "ada@example.org" not in jobs.only_session(tmp_path).joinpath(next(_segments(tmp_path))).read_text()


def _segments(tmp_path: Path) -> Iterator[str]:
    return (path.name for path in jobs.only_session(tmp_path).glob("*.jsonl"))


def test_what_tracehouse_says_itself_is_not_recorded(tmp_path: Path) -> None:
    root = logging.getLogger()
    handler = LogHandler(cm.Run(session_id="s"))
    root.addHandler(handler)
    try:
        logging.getLogger("tracehouse").warning("3 records were dropped")
        logging.getLogger("tracehouse_user").warning("kept")
    finally:
        root.removeHandler(handler)
    assert jobs.texts(jobs.only_session(tmp_path)) == ["kept"]


def test_e3_a_message_that_cannot_be_formatted_never_raises_into_the_job(
    tmp_path: Path, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.addHandler(LogHandler(cm.Run(session_id="s")))
    logger.propagate = False
    logger.warning("%d", "no number")
    logger.warning("kept")
    assert jobs.texts(jobs.only_session(tmp_path)) == ["kept"]


_FULL = """
    import logging, resource, signal, threading
    from tracehouse.integrations.logs import LogHandler

    class Handler(LogHandler):
        def filter(self, record):
            if record.name == "tracehouse":
                told.set()
            return True

        def emit(self, record):
            if record.name == "app":
                inside.set(); told.wait()
            super().emit(record)

    inside, told = threading.Event(), threading.Event()
    run = cm.init(session_id="s")
    logging.getLogger().addHandler(Handler(run))
    app = threading.Thread(target=logging.getLogger("app").warning, args=("from a thread",))
    app.start(); inside.wait()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    run.log_user("meanwhile")
    app.join()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print(run.flush())
"""


def test_e3_a_handler_that_records_waits_for_nobody_who_tells_it_of_a_full_disk(tmp_path: Path) -> None:
    job = jobs.run(_FULL, tmp_path)
    assert job.out == "True\n", job.err
    assert sorted(jobs.texts(jobs.only_session(tmp_path))) == ["from a thread", "meanwhile"]


def test_e3_what_a_handler_of_the_jobs_raises_at_a_word_of_ours_is_not_raised_into_it(tmp_path: Path) -> None:
    job = jobs.run(
        """
import logging

class Strict(logging.Handler):
    def emit(self, record):
        raise RuntimeError(record.getMessage())

logging.getLogger().addHandler(Strict())
logging.getLogger().setLevel("INFO")
lost = cm.Run(session_id='lost', spool_dir=sys.argv[1])
lost.log_user('x')
lost.flush()
kept = cm.Run(session_id='kept')
kept.log_user('x')
""",
        tmp_path / "spool",
        "/proc/no/spool",
    )
    assert (job.code, job.err) == (0, "")
    session = jobs.only_session(tmp_path / "spool")
    assert [one.type for one in jobs.records(session)][-1] == "exit"
    assert list((tmp_path / "spool" / ".writers").iterdir()) == []
