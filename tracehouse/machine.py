"""What Linux says of the machine and of this process's share in it. Each function gives None or {} where nothing is known.

``root`` is where /proc and /sys are found. Limits are those of the control groups (versions 1 and 2) that the process is in, and
of all groups around them.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple

    class Limit(NamedTuple):
        """How much a control group may have (bytes or cores), and the directory that tells of it."""

        value: float
        directory: str

else:
    from collections import namedtuple

    Limit = namedtuple("Limit", "value directory")

# version 1 writes "no limit" as the greatest number of pages
_NO_LIMIT = 2**60


def read(path: str) -> str:
    """A small file's text, "" where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def cpus() -> set[int]:
    """The numbers of the CPUs that this process may run on."""
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):
        return set(range(os.cpu_count() or 1))


def cpu_model(root: str = "/") -> str | None:
    """As /proc/cpuinfo names it."""
    for line in read(os.path.join(root, "proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model", "Processor"):
            return value.strip()
    return None


def cpu_times(allowed: set[int], root: str = "/") -> tuple[int, int] | None:
    """(busy, all) ticks of the allowed CPUs since boot."""
    busy = total = 0
    for line in read(os.path.join(root, "proc/stat")).splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed:
            # the ticks of guests, behind the eighth, are counted in the first two already
            ticks = [int(field) for field in fields[:8]]
            total += sum(ticks)
            busy += sum(ticks) - sum(ticks[3:5])
    return (busy, total) if total else None


def memory(root: str = "/") -> dict[str, int]:
    """/proc/meminfo in bytes."""
    out = {}
    for line in read(os.path.join(root, "proc/meminfo")).splitlines():
        name, _, value = line.partition(":")
        number = value.split()
        if number and number[0].isdigit():
            out[name] = int(number[0]) * 1024
    return out


def network(root: str = "/") -> tuple[int, int] | None:
    """Bytes (sent, received) since boot over all interfaces but the loopback."""
    sent = received = 0
    lines = read(os.path.join(root, "proc/net/dev")).splitlines()
    for line in lines[2:]:
        name, _, fields = line.rpartition(":")
        if name.strip() != "lo" and len(fields.split()) >= 9:
            numbers = fields.split()
            received += int(numbers[0])
            sent += int(numbers[8])
    return (sent, received) if lines else None


def resident(root: str = "/") -> int | None:
    """Bytes of memory that this process holds."""
    fields = read(os.path.join(root, "proc/self/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None


def cpu_limit(root: str = "/") -> Limit | None:
    """Cores, the least that any of the groups allows."""
    return _least(_cpu_limits(root))


def memory_limit(root: str = "/") -> Limit | None:
    """Bytes, the least that any of the groups allows."""
    return _least(_memory_limits(root))


def cpu_seconds(directory: str) -> float | None:
    """CPU time that the group of a `cpu_limit` has used."""
    told = _table(os.path.join(directory, "cpu.stat")).get("usage_usec")
    if told is not None:
        return told / 1e6
    # version 1 counts in a hierarchy of its own, which is often the same directory by another name
    for place in (directory, directory.replace("/cgroup/cpu", "/cgroup/cpuacct", 1)):
        nanoseconds = read(os.path.join(place, "cpuacct.usage")).strip()
        if nanoseconds.isdigit():
            return int(nanoseconds) / 1e9
    return None


def memory_used(directory: str) -> int | None:
    """Bytes that the group of a `memory_limit` holds, what the kernel could take back from files at once left out."""
    for name in ("memory.current", "memory.usage_in_bytes"):
        held = read(os.path.join(directory, name)).strip()
        if held.isdigit():
            stat = _table(os.path.join(directory, "memory.stat"))
            return max(0, int(held) - stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return None


def _least(limits: Iterator[Limit]) -> Limit | None:
    return min(limits, default=None, key=lambda limit: limit.value)


def _cpu_limits(root: str) -> Iterator[Limit]:
    for directory in _groups("cpu", root):
        quota, _, period = read(os.path.join(directory, "cpu.max")).strip().partition(" ")
        if not quota:
            quota = read(os.path.join(directory, "cpu.cfs_quota_us")).strip()
            period = read(os.path.join(directory, "cpu.cfs_period_us")).strip()
        if quota.isdigit() and period.isdigit() and int(period):
            yield Limit(int(quota) / int(period), directory)


def _memory_limits(root: str) -> Iterator[Limit]:
    for directory in _groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = read(os.path.join(directory, name)).strip()
            if limit.isdigit() and int(limit) < _NO_LIMIT:
                yield Limit(int(limit), directory)


def _groups(controller: str, root: str) -> Iterator[str]:
    """The directories of this process's control group and of those around it, as far as they can be seen from here."""
    top = os.path.join(root, "sys/fs/cgroup")
    for line in read(os.path.join(root, "proc/self/cgroup")).splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names:
            mount = os.path.join(top, controller)
        else:
            mount = os.path.join(top, "unified") if os.path.isdir(os.path.join(top, "unified")) else top
        if (number == "0" and not names) or controller in names.split(","):
            yield from _upwards(mount, [part for part in path.split("/") if part not in ("", "..")])


def _upwards(mount: str, parts: list[str]) -> Iterator[str]:
    for length in range(len(parts), -1, -1):
        directory = os.path.join(mount, *parts[:length])
        if os.path.isdir(directory):
            yield directory


def _table(path: str) -> dict[str, int]:
    pairs = [line.split() for line in read(path).splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
