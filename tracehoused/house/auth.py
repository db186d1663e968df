"""Who may do what: keys, anonymous tokens, one-time sign-in links and browser sessions.

Secrets are compared and stored by their SHA-256; only the house's own key lies, 0600, in `house.key` of the data
directory, where this machine's command line finds it. Scopes: `write` (reads too), `read`, `claim`, `browser`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from tracehouse.spool import durable
from tracehoused.house.store.once import named
from tracehoused.house.store.schema import keys
from tracehoused.house.store.store import Store

OWNER = "owner"
KEY_FILE = "house.key"
_KEY = re.compile(r"ba_[A-Za-z0-9_-]{32,}")
_REMEMBERED_S = 5.0
_CODE = "code"
_CODE_US = 7 * 24 * 3600 * 1_000_000
_BROWSER_US = 30 * 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Principal:
    identity: str
    scope: str

    @property
    def owner(self) -> bool:
        return self.identity == OWNER


@dataclass(frozen=True)
class AnonymousSession:
    token: str
    read_token: str
    claim_token: str


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class KeyFileError(Exception):
    """The key file holds no key."""


def own_key(data: Path) -> tuple[str, bool]:
    """The house's key and whether it was made now; made at the first start, in a file only its owner can read.

    Raises KeyFileError where the file holds something else: an empty key would let anybody in.
    """
    path = data / KEY_FILE
    made = f"ba_{secrets.token_urlsafe(32)}"
    is_new = not path.exists() and durable.publish_once(
        str(path), f"{made}\n".encode("ascii"), secrets.token_hex(8), durable=True
    )
    if is_new:
        durable.sync_dir(str(data))
    key = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _KEY.fullmatch(key):
        raise KeyFileError(f"{path} does not hold a key (ba_…); remove it, and the next start makes a new one")
    return key, is_new


class Auth:
    """Looks secrets up; what was found is remembered for seconds, so that a revoked key ends soon in every process."""

    def __init__(self, store: Store, own_key: str) -> None:
        self._store = store
        self._own = digest(own_key)
        self._known: dict[str, tuple[Principal, int | None, float]] = {}
        self._codes: list[str] = []
        self.cookie = f"house_{store.house_id}"

    def principal(self, secret: str) -> Principal | None:
        """Whom this key, token or browser session stands for; None if it is unknown or no longer valid."""
        asked = digest(secret)
        if hmac.compare_digest(asked, self._own):
            return Principal(OWNER, "write")
        found = self._known.get(asked)
        if found is None or time.monotonic() - found[2] > _REMEMBERED_S:
            found = self._look_up(asked)
        if found is None or (found[1] is not None and found[1] < self._store.now_us()):
            return None
        return found[0]

    def remembered(self, secret: str) -> Principal | None:
        """Like `principal`, of what needs no look at the database."""
        asked = digest(secret)
        found = self._known.get(asked)
        if hmac.compare_digest(asked, self._own) or (
            found is not None and time.monotonic() - found[2] <= _REMEMBERED_S
        ):
            return self.principal(secret)
        return None

    def _look_up(self, asked: str) -> tuple[Principal, int | None, float] | None:
        query = select(keys).where(keys.c.digest == asked, keys.c.revoked_us.is_(None), keys.c.scope != _CODE)
        row = self._store.read(lambda connection: connection.execute(query).first())
        if row is None:
            self._known.pop(asked, None)
            return None
        found = Principal(row.identity, row.scope), row.expires_us, time.monotonic()
        self._known[asked] = found
        return found

    def new_code(self) -> str:
        """A code for one sign-in, in whichever process of this house; good for a week, or until this process ends."""
        code = secrets.token_urlsafe(24)
        self._add([(code, OWNER, _CODE)], self._store.now_us() + _CODE_US)
        self._codes.append(digest(code))
        return code

    def use_code(self, code: str) -> bool:
        """Whether it was a code that is good; it no longer is."""
        this = keys.c.digest == digest(code), keys.c.scope == _CODE, keys.c.expires_us >= self._store.now_us()
        if self._store.read(lambda connection: connection.execute(select(keys.c.digest).where(*this)).first()) is None:
            return False
        return self._store.write(
            lambda connection: connection.execute(keys.delete().where(*this)).rowcount == 1
        ).result()

    def forget_codes(self, *, everyones: bool = False) -> None:
        """At the end: links that this process made open nothing any more; or those of every process."""
        these = keys.c.scope == _CODE if everyones else (keys.c.scope == _CODE) & keys.c.digest.in_(self._codes)
        self._store.write(lambda connection: connection.execute(keys.delete().where(these))).result()

    def share_own_key(self, label: str, data: Path) -> None:
        """Let every house on this database take the key of this one, and none that was this one's before. Which those were
        lies, by their SHA-256, in the directory `data`."""
        shared = data / f"{KEY_FILE}.shared-{self._store.house_id}"
        earlier = shared.read_text(encoding="ascii").split() if shared.exists() else []
        if self._own not in earlier:
            lines = "".join(f"{one}\n" for one in (*earlier, self._own))
            durable.replace(str(shared), lines.encode("ascii"), secrets.token_hex(8))
        now_us = self._store.now_us()
        row = {"identity": OWNER, "scope": "write", "label": label, "created_us": now_us}
        replaced = keys.c.digest.in_(earlier), keys.c.digest != self._own, keys.c.revoked_us.is_(None)

        def change(connection: Connection) -> None:
            connection.execute(update(keys).where(*replaced).values(revoked_us=now_us))
            # one that was put back as it was before is revoked there
            own = update(keys).where(keys.c.digest == self._own).values(revoked_us=None)
            if connection.execute(own).rowcount == 0:
                connection.execute(insert(keys).values(**row, digest=self._own))

        self._store.write(change, (named("key", self._own),)).result()

    def new_browser(self) -> tuple[str, int]:
        """A session for a browser of the owner's: (secret, seconds it lasts)."""
        secret = secrets.token_urlsafe(32)
        self._add([(secret, OWNER, "browser")], self._store.now_us() + _BROWSER_US)
        return secret, _BROWSER_US // 1_000_000

    def end_browser(self, secret: str) -> None:
        asked = digest(secret)
        gone = keys.delete().where(keys.c.digest == asked, keys.c.scope == "browser")
        self._store.write(lambda connection: connection.execute(gone)).result()
        self._known.pop(asked, None)

    def new_anonymous(self) -> AnonymousSession:
        identity = f"anon-{secrets.token_hex(12)}"
        made = AnonymousSession(
            f"anon_{secrets.token_urlsafe(32)}", f"anon_{secrets.token_urlsafe(32)}", secrets.token_urlsafe(32)
        )
        scopes = ((made.token, "write"), (made.read_token, "read"), (made.claim_token, "claim"))
        self._add([(secret, identity, scope) for secret, scope in scopes], None)
        return made

    def new_key(self, label: str, scope: str) -> str:
        """A key of the owner's, to write or only to read; it is told once, here."""
        secret = f"ba_{secrets.token_urlsafe(32)}"
        self._add([(secret, OWNER, scope)], None, label)
        return secret

    def keys(self) -> list[Row[Any]]:
        """Keys and anonymous tokens that are not revoked, newest first, without this house's own."""
        others = keys.c.scope.in_(("write", "read")), keys.c.digest != self._own
        query = select(keys).where(keys.c.revoked_us.is_(None), *others)
        ordered = query.order_by(keys.c.created_us.desc()).limit(1000)
        return self._store.read(lambda connection: list(connection.execute(ordered)))

    def revoke(self, key: str) -> None:
        """`key`: its digest. The house's own key cannot be revoked; its file can be replaced."""
        ended = update(keys).where(
            keys.c.digest == key, keys.c.digest != self._own, keys.c.scope.in_(("write", "read"))
        )
        now_us = self._store.now_us()
        self._store.write(lambda connection: connection.execute(ended.values(revoked_us=now_us))).result()
        self._known.pop(key, None)

    def _add(self, secrets_: list[tuple[str, str, str]], expires_us: int | None, label: str = "") -> None:
        now_us = self._store.now_us()
        rows = [
            {
                "digest": digest(secret),
                "identity": identity,
                "scope": scope,
                "label": label,
                "created_us": now_us,
                "expires_us": expires_us,
            }
            for secret, identity, scope in secrets_
        ]

        def change(connection: Connection) -> None:
            connection.execute(insert(keys), rows)

        self._store.write(change).result()
