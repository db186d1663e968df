"""What a run keeps besides values: files, artifacts, alerts."""

from __future__ import annotations

import glob as globs
import os
import time

from tracehouse.wandb import artifacts, told
from tracehouse.wandb.artifacts import Artifact
from tracehouse.wandb.failures import CommError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.training import TrainingRun
    from tracehouse.wandb.keeping import Saved
    from tracehouse.wandb.options import Options

LEVELS = ("INFO", "WARN", "ERROR")
_GLOB = "*?["


class RunFiles:
    """The methods of a ``Run`` that keep files."""

    training_run: TrainingRun
    _options: Options
    _saved: Saved
    _dir: str | None
    _started: float
    _step: int
    _versions: dict[str, int]
    _artifacts: dict[str, Any]
    _alerts: dict[str, float]

    @property
    def dir(self) -> str:
        """A directory of the run's own, made at the first use: what lies there at the run's end is kept."""
        if self._dir is None:
            if not self.training_run.spool_path:
                from tempfile import mkdtemp

                self._dir = mkdtemp(prefix="tracehouse-wandb-")
            else:
                at = time.strftime("%Y%m%d_%H%M%S", time.localtime(self._started))
                base = os.path.join(os.path.abspath(self._options.dir or "."), "wandb")
                self._dir = os.path.join(base, f"run-{at}-{self.training_run.client_run_id}", "files")
                os.makedirs(self._dir, exist_ok=True)
        return self._dir

    def save(
        self, glob_str: str | os.PathLike[str] | None = None, base_path: Any = None, policy: str = "live"
    ) -> list[str] | bool:
        """Keep the files that a pattern names: now, and if they have changed, again at the end ("live"); only at the end ("end"); or
        only now ("now"). Their names are relative to ``base_path``. The list of files; False where none was named.
        """
        if glob_str is None:
            told.once("run.save() without a file", "nothing to keep; all that was logged is recorded already")
            return False
        pattern = os.fspath(glob_str)
        found = sorted(globs.glob(pattern, recursive=True)) if any(char in pattern for char in _GLOB) else [pattern]
        if not found or (len(found) == 1 and policy != "end" and not os.path.exists(found[0])):
            told.once(f"run.save({pattern!r})", "no such file")
            return []
        for path in found:
            if not os.path.isdir(path):
                name = os.path.relpath(path, base_path) if base_path is not None else _name_of(path)
                self._saved.add(
                    path, f"files/{name}", now=policy != "end", again=policy in ("live", "end"), step=self._step
                )
        return found

    def restore(self, name: str, run_path: str | None = None, replace: bool = False, root: str | None = None) -> Any:
        """A file of the run's directory, opened. CommError for any other: an emitter fetches nothing."""
        path = os.path.join(root or self.dir, name)
        if run_path is None and os.path.isfile(path):
            return open(path, encoding="utf-8")
        raise CommError(
            f"restore({name!r}): an emitter uses no network and fetches no files; read it where it was written, "
            "or take it from the server's pages"
        )

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,  # noqa: A002
        aliases: Any = None,
        tags: Any = None,
        **others: Any,
    ) -> Artifact:
        """Keep an artifact, or a file or directory as one. Its version is v0, v1, … by its name in this run."""
        told.ignored("run.log_artifact", others)
        made = artifacts.of(artifact_or_path, name, type)
        made.tags = list(tags or made.tags)
        n = self._versions.get(made.name, -1) + 1
        self._versions[made.name] = n
        self._artifacts[made.name] = made
        made.log_into(self.training_run, aliases=aliases, version=f"v{n}", step=self._step)
        return made

    def upsert_artifact(self, artifact_or_path: Any, **kwargs: Any) -> Artifact:
        """``log_artifact``; parts of several processes are not put together, which is told once."""
        told.once("run.upsert_artifact()", "each process's part is kept as an artifact of its own")
        kwargs.pop("distributed_id", None)
        return self.log_artifact(artifact_or_path, **kwargs)

    def finish_artifact(self, artifact_or_path: Any, **kwargs: Any) -> Artifact:
        """``upsert_artifact``."""
        return self.upsert_artifact(artifact_or_path, **kwargs)

    def use_artifact(
        self,
        artifact_or_name: Any,
        type: str | None = None,  # noqa: A002
        aliases: Any = None,
        use_as: str | None = None,
    ) -> Artifact:
        """Record that an artifact is used. One that this run logged can be downloaded; one that was not logged yet is."""
        if isinstance(artifact_or_name, Artifact):
            found = artifact_or_name
            if found.is_draft() and found.is_local:
                self.log_artifact(found, aliases=aliases)
        else:
            name = str(artifact_or_name)
            local = self._artifacts.get(name.rpartition("/")[2].partition(":")[0])
            found = local if isinstance(local, Artifact) else artifacts.elsewhere(name, type)
        data = {"_type": "artifact-use", "name": found.name, "type": found.type, "version": found.version or None}
        self.training_run.add_artifact(
            f"artifact-use/{found.name}", data={key: one for key, one in data.items() if one is not None}
        )
        return found

    def log_model(self, path: Any, name: str | None = None, aliases: Any = None) -> Artifact:
        """Keep a model's file or directory as an artifact of type "model"."""
        return self.log_artifact(path, name or f"run-{self.training_run.client_run_id}-model", "model", aliases)

    def use_model(self, name: str) -> str:
        """The path of a model that this run logged; CommError for another."""
        found = self.use_artifact(name, "model")
        directory = found.download()
        files = list(found.files_by_name)
        return os.path.join(directory, files[0]) if len(files) == 1 else directory

    def link_model(
        self, hf_repo: str, registered_model_name: str | None = None, *, revision: str | None = None, **_: Any
    ) -> None:
        """Name the Hugging Face model that comes of the run, and its revision.

        With a ``registered_model_name`` it is wandb's call, whose first argument is a path: that is kept as ``log_model`` keeps it.
        """
        if registered_model_name is None:
            self.training_run.link_model(hf_repo, revision=revision)
            return
        told.once("run.link_model(registered_model_name=…)", "there is no registry; the model is kept as an artifact")
        self.log_model(hf_repo, registered_model_name)

    def link_artifact(self, artifact: Artifact, target_path: str, aliases: Any = None) -> None:
        """Record the artifact with the name it is linked to; there is no registry, which is told once."""
        told.once("run.link_artifact()", "there is no registry; the link is recorded as an artifact 'artifact-link/…'")
        if artifact.is_draft() and artifact.is_local:
            self.log_artifact(artifact, aliases=aliases)
        data = {"_type": "artifact-link", "name": artifact.name, "target": target_path, "aliases": list(aliases or ())}
        self.training_run.add_artifact(f"artifact-link/{artifact.name}", data=data)

    def alert(self, title: str, text: str = "", level: Any = None, wait_duration: Any = None) -> None:
        """Record an alert, as value ``alerts``, and tell it on the logger ``tracehouse``; nobody is mailed.

        ``level``: INFO, WARN or ERROR. Within ``wait_duration`` (seconds, or a timedelta; 60 by default) of the last of its title,
        it is not repeated.
        """
        import logging

        word = str(getattr(level, "value", level) or "INFO").upper()
        if word not in LEVELS:
            raise UnsupportedError(f"alert: level must be one of {LEVELS}, got {level!r}")
        wait = getattr(wait_duration, "total_seconds", lambda: 60 if wait_duration is None else float(wait_duration))()
        last = self._alerts.get(title)
        if last is not None and time.monotonic() - last < wait:
            return
        self._alerts[title] = time.monotonic()
        self.training_run.log(
            {"alerts": {"_type": "alert", "title": title, "text": text, "level": word}}, step=self._step
        )
        told.once("alerts", "recorded with the run, and nobody is mailed")
        told.say({"WARN": logging.WARNING, "ERROR": logging.ERROR}.get(word, logging.INFO), f"{title}: {text}")


def _name_of(path: str) -> str:
    """A relative path as it is, unless it leads out of here; of another the last part."""
    normal = os.path.normpath(path)
    return os.path.basename(normal) if os.path.isabs(normal) or normal.startswith("..") else normal
