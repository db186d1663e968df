"""A network of a row's own, where the kernel loses packets, or takes so many of them and no more. Root's, under Linux."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable

from tortures.disks import need_root
from tortures.trial import Unavailable

_NEWNET = 0x40000000
_CHAIN = "inet torture line"


def need() -> None:
    """Unavailable unless there can be such a network here."""
    need_root()
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            raise Unavailable(f"needs {tool}")
    within(_find_out)


def within(work: Callable[[], None]) -> None:
    """In a thread of its own: a thread, with all that it begins, can leave the machine's network without the rest of its process."""
    failed: list[BaseException] = []

    def enter() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(_NEWNET) != 0:
                raise Unavailable(f"may not have a network of its own: {os.strerror(ctypes.get_errno())}")
            _begin()
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it was called from
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def lose(port: int, percent: int) -> None:
    """So many of the packets to and from a port: requests, and the acknowledgements and replies to them."""
    _both_ways(port, f"numgen random mod 100 < {percent} counter drop")


def slow(port: int) -> None:
    """128 kbit/s each way. Not tc's: that is a whole device's, and this one is everybody's way to the house."""
    _both_ways(port, "limit rate over 16 kbytes/second burst 4 kbytes counter drop")


def dropped() -> int:
    """How many packets were since it was last clear."""
    rules = json.loads(_do(f"nft -j list chain {_CHAIN}"))["nftables"]
    return sum(
        part["counter"]["packets"] for one in rules for part in one.get("rule", {}).get("expr", ()) if "counter" in part
    )


def clear() -> None:
    _do(f"nft flush chain {_CHAIN}")


def _begin() -> None:
    try:
        _do("ip link set lo up")
        # packets as on a real line: of 64 KiB each none would ever be taken by a slow one
        _do("ip link set lo mtu 1500 gso_max_segs 1")
        _do("nft add table inet torture")
        _do(f"nft add chain {_CHAIN} {{ type filter hook input priority 0 ; }}")
    except OSError as error:
        raise Unavailable(str(error)) from error


def _find_out() -> None:
    """Whether this kernel loses and slows packets as they are to be."""
    try:
        lose(1, 10)
        slow(1)
        clear()
    except OSError as error:
        raise Unavailable(str(error)) from error


def _both_ways(port: int, what: str) -> None:
    for way in ("dport", "sport"):
        _do(f"nft add rule {_CHAIN} tcp {way} {port} {what}")


def _do(words: str) -> str:
    done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{words}: {done.stderr.strip()}")
    return done.stdout
