"""``@traced``: a function whose calls are spans of the default trace."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, TypeVar, overload

from tracehouse import defaults
from tracehouse.exceptions import NotActiveError
from tracehouse.spans import OpenSpan, check_kind

F = TypeVar("F", bound=Callable[..., Any])


@overload
def traced(function: F) -> F: ...
@overload
def traced(*, kind: str = ..., name: str | None = ..., capture: bool = ...) -> Callable[[F], F]: ...
def traced(function: Any = None, *, kind: str = "tool_use", name: str | None = None, capture: bool = True) -> Any:
    """Record each call as a span of the default trace: its time, its nesting, its failure.

    With ``capture`` the arguments become ``tool_input`` and the result ``result_text``. For plain and async functions and
    generators; without a default trace the function is just called. ArgumentError for an unknown kind.

    >>> @cm.traced
    ... def add(a, b):
    ...     return a + b
    >>> add(1, 2)
    3
    """
    check_kind(kind)

    def decorate(function: Any) -> Any:
        label = name or str(getattr(function, "__qualname__", repr(function)))
        return _wrapped(function, lambda args, kwargs: _begin(function, kind, label, capture, args, kwargs), capture)

    return decorate if function is None else decorate(function)


def _wrapped(function: Any, begin: Callable[[Any, Any], OpenSpan | None], capture: bool) -> Any:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            span = begin(args, kwargs)
            if span is None:
                return await function(*args, **kwargs)
            with span:
                return _result(span, await function(*args, **kwargs), capture)

        return run_async
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def iterate_async(*args: Any, **kwargs: Any) -> Any:
            span = begin(args, kwargs)
            if span is None:
                async for item in function(*args, **kwargs):
                    yield item
                return
            with span:
                async for item in function(*args, **kwargs):
                    yield item

        return iterate_async
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def iterate(*args: Any, **kwargs: Any) -> Any:
            span = begin(args, kwargs)
            if span is None:
                return (yield from function(*args, **kwargs))
            with span:
                return (yield from function(*args, **kwargs))

        return iterate

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        span = begin(args, kwargs)
        if span is None:
            return function(*args, **kwargs)
        with span:
            return _result(span, function(*args, **kwargs), capture)

    return run


def _begin(function: Any, kind: str, name: str, capture: bool, args: Any, kwargs: Any) -> OpenSpan | None:
    try:
        trace = defaults.current()
    except NotActiveError:
        return None
    return trace.span(kind, name, input=_arguments(function, args, kwargs) if capture else None)


def _arguments(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    try:
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return {"args": list(args), **kwargs}
    return {name: value for name, value in bound.items() if name not in ("self", "cls")}


def _result(span: OpenSpan, result: Any, capture: bool) -> Any:
    if capture and result is not None:
        span.attributes["result_text"] = result
    return result
