"""time.sleep as Python 3.10 had it: libfaketime answers EINVAL to the absolute monotonic sleep of later ones."""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
