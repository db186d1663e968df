"""Locks that no interrupt leaves held.

Python 3.9 lets one in between the end of a ``with lock`` block and the lock's release: the thread keeps the lock for ever, and every
other one that logs there hangs. From 3.10 on there is no such place.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    Method = TypeVar("Method", bound=Callable[..., Any])

if TYPE_CHECKING or sys.version_info >= (3, 10):

    def releasing(_: str) -> Callable[[Method], Method]:
        """For a method that takes this RLock, an attribute of its object (``a.b`` of one of those): where it did not have it when it
        began, it does not have it when it ends."""
        return lambda method: method

else:
    from operator import attrgetter

    def releasing(name):
        lock_of = attrgetter(name)

        def decorate(method):
            def called(self, *args, **named):
                lock = lock_of(self)
                is_ours = lock._is_owned()  # noqa: SLF001
                try:
                    return method(self, *args, **named)
                except BaseException:
                    while not is_ours and lock._is_owned():  # noqa: SLF001
                        lock.release()
                    raise

            return called

        return decorate
