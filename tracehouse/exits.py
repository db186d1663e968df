"""How the process ends, and telling it in each session that is still open then.

An exit handler runs after the main module was left and does not get to know how. What can be known: whether the outermost frame of
the main thread ended by a return or was left by an exception; the exception that the interpreter reported (``sys.last_value``); and
the code of ``sys.exit``, ``exit`` and ``quit``, which are wrapped for that. So:

==============================================  ==========
falls off the end, ``sys.exit(0)``              finished
uncaught exception, KeyboardInterrupt           crashed
``sys.exit(n)``, ``sys.exit("why")``            failed
``raise SystemExit(n)``, whatever n             failed, code null: nothing tells n, and no failure may pass for a success
``os._exit``, a signal                          nothing: the agent finds the writer dead
==============================================  ==========

A worker of multiprocessing has no such end: what its target returned by, or raised, is what counts there.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import threading

from tracehouse.spool import writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Callable

    from tracehouse.session import Session
    from tracehouse.spool.log import SessionLog

_UNKNOWN = object()
_LONGEST_TOLD = 10_000
# the last instructions of functions that return a constant, and a variable
_RETURNS = ((lambda: None).__code__.co_code[-2], (lambda value: value).__code__.co_code[-2])


class Ending:
    """``status`` is finished, crashed or failed; ``exception`` "Type: message" or None; ``code`` the exit code where it is known."""

    __slots__ = ("code", "exception", "status")

    def __init__(self, status: str, exception: str | None, code: int | None) -> None:
        self.status = status
        self.exception = exception
        self.code = code


class _Watch:
    """What is noted while the process runs; made with the first session."""

    def __init__(self) -> None:
        self._outermost = _outermost_frame()
        self._code: object = _UNKNOWN
        self._reported_before: object = None
        self.is_in_workers = False
        self.left: Ending | None = None  # as the target of a worker was
        self._hook_exits()

    def _hook_exits(self) -> None:
        original = sys.exit

        def exit(status: Any = None, /) -> Any:  # noqa: A001
            self._note(status)
            original(status)

        exit.__doc__ = original.__doc__
        sys.exit = exit
        quitter: Any = type(getattr(builtins, "exit", None))
        if quitter.__module__ == "_sitebuiltins":
            quitter.__call__ = self._noting(quitter.__call__)

    def _noting(self, call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def __call__(quitter: Any, code: Any = None) -> Any:  # noqa: N807
            self._note(code)
            return call(quitter, code)

        return __call__

    def _note(self, code: object) -> None:
        if threading.current_thread() is threading.main_thread():
            self._code = code
            self._reported_before = _reported()

    def ending(self) -> Ending:
        if self._outermost is not None and not _was_left_by_exception(self._outermost):
            return Ending("finished", None, 0)
        reported = _reported()
        if reported is not None and reported is not self._reported_before:
            return Ending("crashed", told(reported), 1)
        if self._code is not _UNKNOWN:
            code = code_of(self._code)
            return Ending("failed" if code else "finished", told(SystemExit(self._code)) if code else None, code)
        if self._outermost is None:
            return Ending("finished", None, None)
        return Ending("failed", "SystemExit", None)


_open: dict[Session, None] = {}
_watch: _Watch | None = None


def watch(session: Session) -> None:
    """Tell the end of the process in this session, unless it is forgotten before."""
    global _watch
    if _watch is None:
        _watch = _Watch()
        atexit.register(at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork)
        if "multiprocessing.process" in sys.modules:
            _finish_as_worker()
    _open[session] = None


def forget(session: Session) -> None:
    """Its end has been told."""
    _open.pop(session, None)


def at_exit() -> None:
    """Write how the process ended into the open sessions, and wait for the disk."""
    _end(_watch.ending() if _watch is not None else Ending("finished", None, None))
    if type(_reported()) is KeyboardInterrupt:
        # by which signal it ends Python forgets when a text is executed, as loading a module can come to: this one has it known again
        try:
            exec("raise KeyboardInterrupt")  # noqa: S102
        except KeyboardInterrupt:
            pass


def _end(ending: Ending) -> None:
    try:
        _tell(ending)
    finally:
        writer.stop_all()


def _tell(ending: Ending) -> None:
    parts: dict[SessionLog, list[Session]] = {}
    for session in list(_open):  # daemon threads begin and end some meanwhile
        if session.has_written:
            parts.setdefault(session.log, []).append(session)
    for sharing in parts.values():
        tells = any(ending.status in session.tells and not session.in_child for session in sharing)
        sharing[0].exit(ending.status if tells else None, ending.exception, ending.code)
        for session in sharing:
            session.let_go()


def told(error: BaseException) -> str:
    """``Type: message``, whatever the exception's own ``__str__`` does, and however long that is: a record holds it."""
    try:
        return f"{type(error).__name__}: {error}"[:_LONGEST_TOLD]
    except Exception:  # noqa: BLE001 - a user's __str__ can raise anything
        return type(error).__name__


