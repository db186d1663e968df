"""``wandb.Artifact``: named files of a run."""

from __future__ import annotations

import os
import shutil
import tempfile

from tracehouse.exceptions import ArgumentError
from tracehouse.wandb import told
from tracehouse.wandb.failures import CommError
from tracehouse.wandb.keeping import files_below, keep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Any

    from tracehouse.training import TrainingRun


class Artifact:
    """Files and directories under one name, to be kept with ``run.log_artifact``.

    Short texts and JSON become artifacts of the run, other files media of type "file", up to 25 MiB each; of a longer one only
    its name and size are kept, which is told. Its files can be had back (``download``) in the process that logged it.

    >>> artifact = wandb.Artifact("notes", type="text", metadata={"pages": 1})
    >>> with artifact.new_file("notes.txt", mode="w") as file:
    ...     n = file.write("it works")
    >>> artifact
    <Artifact notes:draft (text), 1 files>
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        **others: Any,
    ) -> None:
        told.ignored("wandb.Artifact", others)
        self.name = str(name)
        self.type = str(type)
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.aliases: list[str] = []
        self.tags: list[str] = []
        self.version = ""
        self.is_local = True
        self._files: dict[str, str] = {}
        self._objects: dict[str, Any] = {}
        self._references: list[dict[str, Any]] = []
        self._made: tempfile.TemporaryDirectory[str] | None = None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(os.path.getsize(path) for path in self._files.values() if os.path.exists(path))

    @property
    def files_by_name(self) -> dict[str, str]:
        """Where on this disk each of its files lies."""
        return dict(self._files)

    def add_file(
        self,
        local_path: str | os.PathLike[str],
        name: str | None = None,
        is_tmp: bool | None = False,
        skip_cache: bool | None = False,
        policy: str | None = "mutable",
        overwrite: bool = False,
    ) -> None:
        """One file, under its own name or ``name``. ArgumentError (a ValueError) where there is none."""
        path = os.fspath(local_path)
        if not os.path.isfile(path):
            raise ArgumentError(f"no such file: {path!r}")
        self._files[name or os.path.basename(path)] = os.path.abspath(path)

    def add_dir(self, local_path: str | os.PathLike[str], name: str | None = None, **_: Any) -> None:
        """All files below a directory. ArgumentError (a ValueError) where there is none."""
        path = os.fspath(local_path)
        if not os.path.isdir(path):
            raise ArgumentError(f"no such directory: {path!r}")
        for found in files_below(path):
            self._files[os.path.join(name, found) if name else found] = os.path.abspath(os.path.join(path, found))

    def add(self, obj: Any, name: str, overwrite: bool = False) -> None:
        """A Table, Image or other thing that can be logged."""
        self._objects[name] = obj

    def add_reference(
        self, uri: Any, name: str | None = None, checksum: bool = True, max_objects: int | None = None
    ) -> None:
        """The address of something that is elsewhere; it alone is kept."""
        self._references.append({"uri": str(uri), "name": name})

    def new_file(self, name: str, mode: str = "x", encoding: str | None = None) -> AbstractContextManager[Any]:
        """An open file, to be written in a ``with`` block."""
        if self._made is None:
            self._made = tempfile.TemporaryDirectory(prefix="tracehouse-artifact-")
        path = os.path.join(self._made.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._files[name] = path
        # whoever uses it closes it: it is the context manager that is given
        return open(path, mode, encoding=encoding)

    def remove(self, item: str) -> None:
        """Take a file out again."""
        self._files.pop(item, None)
        self._objects.pop(item, None)

    def get(self, name: str) -> Any:
        """The object added under that name, or None."""
        return self._objects.get(name)

    def wait(self, timeout: int | None = None) -> Artifact:
        """Itself: what is logged needs no waiting for."""
        return self

    def is_draft(self) -> bool:
        """Whether it was not logged yet."""
        return not self.version

    def download(self, root: str | None = None, **_: Any) -> str:
        """A directory with copies of its files. CommError for one that was not logged in this process."""
        if not self.is_local:
            raise CommError(
                f"artifact {self.name!r} was not logged in this process, and an emitter uses no network: "
                "fetch its files from the server's pages, or read them where they were made"
            )
        base = root or os.path.join("artifacts", f"{self.name}-{self.version or 'draft'}")
        for name, path in self._files.items():
            target = os.path.join(base, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(path, target)
        return base

    def file(self, root: str | None = None) -> str:
        """The path of a copy of its only file. ArgumentError where it has several."""
        if len(self._files) != 1:
            raise ArgumentError(f"artifact {self.name!r} has {len(self._files)} files")
        return os.path.join(self.download(root), next(iter(self._files)))

    def entries(self, inner: TrainingRun, step: int) -> Iterator[dict[str, Any]]:
        """Keep each file in a run; what was done with it."""
        for name, path in self._files.items():
            yield keep(inner, f"{self.name}/{name}", path, step=step)

    def log_into(self, inner: TrainingRun, *, aliases: Any, version: str, step: int) -> None:
        """Record it: its files, its objects, and a list of them as artifact ``artifact/<name>``."""
        from tracehouse.wandb import rows

        self.version = version
        self.aliases = [str(alias) for alias in aliases or ("latest",)]
        files = list(self.entries(inner, step))
        objects = {f"{self.name}/{name}": one for name, one in self._objects.items()}
        if objects:
            inner.log(rows.flatten(objects), step=step)
        data = {
            "_type": "artifact",
            "name": self.name,
            "type": self.type,
            "version": version,
            "aliases": self.aliases,
            "description": self.description,
            "metadata": self.metadata,
            "tags": self.tags,
            "files": files,
            "objects": list(objects),
            "references": self._references,
        }
        inner.add_artifact(
            f"artifact/{self.name}", data={key: one for key, one in data.items() if one not in (None, [])}
        )

    def __repr__(self) -> str:
        return f"<Artifact {self.name}:{self.version or 'draft'} ({self.type}), {len(self._files)} files>"


def of(given: Any, name: str | None, kind: str | None) -> Artifact:
    """An artifact as it is; of a path, one with that file or directory."""
    if isinstance(given, Artifact):
        return given
    path = os.fspath(given)
    made = Artifact(name or os.path.basename(os.path.abspath(path)), kind or "unspecified")
    if os.path.isdir(path):
        made.add_dir(path)
    else:
        made.add_file(path)
    return made


def elsewhere(name: str, kind: str | None) -> Artifact:
    """One that only a server knows."""
    told.once(
        f"use_artifact({name!r})", "its use is recorded; its files cannot be fetched, as an emitter uses no network"
    )
    made = Artifact(name, kind or "unspecified")
    made.is_local = False
    return made
