"""``wandb.Settings``: any setting can be given; those that mean something here are honoured."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# what they are about does not exist here, so that there is nothing to honour
_NEEDLESS = frozenset(
    [
        "start_method",
        "init_timeout",
        "login_timeout",
        "console",
        "console_multipart",
        "console_chunk_max_bytes",
        "silent",
        "quiet",
        "show_errors",
        "show_warnings",
        "show_info",
        "symlink",
        "program",
        "program_relpath",
        "program_abspath",
        "program_relpath",
        "host",
        "email",
        "username",
        "base_url",
        "api_key",
        "relogin",
        "force",
        "disable_git",
        "disable_code",
        "disable_job_creation",
        "save_code",
        "ignore_globs",
        "table_raise_on_max_row_limit_exceeded",
        "strict",
        "summary_timeout",
        "summary_errors",
        "summary_warnings",
        "sync_file",
        "heartbeat_seconds",
        "finish_timeout",
        "stop_on_fatal_error",
        "http_proxy",
        "https_proxy",
        "insecure_disable_ssl",
        "reinit",
        "resume",
        "disabled",
        "allow_offline_artifacts",
        "colab_url",
        "docker",
        "notebook_name",
    ]
)
_MEANT = frozenset(
    [
        "project",
        "entity",
        "run_id",
        "run_name",
        "run_group",
        "run_job_type",
        "run_notes",
        "run_tags",
        "mode",
        "root_dir",
        "sync_tensorboard",
        "allow_val_change",
        "disable_stats",
        "stats_sampling_interval",
        "stats_sample_rate_seconds",
    ]
)


class Settings:
    """Settings by name, as attributes; one that was not given is None. ``x_…`` and ``_…`` are the same as without that beginning.

    Honoured are project, entity, run_id, run_name, run_group, run_job_type, run_notes, run_tags, mode, root_dir, reinit, resume, silent,
    sync_tensorboard, allow_val_change, x_disable_stats and x_stats_sampling_interval (seconds).

    >>> wandb.Settings(project="p", x_disable_stats=True).disable_stats
    True
    """

    _given: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        self.__dict__["_given"] = {}
        self.update(given)

    def update(self, settings: Any = None, **given: Any) -> None:
        """Set more of them."""
        values = settings.as_dict() if isinstance(settings, Settings) else dict(settings or {})
        for name, value in {**values, **given}.items():
            self._given[_plain(name)] = value

    def as_dict(self) -> dict[str, Any]:
        """Those that were given."""
        return dict(self._given)

    def unhonoured(self) -> list[str]:
        """The names of those given that are not honoured, and would mean something with wandb."""
        return sorted(name for name in self._given if name not in _MEANT and name not in _NEEDLESS)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._given.get(_plain(name))

    def __setattr__(self, name: str, value: Any) -> None:
        self._given[_plain(name)] = value

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self._given.items())})"


def _plain(name: str) -> str:
    return name[2:] if name.startswith("x_") else name.lstrip("_")


def as_settings(given: Any) -> Settings:
    """Of Settings, a dict, or None."""
    if isinstance(given, Settings):
        return given
    return Settings(**dict(given)) if given else Settings()
