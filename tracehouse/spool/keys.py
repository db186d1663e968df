"""The user's own file of API keys, and what an api_base is. No key ever stands in a spool: this is where they are kept.

``<config dir>/credentials.json``, 0600 in a 0700 directory, replaced whole under a lock::

    {"format": 1, "keys": [{"profile": "default", "api_base": "https://tracehouse.ai", "key": "ba_…",
                            "fingerprints": ["<of the key>", "<of the key before it>", …],
                            "formerly": ["<other names of this profile>"], "added_at": "…Z", "source": "login" | "code"}]}

A profile is an identity at one api_base; it keeps its name, and with it what was acknowledged to it, when its key changes.
One key at one api_base is in one profile only. A key given in code gets the profile ``key-<fingerprint>``, until a login
with the same key gives it a name.
"""

from __future__ import annotations

import os
from collections import namedtuple

from tracehouse.exceptions import ArgumentError, TracehouseError
from tracehouse.spool import durable
from tracehouse.spool.layout import fingerprint
from tracehouse.spool.places import default_config_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NamedTuple

    class _Fields(NamedTuple):
        profile: str
        api_base: str
        key: str
        fingerprints: tuple[str, ...]
        added_at: str
        source: str
        formerly: tuple[str, ...]

else:
    _Fields = namedtuple("_Fields", "profile api_base key fingerprints added_at source formerly")

__all__ = [
    "DEFAULT_API_BASE",
    "DEFAULT_PROFILE",
    "KeyFileError",
    "StoredKey",
    "check_key",
    "credentials_path",
    "default_config_dir",
    "is_loopback",
    "load",
    "normalise_api_base",
    "remove",
    "save_key",
]

DEFAULT_API_BASE = "https://tracehouse.ai"
DEFAULT_PROFILE = "default"
FORMAT = 1
_FILE = "credentials.json"
_LOCK = "credentials.lock"
_LARGEST = 1024 * 1024


class KeyFileError(TracehouseError, OSError):
    """The credential file at ``path`` cannot be used; it is left as it is."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot use {path}: {why}")
        self.path = path

    def __str__(self) -> str:
        return str(self.args[0])


class StoredKey(_Fields):
    """One entry. ``fingerprints``: of the key itself, then of those it replaced, newest first. Its repr hides the key."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"StoredKey(profile={self.profile!r}, api_base={self.api_base!r}, fingerprint={self.fingerprints[0]!r})"


def credentials_path(config_dir: str | None = None) -> str:
    """The file's path; it need not exist."""
    return os.path.join(config_dir or default_config_dir(), _FILE)


def check_key(key: str) -> str:
    """The key, without blanks around it. ArgumentError when it cannot be one."""
    key = key.strip()
    if not key.startswith("ba_"):
        raise ArgumentError("api_key should start with 'ba_' — did you paste a session token by mistake?")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ArgumentError(
            "api_key has blanks or characters outside ASCII in it — was something pasted along with it?"
        )
    return key


def load(config_dir: str | None = None) -> list[StoredKey]:
    """All entries, in the order they were added. KeyFileError when there is a file that cannot be used."""
    path = credentials_path(config_dir)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KeyFileError(path, error.strerror or "it cannot be opened") from error
    try:
        _check_private(path, fd)
        text = os.read(fd, _LARGEST + 1)
    except OSError as error:
        raise (
            error if isinstance(error, KeyFileError) else KeyFileError(path, error.strerror or "unreadable")
        ) from error
    finally:
        os.close(fd)
    return _parse(path, text)


def _check_private(path: str, fd: int) -> None:
    from stat import S_ISREG

    found = os.fstat(fd)
    if not S_ISREG(found.st_mode):
        raise KeyFileError(path, "it is not a regular file")
    if found.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(path, "it belongs to another user")
    if found.st_size > _LARGEST:
        raise KeyFileError(path, f"it is larger than {_LARGEST} bytes")
    if found.st_mode & 0o077 and found.st_uid == os.geteuid():
        os.fchmod(fd, durable.FILE_MODE)


def _parse(path: str, text: bytes) -> list[StoredKey]:
    import json

    try:
        found = json.loads(text)
        if found["format"] > FORMAT:
            raise KeyFileError(path, f"format {found['format']} is newer than {FORMAT}; upgrade tracehouse-sdk")
        return [_entry(raw) for raw in found["keys"]]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"it is damaged ({type(error).__name__}: {error}); move it away and log in again"
        raise KeyFileError(path, why) from None


def _entry(raw: dict[str, Any]) -> StoredKey:
    texts = [raw[name] for name in ("profile", "api_base", "key", "added_at", "source")]
    lists = [tuple(raw["fingerprints"]), tuple(raw.get("formerly", ()))]
    if not all(isinstance(text, str) for text in (*texts, *lists[0], *lists[1])) or not lists[0]:
        raise ValueError("an entry is not as it should be")
    profile, api_base, key, added_at, source = texts
    return StoredKey(profile, api_base, key, lists[0], added_at, source, lists[1])


