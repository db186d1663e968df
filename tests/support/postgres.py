"""A PostgreSQL of the tests' own: a cluster in a temporary directory, listening on a socket there."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.lanes import needs_module, require


class Postgres:
    """`url`: the address of a new, empty database."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not below pytest's directories: the server's user could not enter them, and a socket's path must be short.
        self._home = Path(tempfile.mkdtemp(prefix="pg-"))
        self._made = 0
        self._data = self._home / "data"
        self._user: list[str] = []

    def __enter__(self) -> Postgres:
        if os.geteuid() == 0:
            # The server refuses to run as root.
            owner = pwd.getpwnam("postgres")
            os.chown(self._home, owner.pw_uid, owner.pw_gid)
            self._user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups", "--"]
        made = ["-A", "trust", "-U", "house", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *made)
        # Nothing here is worth a disk's time.
        settings = {"listen_addresses": "''", "unix_socket_directories": str(self._home), "fsync": "off"}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._home / "log"), "-o", options, "-w", "start")
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._home, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        # Its output goes to a file: the server inherits it, and a pipe would stay open for as long as it runs.
        with open(self._home / "told", "wb") as told:
            command = [*self._user, str(self._programs / program), *words]
            done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=told, stderr=told, check=False)
        assert done.returncode == 0, (self._home / "told").read_text(encoding="utf-8")

    def sql(self, text: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement by itself; its rows."""
        import psycopg

        with psycopg.connect(f"host={self._home} user=house dbname={database}", autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def restart(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "restart")

    @property
    def url(self) -> str:
        self._made += 1
        name = f"house_{self._made}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://house@/{name}?host={self._home}"


def postgres() -> Postgres:
    """To be entered; skips where there is none."""
    needs_module("psycopg", "postgres")
    found = [*sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True), shutil.which("initdb")]
    if found[0] is None:
        require("postgres", "needs a PostgreSQL server: initdb is neither on PATH nor in /usr/lib/postgresql")
    return Postgres(Path(found[0]).parent)