def code_of(status: object) -> int:
    """The exit code that ``sys.exit(status)`` comes to."""
    if status is None:
        return 0
    return int(status) if isinstance(status, int) else 1


def status_of(error: BaseException | None) -> str:
    """The status of a run whose ``with`` block was left by this."""
    if error is None:
        return "finished"
    if isinstance(error, SystemExit):
        return "failed" if code_of(error.code) else "finished"
    return "crashed"


def _reported() -> BaseException | None:
    """The uncaught exception that the interpreter last printed."""
    found = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return found if isinstance(found, BaseException) else None


def _outermost_frame() -> FrameType | None:
    main = threading.main_thread()
    # all threads' frames only where they must be: in an isolated subinterpreter Python gives those of others too, and crashes
    is_ours = threading.current_thread() is main
    frame: FrameType | None = sys._getframe() if is_ours else sys._current_frames().get(main.ident or 0)  # noqa: SLF001
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _was_left_by_exception(frame: FrameType) -> bool:
    """Whether the last instruction that the frame came to is no return."""
    running: FrameType | None = sys._getframe()  # noqa: SLF001
    while running is not None:
        if running is frame:
            return False
        running = running.f_back
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] not in _RETURNS


def _before_fork() -> None:
    # children of multiprocessing end without exit handlers, but run their own finalizers
    if "multiprocessing.util" in sys.modules and _watch is not None and not _watch.is_in_workers:
        # another thread may be loading it
        from multiprocessing import util

        _watch.is_in_workers = True
        util.register_after_fork(at_exit, _in_worker)


def _in_worker(_: object) -> None:
    from multiprocessing.process import current_process
    from multiprocessing.util import Finalize

    Finalize(None, _at_worker_exit, exitpriority=-100)
    process = current_process()
    run = process.run

    def watched() -> None:
        try:
            run()
        except BaseException as error:
            if _watch is not None:
                _watch.left = _left_by(error)
            raise

    process.run = watched  # type: ignore[method-assign]


def _at_worker_exit() -> None:
    _end(_watch.left if _watch is not None and _watch.left is not None else _worker_ending(sys.exc_info()[1]))


def _worker_ending(error: BaseException | None) -> Ending:
    """Of a target that was called before there was a session. Up to Python 3.12 finalizers run while what it raised goes by; later
    they find its exit code alone. ``error`` may also be one that the parent was handling when it forked."""
    left = error.__traceback__ if error is not None else None
    if error is not None and left is not None and left.tb_frame.f_code.co_name == "_bootstrap":
        return _left_by(error)
    code = _code_to_give()
    return _left_by(SystemExit(code)) if code else Ending("finished", None, 0)


def _left_by(error: BaseException) -> Ending:
    status = status_of(error)
    code = code_of(error.code) if isinstance(error, SystemExit) else 1
    return Ending(status, None if status == "finished" else told(error), code)


def _code_to_give() -> int:
    """What a forked worker is about to end with, where its target is over."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None and frame.f_code.co_name != "_bootstrap":
        if frame.f_globals.get("__name__", "").startswith("multiprocessing.popen_") and "code" in frame.f_locals:
            return code_of(frame.f_locals["code"])
        frame = frame.f_back
    return 0


def _finish_as_worker() -> None:
    from multiprocessing.process import parent_process

    if parent_process() is not None:
        _in_worker(None)