def save_key(
    key: str,
    api_base: str,
    profile: str | None = None,
    *,
    source: str = "code",
    config_dir: str | None = None,
) -> str:
    """Keep a key for an api_base; returns the file's path.

    Without ``profile`` a key that is there already, or was replaced by a later one of its profile, changes nothing. With it
    the key becomes that profile's, whose older keys are remembered by fingerprint.
    ArgumentError for a key or api_base that cannot be one, or a key that another named profile has there; OSError
    (KeyFileError) when it cannot be kept.
    """
    key, api_base = check_key(key), normalise_api_base(api_base)
    path = credentials_path(config_dir)
    if profile is None and _knows(load(config_dir), key, api_base):
        return path
    with _Locked(path) as change:
        entries = load(config_dir)
        if profile is None and _knows(entries, key, api_base):
            return path
        change(_with_key(entries, key, api_base, profile, source))
    return path


def _knows(entries: list[StoredKey], key: str, api_base: str) -> bool:
    mark = fingerprint(key)
    return any(entry.api_base == api_base and mark in entry.fingerprints for entry in entries)


def _with_key(
    entries: list[StoredKey], key: str, api_base: str, profile: str | None, source: str
) -> Iterator[StoredKey]:
    mark = fingerprint(key)
    name = profile or f"key-{mark}"
    same_key = next((e for e in entries if e.api_base == api_base and e.key == key and e.profile != name), None)
    if same_key is not None and same_key.profile != f"key-{mark}":
        told = f"this key is kept as profile {same_key.profile!r} for {api_base}; remove that one first"
        raise ArgumentError(told)
    old = next((e for e in entries if e.api_base == api_base and e.profile == name), None)
    taken = [e for e in (old, same_key) if e is not None]
    marks = [mark, *(m for e in taken for m in e.fingerprints)]
    names = [n for e in taken for n in (*e.formerly, *((e.profile,) if e.profile != name else ()))]
    new = StoredKey(name, api_base, key, tuple(dict.fromkeys(marks)), _now(), source, tuple(dict.fromkeys(names)))
    yield from (e for e in entries if e not in taken)
    yield new


def remove(
    profile: str | None = None, api_base: str | None = None, *, config_dir: str | None = None
) -> list[StoredKey]:
    """Forget the keys of a profile, of an api_base, of both, or (neither given) all; returns what was forgotten."""
    wanted = None if api_base is None else normalise_api_base(api_base)
    path = credentials_path(config_dir)
    if not os.path.exists(path):
        return []
    with _Locked(path) as change:
        entries = load(config_dir)
        gone = [e for e in entries if profile in (None, e.profile) and wanted in (None, e.api_base)]
        if gone:
            change(e for e in entries if e not in gone)
    return gone


class _Locked:
    """The file under its lock; entering gives the function that replaces its entries."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> Callable[[Iterator[StoredKey]], None]:
        from fcntl import LOCK_EX, flock

        directory = os.path.dirname(self._path)
        durable.private_dir(directory)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(os.path.join(directory, _LOCK), flags, durable.FILE_MODE)
        flock(self._fd, LOCK_EX)
        return self._write

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def _write(self, entries: Iterator[StoredKey]) -> None:
        import json

        text = json.dumps({"format": FORMAT, "keys": [entry._asdict() for entry in entries]}, indent=1)
        durable.replace(self._path, text.encode(), os.urandom(8).hex())


def _now() -> str:
    from time import gmtime, strftime

    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())


def normalise_api_base(url: str) -> str:
    """``scheme://host[:port][/path]``: scheme and host in lower case, no usual port, no ``/`` at the end.

    ArgumentError, naming the value, for anything else.
    """
    text = url.strip()
    scheme, found, rest = text.partition("://")
    scheme = scheme.lower()
    if not found or scheme not in ("http", "https"):
        meant = "://" + (rest or text)
        meant = ("http" if is_loopback(meant) else "https") + meant
        raise ArgumentError(f"api_base must begin with http:// or https://, got {url!r}; did you mean {meant!r}?")
    authority, slash, path = rest.partition("/")
    host, port = _split_port(authority)
    wrong = ""
    if "@" in authority:
        raise ArgumentError("api_base must not hold a user name or password; keys are given apart from it")
    if not host:
        wrong = "has no host"
    elif port and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        wrong = "has a port that is no number from 1 to 65535"
    elif any(c in text for c in "?#\\") or not text.isprintable() or " " in text:
        wrong = "has characters that do not belong there"
    if wrong:
        raise ArgumentError(f"api_base {wrong}: {url!r}; it should look like 'https://tracehouse.ai'")
    usual = {"http": "80", "https": "443"}[scheme]
    return f"{scheme}://{host.lower()}{f':{int(port)}' if port not in ('', usual) else ''}{slash}{path}".rstrip("/")


def _split_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, _, port = authority.rpartition("]")
        return (host + "]", port[1:]) if host else ("", "")
    host, colon, port = authority.rpartition(":")
    return (host, port) if colon else (authority, "")


def is_loopback(url: str) -> bool:
    """Whether an api_base is on this machine by its name or address, so that nothing sent there goes over a wire."""
    authority = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    host = _split_port(authority)[0].lower()
    if host in ("localhost", "[::1]"):
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(p.isascii() and p.isdigit() and len(p) < 4 for p in parts)
