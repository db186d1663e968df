"""What ``init`` was told: by its arguments, by ``settings=``, by WANDB_* variables, in this order."""

from __future__ import annotations

import os

from tracehouse import late
from tracehouse.config import truthy
from tracehouse.wandb import told
from tracehouse.wandb.configs import as_config
from tracehouse.wandb.failures import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tracehouse.wandb.settings import Settings

_MODES = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
# what TrainingRun takes besides, and wandb does not know
OURS = frozenset(
    [
        "api_key",
        "api_base",
        "spool_dir",
        "redact",
        "capture_env",
        "system_metrics",
        "system_metrics_interval",
        "hf_dataset",
        "hf_dataset_split",
        "hf_model",
        "hf_model_revision",
        "machine_id",
        "hostname",
        "agent_version",
        "auto_finish",
        "transport",
    ]
)
RESUMES = ("allow", "must", "never", "auto")


# what is recorded in a run's config and is not of the user's
_BESIDE = frozenset(("wandb_entity", "wandb_tags", "wandb_notes", "wandb_job_type", "wandb_group", "_metric_defs"))


class Options:
    """Of a run: all that is None was not told. ``config`` is what the user gave, ``ours`` what goes to TrainingRun as it is."""

    def __init__(self, given: Mapping[str, Any], settings: Settings, environ: Mapping[str, str]) -> None:
        def told_by(argument: str, setting: str, variable: str) -> Any:
            return _first(given.get(argument), getattr(settings, setting), environ.get(variable) or None)

        self.entity: str | None
        self.group: str | None
        self.job_type: str | None
        self.notes: str | None
        self.project = told_by("project", "project", "WANDB_PROJECT") or environ.get("TRACEHOUSE_PROJECT")
        self.entity = told_by("entity", "entity", "WANDB_ENTITY")
        self.name = told_by("name", "run_name", "WANDB_NAME")
        self.id = told_by("id", "run_id", "WANDB_RUN_ID")
        self.group = told_by("group", "run_group", "WANDB_RUN_GROUP")
        self.job_type = told_by("job_type", "run_job_type", "WANDB_JOB_TYPE")
        self.notes = told_by("notes", "run_notes", "WANDB_NOTES")
        self.tags = as_tags(told_by("tags", "run_tags", "WANDB_TAGS"))
        self.dir = told_by("dir", "root_dir", "WANDB_DIR")
        self.reinit = _first(given.get("reinit"), settings.reinit)
        self.resume = _resume(told_by("resume", "resume", "WANDB_RESUME"))
        self.mode = _mode(told_by("mode", "mode", "WANDB_MODE"), environ)
        self.allow_val_change = _first(given.get("allow_val_change"), settings.allow_val_change)
        self.sync_tensorboard = bool(
            _first(given.get("sync_tensorboard"), given.get("tensorboard"), settings.sync_tensorboard)
        )
        self.config = _config(given)
        self.ours = {name: given[name] for name in OURS if given.get(name) is not None}
        if settings.disable_stats:
            self.ours.setdefault("system_metrics", False)
        interval = _first(settings.stats_sampling_interval, settings.stats_sample_rate_seconds)
        if interval is not None:
            self.ours.setdefault("system_metrics_interval", float(interval))
        # wandb's own words for it, "allow" and "must", make nothing public here
        if isinstance(given.get("anonymous"), bool):
            self.ours["anonymous"] = given["anonymous"]

    @staticmethod
    def config_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
        """The user's own part of a config as it was recorded."""
        return {name: value for name, value in recorded.items() if name not in _BESIDE}

    def recorded_config(self) -> dict[str, Any]:
        """The user's config, and beside it what a run here has no other place for."""
        facts = {
            "wandb_entity": self.entity,
            "wandb_tags": None if self.tags is None else list(self.tags),
            "wandb_notes": self.notes,
            "wandb_job_type": self.job_type,
            "wandb_group": self.group,
        }
        return {**self.config, **{name: fact for name, fact in facts.items() if fact is not None}}


def tell_unhonoured(given: Mapping[str, Any], settings: Settings, options: Options) -> None:
    """Once for each: what was asked for and is not done."""
    why = {
        "save_code": "code is not copied; the run's artifact 'environment' names the git commit",
        "monitor_gym": "videos of environments are not looked for; log them with wandb.Video",
        "fork_from": "a run is not forked; a new one begins",
        "resume_from": "a run is not rewound; the new one, or the one of this id, goes on",
    }
    for name, text in why.items():
        if given.get(name):
            told.once(f"wandb.init({name}=…)", text)
    if given.get("anonymous") in ("allow", "must"):
        told.once(
            "wandb.init(anonymous=…)", "nothing becomes public by this; anonymous=True or TRACEHOUSE_ANON=1 asks for it"
        )
    if options.mode == "offline":
        told.once("mode 'offline'", "all goes to the spool, as always; `tracehouse sync` or a running agent uploads it")
    if options.resume == "auto" and options.id is None:
        told.once("wandb.init(resume='auto')", "name the run by id= (or WANDB_RUN_ID) to resume it; a new one begins")
    if os.environ.get("WANDB_SWEEP_ID"):
        told.once("WANDB_SWEEP_ID", "there are no sweeps here; the run is one by itself")
    unknown = settings.unhonoured()
    if unknown:
        told.once(f"wandb.Settings({', '.join(unknown)})", "not honoured")


def as_tags(tags: Any) -> tuple[str, ...] | None:
    """A text is split at its commas, as WANDB_TAGS is."""
    if tags is None:
        return None
    if isinstance(tags, str):
        return tuple(tag.strip() for tag in tags.split(",") if tag.strip())
    return tuple(str(tag) for tag in tags)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _mode(mode: str | None, environ: Mapping[str, str]) -> str | None:
    if mode is None or mode == "":
        return "disabled" if truthy(environ.get("WANDB_DISABLED")) else None
    if mode not in _MODES:
        raise UsageError(f"mode must be one of {tuple(_MODES)}, got {mode!r}")
    return _MODES[mode]


def _resume(resume: Any) -> str | None:
    if resume in (None, False, ""):
        return None
    word = "auto" if resume is True else str(resume).lower()
    word = {"true": "auto", "false": ""}.get(word, word)
    if word and word not in RESUMES:
        raise UsageError(f"resume must be one of {RESUMES}, True or False, got {resume!r}")
    return word or None


def _config(given: Mapping[str, Any]) -> dict[str, Any]:
    config = given.get("config")
    found = as_config(_read(config) if isinstance(config, (str, os.PathLike)) else config)
    wanted, unwanted = given.get("config_include_keys"), given.get("config_exclude_keys")
    if wanted:
        found = {key: value for key, value in found.items() if key in wanted}
    return {key: value for key, value in found.items() if key not in (unwanted or ())}


def _read(path: str | os.PathLike[str]) -> Any:
    """A config file: JSON, or YAML where PyYAML is there."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if os.fspath(path).endswith(".json"):
        from json import loads

        return loads(text)
    try:
        found = late.outside("yaml").safe_load(text)
    except ImportError:
        raise UsageError(
            f"config={os.fspath(path)!r}: reading YAML needs PyYAML (pip install pyyaml); or pass a dict"
        ) from None
    described = isinstance(found, dict) and all(isinstance(one, dict) and "value" in one for one in found.values())
    return {key: one["value"] for key, one in found.items()} if described else found
