"""Limits and figures as Linux tells them, from directories like those of real machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.lanes import needs_linux
from tracehouse import machine

GIB = 1024**3


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_version_2_takes_the_least_of_all_groups_around(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/slurm/job_1/step_0\n",
            "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
            "sys/fs/cgroup/slurm/cpu.max": "max 100000\n",
            "sys/fs/cgroup/slurm/job_1/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/slurm/job_1/cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
            "sys/fs/cgroup/slurm/job_1/step_0/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/slurm/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/slurm/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/slurm/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            "sys/fs/cgroup/slurm/job_1/memory.max": "max\n",
        },
    )
    cores, memory = machine.cpu_limit(root), machine.memory_limit(root)
    assert cores is not None
    assert memory is not None
    assert (cores.value, cores.directory) == (2.5, str(tmp_path / "sys/fs/cgroup/slurm/job_1"))
    assert (memory.value, memory.directory) == (8 * GIB, str(tmp_path / "sys/fs/cgroup/slurm"))
    assert machine.cpu_seconds(cores.directory) == 1.5
    assert machine.memory_used(memory.directory) == 2 * GIB


def test_version_1_is_read_too_also_where_the_path_is_that_of_the_host(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{4 * GIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpuacct/cpuacct.usage": "2500000000\n",
        },
    )
    cores, memory = machine.cpu_limit(root), machine.memory_limit(root)
    assert cores is not None
    assert memory is not None
    assert (cores.value, machine.cpu_seconds(cores.directory)) == (1.5, 2.5)
    assert (memory.value, machine.memory_used(memory.directory)) == (4 * GIB, GIB)


def test_no_limit_is_none(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/\n4:cpu:/\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert machine.cpu_limit(root) is None
    assert machine.memory_limit(root) is None


def test_a_system_without_proc_tells_nothing(tmp_path: Path) -> None:
    root = str(tmp_path)
    told = (machine.cpu_limit(root), machine.memory_limit(root), machine.cpu_times({0}, root), machine.cpu_model(root))
    assert told == (None,) * 4
    assert machine.network(root) is None
    assert machine.resident(root) is None
    assert machine.memory(root) == {}


def test_only_the_allowed_cpus_count_and_guests_only_once(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"proc/stat": "cpu 9 9 9 9\ncpu0 10 0 5 80 5 0 0 0 3 0\ncpu1 7 0 0 0 0 0 0 0 0 0\nintr 1 2\n"}
    )
    assert machine.cpu_times({0}, root) == (15, 100)
    assert machine.cpu_times({0, 1}, root) == (22, 107)


def test_the_loopback_is_no_network(tmp_path: Path) -> None:
    lines = [
        "Inter-| Receive",
        " face |bytes",
        "    lo: 9 0 0 0 0 0 0 0 9 0",
        "  eth0: 100 0 0 0 0 0 0 0 7 0",
        " eth0:1:5 0 0 0 0 0 0 0 3 0",
    ]
    assert machine.network(write(tmp_path, {"proc/net/dev": "\n".join(lines)})) == (10, 105)


def test_this_machine_tells_itself() -> None:
    needs_linux()
    times = machine.cpu_times(machine.cpus())
    assert times is not None
    assert 0 < times[0] < times[1]
    memory, resident = machine.memory(), machine.resident()
    assert memory["MemTotal"] > memory["MemAvailable"] > 0
    assert resident is not None
    assert 1_000_000 < resident < memory["MemTotal"]
    assert machine.network() is not None
    assert machine.cpus() <= set(range(os.cpu_count() or 1))


@pytest.mark.parametrize("text", ["", "garbage", "cpu0\n", "cpu0 0 0 0 0\n"])
def test_an_unknown_form_of_proc_stat_is_unknown(tmp_path: Path, text: str) -> None:
    assert machine.cpu_times({0}, write(tmp_path, {"proc/stat": text})) is None
