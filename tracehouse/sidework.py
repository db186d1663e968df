"""What a run does beside the job: the environment told once, the machine sampled now and then."""

from __future__ import annotations

import threading

from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable

WAIT_SECONDS = 10.0


class SideWork:
    """``add_environment`` gets the snapshot; ``add_sample`` the number of each sample, and its figures."""

    def __init__(
        self, add_environment: Callable[[Any], None], add_sample: Callable[[int, Mapping[str, Any]], None]
    ) -> None:
        self._add_environment = add_environment
        self._add_sample = add_sample
        self._samples = 0
        self._thread: threading.Thread | None = None
        self._monitor: Any = None

    def start(self, *, environment: bool, interval: float | None) -> None:
        """In threads of their own; ``interval`` in seconds, None for no samples."""
        if environment:
            # no daemon: a job that ends at once waits for it
            self._thread = threading.Thread(target=self._capture, name="tracehouse-environment")
            self._begin(self._thread.start, "environment")
        if interval is not None:
            self._begin(lambda: self._watch(interval), "system metrics")

    def wait(self) -> None:
        """Until the environment is told, or that takes too long."""
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(WAIT_SECONDS)

    def stop(self) -> None:
        """No samples from now on."""
        if self._monitor is not None:
            self._monitor.stop()

    def _watch(self, interval: float) -> None:
        from tracehouse.monitor import SystemMonitor

        self._monitor = SystemMonitor(self._sample, interval)
        self._monitor.start()

    def _sample(self, values: Mapping[str, Any]) -> None:
        sample, self._samples = self._samples, self._samples + 1
        self._add_sample(sample, values)

    def _capture(self) -> None:
        from tracehouse import environment

        try:
            self._add_environment(environment.capture())
        except Exception:  # noqa: BLE001 - a thread's top: the job must not suffer for it
            say("warning", "the environment could not be recorded", exc_info=True)

    def _begin(self, start: Callable[[], object], what: str) -> None:
        try:
            start()
        except RuntimeError as error:
            say("warning", "%s will not be recorded: %s", what, error)
