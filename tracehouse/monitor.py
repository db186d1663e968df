"""The machine's load as metrics, every few seconds, from a thread of its own.

=============================================  ==========================================================================
``system/cpu.util_pct``                        0–100: of the cores that the process may use (affinity, control group)
``system/ram.used_pct``, ``.used_bytes``       of the memory limit where there is one, else of the machine
``system/disk.used_pct``, ``.used_bytes``      of the file system of the working directory
``system/net.bytes_sent``, ``.bytes_recv``     since boot, the loopback left out
``system/proc.cpu_pct``                        this process; 100 is one core
``system/proc.rss_bytes``, ``.threads``        this process
``system/gpu.<i>.util_pct``, ``.mem_used_pct``,  per GPU, as nvidia-smi tells
``.mem_used_mib``, ``.temp_c``, ``.power_w``
=============================================  ==========================================================================

What a platform does not tell is left out; other systems than Linux tell most of it through psutil, if it is installed.
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from tracehouse import late, machine, tools
from tracehouse.spool.flag import Flag
from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Any, Callable

    Sample = dict[str, float]

LEAST_INTERVAL = 0.1
_GIVE_UP_GPUS = 3


class State:
    """What a sample keeps for the next, which tells rates. ``root`` is where /proc and /sys are found."""

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self.gpu_failures = 0
        self._before: dict[str, tuple[float, float]] = {}

    def rate(self, name: str, used: float, total: float) -> float | None:
        """How much `used` grew by `total` since the last call; None the first time, and where nothing grew."""
        before = self._before.get(name)
        self._before[name] = (used, total)
        if before is None or total <= before[1] or used < before[0]:
            return None
        return (used - before[0]) / (total - before[1])


def sample(state: State) -> Sample:
    """One sample, keys as told above, all values floats. The first for a state has no rates, so no CPU figures."""
    found: dict[str, float | None] = {}
    parts = (_cpu, _ram, _net) if sys.platform.startswith("linux") else (_psutil,)
    for part in (*parts, _disk, _process, _gpus):
        found.update(_tried(part, state))
    return {f"system/{name}": float(value) for name, value in found.items() if value is not None}


def _tried(part: Callable[[State], dict[str, float | None]], state: State) -> dict[str, float | None]:
    try:
        return part(state)
    except Exception:  # noqa: BLE001 - what is not known is left out, whatever the reason
        say("debug", "%s is not known", part.__name__, exc_info=True)
        return {}


def _cpu(state: State) -> dict[str, float | None]:
    allowed = machine.cpus()
    limit = machine.cpu_limit(state.root)
    share = None
    if limit is not None and 0 < limit.value < len(allowed):
        seconds = machine.cpu_seconds(limit.directory)
        share = None if seconds is None else state.rate("cpu", seconds, monotonic() * limit.value)
    else:
        times = machine.cpu_times(allowed, state.root)
        share = None if times is None else state.rate("cpu", *times)
    return {"cpu.util_pct": None if share is None else min(100.0, 100 * share)}


def _ram(state: State) -> dict[str, float | None]:
    told = machine.memory(state.root)
    total = told.get("MemTotal")
    if not total:
        return {}
    used = total - told.get("MemAvailable", told.get("MemFree", 0))
    limit = machine.memory_limit(state.root)
    if limit is not None and 0 < limit.value < total:
        held = machine.memory_used(limit.directory)
        if held is not None:
            used, total = held, int(limit.value)
    return {"ram.used_pct": 100 * used / total, "ram.used_bytes": used}


def _net(state: State) -> dict[str, float | None]:
    told = machine.network(state.root)
    return {} if told is None else {"net.bytes_sent": told[0], "net.bytes_recv": told[1]}


def _disk(state: State) -> dict[str, float | None]:
    told = os.statvfs(".")
    used = (told.f_blocks - told.f_bfree) * told.f_frsize
    usable = used + told.f_bavail * told.f_frsize
    return {"disk.used_pct": 100 * used / usable if usable else None, "disk.used_bytes": used}


def _process(state: State) -> dict[str, float | None]:
    import threading

    times = os.times()
    share = state.rate("process", times.user + times.system, monotonic())
    return {
        "proc.cpu_pct": None if share is None else 100 * share,
        "proc.rss_bytes": machine.resident(state.root),
        "proc.threads": threading.active_count(),
    }


def _psutil(state: State) -> dict[str, float | None]:
    try:
        psutil = late.outside("psutil")
    except ImportError:
        return {}
    times, ram, net = psutil.cpu_times(), psutil.virtual_memory(), psutil.net_io_counters()
    share = state.rate("cpu", sum(times) - times.idle, sum(times))
    return {
        "cpu.util_pct": None if share is None else 100 * share,
        "ram.used_pct": ram.percent,
        "ram.used_bytes": ram.total - ram.available,
        "net.bytes_sent": net.bytes_sent,
        "net.bytes_recv": net.bytes_recv,
    }


def _gpus(state: State) -> dict[str, float | None]:
    if state.gpu_failures >= _GIVE_UP_GPUS:
        return {}
    cards = tools.gpus(tools.GPU_LOAD, timeout=5)
    state.gpu_failures = state.gpu_failures + 1 if cards is None else 0
    found: dict[str, float | None] = {}
    for card in cards or []:
        used, total = tools.number(card.get("memory.used")), tools.number(card.get("memory.total"))
        figures = {
            "util_pct": tools.number(card.get("utilization.gpu")),
            "mem_used_pct": 100 * used / total if used is not None and total else None,
            "mem_used_mib": used,
            "temp_c": tools.number(card.get("temperature.gpu")),
            "power_w": tools.number(card.get("power.draw")),
        }
        found.update({f"gpu.{card.get('index', '?')}.{name}": value for name, value in figures.items()})
    return found


class SystemMonitor:
    """Gives `emit` a sample soon after `start`, and then one every `interval` seconds, from a daemon thread.

    A forked child has no monitor until it starts one. What `emit` raises is told on the ``tracehouse`` logger.
    """

    def __init__(self, emit: Callable[[Sample], Any], interval: float = 15.0) -> None:
        self._emit = emit
        self._interval = max(LEAST_INTERVAL, float(interval))
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._stopping: Flag | None = None

    @property
    def is_running(self) -> bool:
        """In this process."""
        return self._thread is not None and self._pid == os.getpid() and self._thread.is_alive()

    def start(self) -> None:
        """Begin; nothing if it runs already."""
        import threading

        if self.is_running:
            return
        self._pid = os.getpid()
        self._stopping = Flag()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name="tracehouse-monitor", daemon=True
        )
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """End it, and wait that many seconds for a sample that is being taken."""
        if self._stopping is None or self._thread is None or self._pid != os.getpid():
            return
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self, stopping: Flag) -> None:
        state = State()
        # rates need a beginning
        _tried(_cpu if sys.platform.startswith("linux") else _psutil, state)
        _tried(_process, state)
        wait = min(1.0, self._interval)
        while not stopping.take(wait):
            began = monotonic()
            self._once(state, stopping)
            wait = max(0.0, self._interval - (monotonic() - began))

    def _once(self, state: State, stopping: Flag) -> None:
        found = sample(state)
        if stopping.is_set:
            return
        try:
            self._emit(found)
        except Exception:  # noqa: BLE001 - a thread's top: it must live on, and say so
            say("warning", "system metrics could not be recorded", exc_info=True)


__all__ = ["State", "SystemMonitor", "sample"]
