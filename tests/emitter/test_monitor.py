"""Samples of the machine's load: the published keys, true figures, and a thread that disturbs nobody."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from tests.emitter.test_environment import path_dir, program
from tests.emitter.test_machine import GIB, write
from tests.support.lanes import needs_linux
from tests.support.waiting import wait_until
from tracehouse import monitor
from tracehouse.monitor import State, SystemMonitor, sample

__all__ = ["path_dir"]

ALWAYS = {
    "system/ram.used_pct",
    "system/ram.used_bytes",
    "system/disk.used_pct",
    "system/disk.used_bytes",
    "system/net.bytes_sent",
    "system/net.bytes_recv",
    "system/proc.rss_bytes",
    "system/proc.threads",
}
RATES = {"system/cpu.util_pct", "system/proc.cpu_pct"}


def burn() -> None:
    """Use a few ticks of a CPU."""
    until = os.times().user + 0.05
    while os.times().user < until:
        sum(range(10_000))


def test_a_second_sample_has_every_figure() -> None:
    needs_linux()
    state = State()
    first = sample(state)
    burn()
    second = sample(state)
    assert set(first) >= ALWAYS
    assert not RATES & set(first)
    assert set(second) >= ALWAYS | RATES
    assert all(type(value) is float for value in second.values())
    assert all(0 <= value <= 100 for key, value in second.items() if key.endswith("_pct") and "proc" not in key)
    assert second["system/proc.cpu_pct"] > 0


def proc(busy: int, idle: int) -> dict[str, str]:
    cpus = "".join(f"cpu{n} {busy} 0 0 {idle} 0 0 0 0 0 0\n" for n in range(os.cpu_count() or 1))
    return {
        "proc/stat": cpus,
        "proc/meminfo": f"MemTotal: {8 * GIB // 1024} kB\nMemAvailable: {6 * GIB // 1024} kB\n",
    }


def test_utilisation_is_what_was_used_since_the_last_sample(tmp_path: Path) -> None:
    needs_linux()
    state = State(write(tmp_path, proc(1000, 1000)))
    sample(state)
    write(tmp_path, proc(1025, 1075))
    told = sample(state)
    assert told["system/cpu.util_pct"] == 25.0
    assert told["system/ram.used_pct"] == 25.0
    # counters that go back, as after a checkpoint of the whole machine, tell nothing
    write(tmp_path, proc(5, 5))
    assert "system/cpu.util_pct" not in sample(state)


def test_limits_of_the_control_group_are_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_linux()
    group = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
    }
    state = State(write(tmp_path, {**proc(0, 1), **group, "sys/fs/cgroup/cpu.stat": "usage_usec 0\n"}))
    monkeypatch.setattr(monitor, "monotonic", lambda: 100.0)
    assert sample(state)["system/ram.used_pct"] == 75.0
    write(tmp_path, {"sys/fs/cgroup/cpu.stat": "usage_usec 1000000\n"})
    monkeypatch.setattr(monitor, "monotonic", lambda: 104.0)
    # one second of CPU in four, where half a core may be used
    assert sample(state)["system/cpu.util_pct"] == 50.0


def test_gpus_are_told_by_their_index(path_dir: Path) -> None:
    program(path_dir, "nvidia-smi", 'echo "0, 97, 40960, 81920, 61, 350.25"\necho "3, [N/A], 10, 100, 40, [N/A]"')
    told = sample(State())
    assert {key: value for key, value in told.items() if "gpu" in key} == {
        "system/gpu.0.util_pct": 97.0,
        "system/gpu.0.mem_used_pct": 50.0,
        "system/gpu.0.mem_used_mib": 40960.0,
        "system/gpu.0.temp_c": 61.0,
        "system/gpu.0.power_w": 350.25,
        "system/gpu.3.mem_used_pct": 10.0,
        "system/gpu.3.mem_used_mib": 10.0,
        "system/gpu.3.temp_c": 40.0,
    }


def test_where_there_is_no_gpu_it_is_not_asked_for_ever(path_dir: Path, tmp_path: Path) -> None:
    program(path_dir, "nvidia-smi", f"echo x >> {tmp_path}/asked; exit 9")
    state = State()
    for _ in range(10):
        sample(state)
    assert len((tmp_path / "asked").read_text().split()) == 3


def test_a_monitor_gives_samples_until_it_is_stopped() -> None:
    needs_linux()
    samples: list[monitor.Sample] = []
    watching = SystemMonitor(samples.append, interval=0.1)
    assert not watching.is_running
    watching.start()
    watching.start()
    assert [thread.name for thread in threading.enumerate()].count("tracehouse-monitor") == 1
    wait_until(lambda: len(samples) >= 3)
    watching.stop()
    assert not watching.is_running
    seen = len(samples)
    assert ALWAYS | {"system/cpu.util_pct"} <= set().union(*samples)
    watching.stop()
    watching.start()
    wait_until(lambda: len(samples) > seen)
    watching.stop()


def test_a_long_interval_does_not_hold_up_the_end() -> None:
    watching = SystemMonitor(lambda _: None, interval=10_000)
    watching.start()
    watching.stop(timeout=60)
    assert not watching.is_running


def test_what_the_receiver_raises_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def emit(_: monitor.Sample) -> None:
        calls.append(1)
        raise OSError("no space")

    watching = SystemMonitor(emit, interval=0.1)
    with caplog.at_level(logging.WARNING, "tracehouse"):
        watching.start()
        wait_until(lambda: len(calls) >= 2)
        watching.stop()
    assert "system metrics could not be recorded" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_e4_a_child_has_no_monitor_and_leaves_its_parents_alone() -> None:
    samples: list[monitor.Sample] = []
    watching = SystemMonitor(samples.append, interval=0.1)
    watching.start()
    child = os.fork()
    if child == 0:
        was_running = watching.is_running
        watching.stop()
        watching.start()
        restarted = watching.is_running
        os._exit(0 if restarted and not was_running else 1)
    assert os.waitpid(child, 0)[1] == 0
    seen = len(samples)
    wait_until(lambda: len(samples) > seen + 1)
    watching.stop()
