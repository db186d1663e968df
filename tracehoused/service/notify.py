"""Telling systemd how the service is (sd_notify): a line of text to a datagram socket. Without systemd nothing happens."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

__all__ = ["Notifier"]


class Notifier:
    """``NOTIFY_SOCKET`` of the environment; ``watchdog`` is the seconds within which a sign of life is wanted, or None."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        told, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        ours = told.isdigit() and pid in ("", str(os.getpid()))
        self.watchdog = int(told) / 1_000_000 if ours and self._address else None

    @property
    def is_managed(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Such as ``READY=1``, ``STATUS=…``, ``WATCHDOG=1``."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as out:
                out.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass  # the manager is restarting: the next line reaches it
