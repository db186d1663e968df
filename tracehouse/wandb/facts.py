"""What a run is called, where it is, and what belongs to it."""

from __future__ import annotations

import os

from tracehouse.wandb import told
from tracehouse.wandb.options import as_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.training import TrainingRun
    from tracehouse.wandb.options import Options


class RunFacts:
    """The properties of a ``Run``."""

    training_run: TrainingRun
    _options: Options
    _web_url: str
    _resumed: bool
    _started: float

    @property
    def id(self) -> str:
        """The run's id, by which it can be resumed."""
        return self.training_run.client_run_id

    @property
    def name(self) -> str:
        """The run's name. It is fixed when the run begins; one set later is kept in the config as ``wandb_name``."""
        return self.training_run.name

    @name.setter
    def name(self, value: str) -> None:
        told.once(
            "run.name = …", "a run's name is fixed when it begins; the new one is kept in its config as wandb_name"
        )
        self.training_run.config["wandb_name"] = value
        self.training_run.name = value

    @property
    def display_name(self) -> str:
        """The run's name."""
        return self.name

    @property
    def project(self) -> str | None:
        """The project, or None."""
        return self.training_run.project

    def project_name(self) -> str | None:
        """The project, or None."""
        return self.project

    @property
    def entity(self) -> str | None:
        """The entity that was told; it has no meaning but its name."""
        return self._options.entity

    @property
    def group(self) -> str | None:
        """The group, or None."""
        return self._options.group

    @property
    def job_type(self) -> str | None:
        """The job type, or None."""
        return self._options.job_type

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags. Set, they are recorded anew."""
        return self._options.tags or ()

    @tags.setter
    def tags(self, value: Any) -> None:
        self._options.tags = as_tags(value)
        self.training_run.config["wandb_tags"] = list(self.tags)

    @property
    def notes(self) -> str | None:
        """The notes. Set, they are recorded anew."""
        return self._options.notes

    @notes.setter
    def notes(self, value: str | None) -> None:
        self._options.notes = value
        self.training_run.config["wandb_notes"] = value

    @property
    def path(self) -> str:
        """``entity/project/id``, those of them that there are."""
        return "/".join(part for part in (self.entity, self.project, self.id) if part)

    @property
    def url(self) -> str | None:
        """The run's page; None until it is uploaded from this spool."""
        found = self.training_run.run_id
        return f"{self._web_url}/runs/{found}" if found else None

    def get_url(self) -> str | None:
        """``url``."""
        return self.url

    @property
    def project_url(self) -> None:
        """None: there is no page of that kind."""
        return

    def get_project_url(self) -> None:
        """None: there is no page of that kind."""

    @property
    def resumed(self) -> bool:
        """Whether there was a run of this id in the spool before."""
        return self._resumed

    @property
    def starttime(self) -> float:
        """When it began here, in seconds since 1970."""
        return self._started

    @property
    def start_time(self) -> float:
        """``starttime``."""
        return self._started

    @property
    def disabled(self) -> bool:
        """Whether nothing is recorded."""
        return not self.training_run.spool_path

    @property
    def offline(self) -> bool:
        """Whether it was begun with mode "offline", which records as any other."""
        return self._options.mode == "offline"

    @property
    def mode(self) -> str:
        """online, offline or disabled."""
        return "disabled" if self.disabled else self._options.mode or "online"

    @property
    def sweep_id(self) -> None:
        """None: there are no sweeps."""
        return

    @property
    def sweep_url(self) -> None:
        """None: there are no sweeps."""
        return

    def link_dataset(self, hf_slug: str, *, split: str | None = None) -> None:
        """Name the Hugging Face dataset that is trained on, and its split."""
        self.training_run.link_dataset(hf_slug, split=split)

    def mark_preempting(self) -> None:
        """Note in the config (``wandb_preempting``) that the job is about to be preempted."""
        self.training_run.config["wandb_preempting"] = True

    def log_code(self, root: str | None = ".", *_: Any, **__: Any) -> None:
        """Not done, which is told once: the artifact ``environment`` names the git commit."""
        told.once("run.log_code()", "code is not copied; the run's artifact 'environment' names the git commit")

    def status(self) -> dict[str, Any]:
        """What is known of the run's state."""
        return {
            "id": self.id,
            "step": getattr(self, "step", 0),
            "spool": self.training_run.spool_path,
            "pid": os.getpid(),
        }

    def display(self, height: int = 420, hidden: bool = False) -> bool:
        """False: there is nothing to display in a notebook."""
        return False

    def to_html(self, height: int = 420, hidden: bool = False) -> str:
        """A link to the run's page, or its name."""
        from html import escape

        return f'<a href="{escape(self.url)}">{escape(self.name)}</a>' if self.url else escape(self.name)

    def _label(self, **_: Any) -> None:
        """Libraries name themselves by it; there is no place for that."""
