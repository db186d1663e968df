"""The Debian packages that some tests need: installed where that is possible, named where it is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# Program → the package that brings it.
PROGRAMS = {
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "faketime": "faketime",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "nft": "nftables",
    "pg_lsclusters": "postgresql",
    "rsync": "rsync",
    "strace": "strace",
}
FULL_PROGRAMS = {
    "fiu-run": "fiu-utils",
    "fusermount3": "fuse3",
    "mkfs.xfs": "xfsprogs",
    "nbdfuse": "libnbd-bin",
    "nbdkit": "nbdkit",
    "systemd-nspawn": "systemd-container",
}
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def search_path() -> str:
    """PATH with the folders where Debian keeps a system's own programs, which a user's PATH leaves out."""
    folders = os.get_exec_path()
    return os.pathsep.join([*folders, *(folder for folder in _SBIN if folder not in folders)])


def missing(programs: dict[str, str]) -> dict[str, str]:
    """Those of `programs` that are not on this machine."""
    path = search_path()
    return {program: package for program, package in programs.items() if shutil.which(program, path=path) is None}


def _apt(*words: str) -> str | None:
    """None when apt-get succeeded, else its last words."""
    try:
        done = subprocess.run(
            ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.TimeoutExpired:
        return "timed out"
    if done.returncode == 0:
        return None
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"exit {done.returncode}"


def can_install() -> bool:
    """Whether this process may install Debian packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(names: list[str]) -> list[str]:
    """Install packages, each that can be had; what apt-get said of the others, one line each. Never raises."""
    print(f"installing {' '.join(names)}", file=sys.stderr, flush=True)
    told = []
    refused = _apt("update")
    if refused:
        told.append(f"apt-get update: {refused}")
    if _apt("install", "--no-install-recommends", *names) is not None:
        # One package that cannot be had must not keep the others out.
        for name in names:
            refused = _apt("install", "--no-install-recommends", name)
            if refused:
                told.append(f"apt-get install {name}: {refused}")
    return told


def install_missing(*, full: bool) -> list[str]:
    """Install what is missing if root and apt-get are there; what to tell the reader, one line each. Never raises."""
    programs = {**PROGRAMS, **(FULL_PROGRAMS if full else {})}
    absent = missing(programs)
    if not absent:
        return []
    if not can_install():
        return [f"not on this machine, and only root can install Debian packages: {', '.join(sorted(absent))}"]
    return install(sorted(set(absent.values())))
