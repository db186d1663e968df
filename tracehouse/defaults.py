"""The one default trace and the one default run of a process, as ``tracehouse.init`` and ``tracehouse.init_run`` begin them."""

from __future__ import annotations

from tracehouse.exceptions import NotActiveError
from tracehouse.run import Run
from tracehouse.training import TrainingRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, TypeVar

    from typing_extensions import Concatenate, ParamSpec

    from tracehouse.spans import OpenSpan, Span

    P = ParamSpec("P")
    T = TypeVar("T")

    def _as(_: Callable[P, object]) -> Callable[[Callable[..., T]], Callable[P, T]]: ...
    def _as_method(_: Callable[Concatenate[Any, P], object]) -> Callable[[Callable[..., T]], Callable[P, T]]: ...

else:

    def _as(_):
        """For type checkers: the function takes what the other does, so that a misspelt argument is found before the job runs."""
        return lambda function: function

    _as_method = _as

_run: Run | None = None
_training_run: TrainingRun | None = None


@_as(Run)
def init(**kwargs: Any) -> Run:
    """Begin a trace and make it the one that ``log`` and its like mean; the arguments and errors are those of ``Run``.

    The one before is ended, without an outcome. When this raises, it is left as it was.

    >>> run = cm.init(project="my-bot", session_id="run-001")
    >>> cm.log_user("hello").kind
    'user_msg'
    """
    global _run
    begun = Run(**kwargs)
    earlier, _run = _run, begun
    if earlier is not None:
        earlier.end()
    return begun


def current() -> Run:
    """The default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.current() is run
    True
    """
    if _run is None:
        raise NotActiveError("no active run — call tracehouse.init() first")
    return _run


@_as_method(Run.log)
def log(**kwargs: Any) -> Span:
    """``Run.log`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.log(kind="attachment", name="diff", text="+1 -1").attributes
    {'text': '+1 -1'}
    """
    return current().log(**kwargs)


@_as_method(Run.log_user)
def log_user(text: Any, **kwargs: Any) -> Span:
    """``Run.log_user`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.log_user("how do I install jq?").attributes
    {'text': 'how do I install jq?'}
    """
    run = _run or current()
    return run.log_user(text, **kwargs) if kwargs else run.log_user(text)


@_as_method(Run.log_assistant)
def log_assistant(text: Any, **kwargs: Any) -> Span:
    """``Run.log_assistant`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.log_assistant("brew install jq", attributes={"tokens": 5}).attributes
    {'tokens': 5, 'text': 'brew install jq'}
    """
    run = _run or current()
    return run.log_assistant(text, **kwargs) if kwargs else run.log_assistant(text)


@_as_method(Run.log_thinking)
def log_thinking(text: Any, **kwargs: Any) -> Span:
    """``Run.log_thinking`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.log_thinking("they may be on a Mac").kind
    'thinking'
    """
    run = _run or current()
    return run.log_thinking(text, **kwargs) if kwargs else run.log_thinking(text)


@_as_method(Run.log_tool_use)
def log_tool_use(tool: str, input: Mapping[str, Any] | None = None, **kwargs: Any) -> Span:  # noqa: A002
    """``Run.log_tool_use`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.log_tool_use("Bash", {"command": "ls"}).attributes
    {'tool_input': {'command': 'ls'}}
    """
    return current().log_tool_use(tool, input, **kwargs)


@_as_method(Run.log_tool_result)
def log_tool_result(text: Any, **kwargs: Any) -> Span:
    """``Run.log_tool_result`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> call = cm.log_tool_use("Bash", {"command": "ls"})
    >>> cm.log_tool_result("a.txt", tool="Bash", parent_span_id=call.id, status="ok").name
    'Bash'
    """
    return current().log_tool_result(text, **kwargs)


@_as_method(Run.log_attachment)
def log_attachment(name: str, attributes: Mapping[str, Any] | None = None, **kwargs: Any) -> Span:
    """``Run.log_attachment`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> cm.log_attachment("report.pdf", {"pages": 3}).name
    'report.pdf'
    """
    return current().log_attachment(name, attributes, **kwargs)


def log_messages(messages: Any) -> list[Span]:
    """``Run.log_messages`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> spans = cm.log_messages([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}])
    >>> [span.kind for span in spans]
    ['user_msg', 'assistant_msg']
    """
    return current().log_messages(messages)


@_as_method(Run.span)
def span(kind: str, name: str | None = None, **kwargs: Any) -> OpenSpan:
    """``Run.span`` of the default trace; NotActiveError when there is none.

    >>> run = cm.init(project="my-bot")
    >>> with cm.span("tool_use", "Bash", input={"command": "ls"}) as call:
    ...     result = cm.log_tool_result("a.txt", tool="Bash")
    >>> result.parent_span_id == call.id
    True
    """
    return current().span(kind, name, **kwargs)


def flush() -> bool:
    """Wait for the disk, for the default trace and the default run: True if all that was logged to them is there to stay.

    >>> run = cm.init(project="my-bot")
    >>> said = cm.log_user("hello")
    >>> cm.flush()
    True
    """
    flushed = [one.flush() for one in (_run, _training_run) if one is not None]
    return all(flushed)


@_as_method(Run.finish)
def finish(**kwargs: Any) -> bool:
    """``Run.finish`` of the default trace, which is none from then on; without one, nothing.

    >>> run = cm.init(project="my-bot")
    >>> cm.finish(outcome="good", metadata={"reward": 1.0})
    True
    """
    global _run
    if _run is None:
        return True
    done = _run.finish(**kwargs)
    _run = None
    return done


@_as(TrainingRun)
def init_run(**kwargs: Any) -> TrainingRun:
    """Begin a training run and make it the one that ``run_log`` means; the arguments and errors are those of ``TrainingRun``.

    The one before is finished as ``killed``. When this raises, it is left as it was.

    >>> run = cm.init_run(project="rl", name="ppo-v1", config={"lr": 1e-5})
    >>> run.log({"loss": 0.5})
    """
    global _training_run
    begun = TrainingRun(**kwargs)
    earlier, _training_run = _training_run, begun
    if earlier is not None:
        earlier.end("killed")
    return begun


def current_run() -> TrainingRun:
    """The default training run; NotActiveError when there is none.

    >>> run = cm.init_run(project="rl")
    >>> cm.current_run() is run
    True
    """
    if _training_run is None:
        raise NotActiveError("no active training run — call tracehouse.init_run() first")
    return _training_run


@_as_method(TrainingRun.log)
def run_log(values: Mapping[str, Any] | None, **kwargs: Any) -> None:
    """``TrainingRun.log`` of the default run; NotActiveError when there is none.

    >>> run = cm.init_run(project="rl")
    >>> cm.run_log({"loss": 0.5}, step=10)
    """
    current_run().log(values, **kwargs)


@_as_method(TrainingRun.finish)
def run_finish(**kwargs: Any) -> bool:
    """``TrainingRun.finish`` of the default run, which is none from then on; without one, nothing.

    >>> run = cm.init_run(project="rl")
    >>> cm.run_finish(status="failed")
    True
    """
    global _training_run
    if _training_run is None:
        return True
    done = _training_run.finish(**kwargs)
    _training_run = None
    return done
