"""``wandb.init`` and what goes with it."""

from __future__ import annotations

import atexit
import os

from tracehouse import config as configuration
from tracehouse.spool import layout
from tracehouse.training import TrainingRun
from tracehouse.wandb import current, told
from tracehouse.wandb.failures import UsageError
from tracehouse.wandb.options import OURS, Options, tell_unhonoured
from tracehouse.wandb.runs import Run
from tracehouse.wandb.settings import as_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FINISH = (True, "finish_previous")
_KNOWN = frozenset(("force", "tensorboard", *OURS))
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"

_begun: list[Run] = []
_key: str | None = None
_ends_are_watched = False


def init(
    project: str | None = None,
    *,
    entity: str | None = None,
    name: str | None = None,
    id: str | None = None,  # noqa: A002
    config: Any = None,
    resume: bool | str | None = None,
    mode: str | None = None,
    tags: Any = None,
    notes: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002
    save_code: bool | None = None,
    settings: Any = None,
    job_type: str | None = None,
    group: str | None = None,
    reinit: bool | str | None = None,
    anonymous: bool | str | None = None,
    config_exclude_keys: Any = None,
    config_include_keys: Any = None,
    allow_val_change: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    fork_from: str | None = None,
    resume_from: str | None = None,
    **others: Any,
) -> Run:
    """Begin a run and make it ``wandb.run``.

    The same ``id`` again resumes the run, also in another process, whatever ``resume`` says, but for "never", which refuses it, and
    "must", which refuses a new one (UsageError). While a run is open, another ``init`` gives that run, as wandb does; ``reinit=True``
    finishes it first, ``reinit="create_new"`` leaves it open, and ``wandb.run`` what it was. ``mode="disabled"`` records nothing;
    "offline" is the same as "online": all goes to the spool. The arguments of ``tracehouse.init_run`` that wandb has not (``api_key``,
    ``spool_dir``, ``redact``, ``capture_env``, ``system_metrics`` …) can be given too. WANDB_PROJECT, _NAME, _RUN_ID, _RUN_GROUP,
    _JOB_TYPE, _ENTITY, _NOTES, _TAGS, _DIR, _MODE, _RESUME, _DISABLED and _SILENT are honoured. What is not is told once.

    >>> run = wandb.init(project="demo", config={"lr": 1e-3}, tags=["small"])
    >>> run.config.lr, run.tags
    (0.001, ('small',))
    """
    given = {key: value for key, value in locals().items() if key not in ("others", "settings")}
    given.update(others)
    wanted = as_settings(settings)
    if wanted.silent is not None:
        told.silence(bool(wanted.silent))
    told.ignored("wandb.init", sorted(set(others) - _KNOWN))
    options = Options(given, wanted, os.environ)
    if _key is not None and not options.ours.get("anonymous"):
        options.ours.setdefault("api_key", _key)
    earlier = current.get()
    if earlier is not None and not earlier.is_of_this_process:
        earlier = None  # a forked child's run is its own, and its parent's not for it to finish
    if earlier is not None and options.reinit not in (*_FINISH, "create_new"):
        _tell_of_earlier(earlier, given)
        earlier.config.update(options.config)
        return earlier
    tell_unhonoured(given, wanted, options)
    begun = _begin(options)
    if earlier is not None and options.reinit in _FINISH:
        earlier.finish()
    if earlier is None or options.reinit != "create_new":
        current.put(begun)
    if options.sync_tensorboard:
        from tracehouse.wandb import tensorboard

        tensorboard.patch()
    return begun


def _begin(options: Options) -> Run:
    chosen = str(options.id) if options.id else generate_id()
    known = {key: options.ours[key] for key in ("api_key", "api_base", "anonymous", "spool_dir") if key in options.ours}
    settings = configuration.resolve(os.environ, mode=options.mode, **known)
    directory = layout.session_dir("run", chosen, settings.api_base, settings.credential)
    is_there = not settings.disabled and os.path.exists(os.path.join(settings.spool_dir, directory))
    if options.resume == "never" and is_there:
        raise UsageError(f"resume='never', and there is a run {chosen!r} in {settings.spool_dir}")
    if options.resume == "must" and not is_there and not settings.disabled:
        raise UsageError(f"resume='must', and there is no run {chosen!r} in {settings.spool_dir}")
    inner = TrainingRun(
        project=options.project,
        name=options.name,
        config=options.recorded_config(),
        client_run_id=chosen,
        mode=options.mode,
        **options.ours,
    )
    web_url = (os.environ.get("TRACEHOUSE_WEB_URL") or settings.api_base).rstrip("/")
    run = Run(inner, options, web_url=web_url, resumed=is_there, first_step=_first_step(inner, is_there), ended=_ended)
    _begun.append(run)
    _watch_ends()
    return run


def _watch_ends() -> None:
    global _ends_are_watched
    if not _ends_are_watched:
        _ends_are_watched = True
        # registered after the session's own exit handler, it runs before it
        atexit.register(_at_exit)


def _first_step(inner: TrainingRun, resumed: bool) -> int:
    if not resumed:
        return 0
    from tracehouse import history

    return history.next_step(inner.spool_path)


def _tell_of_earlier(earlier: Run, given: dict[str, Any]) -> None:
    unheard = [key for key in ("project", "name", "id", "group", "tags", "notes", "job_type") if given.get(key)]
    told.once(
        "wandb.init() while a run is open",
        f"it gives the open run {earlier.name!r}{', without ' + ', '.join(unheard) if unheard else ''}; "
        "reinit=True begins another",
    )


def _ended(run: Run) -> None:
    _begun[:] = [one for one in _begun if one is not run]
    if current.get() is run:
        current.put(None)


def _at_exit() -> None:
    for run in _begun:
        run.wrap_up()


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """``Run.finish`` of the current run; without one, nothing.

    >>> run = wandb.init(project="demo")
    >>> wandb.finish(exit_code=1)
    >>> wandb.run is None
    True
    """
    run = current.get()
    if run is not None:
        run.finish(exit_code, quiet)


def generate_id(length: int = 12) -> str:
    """A new id: that many letters and digits."""
    return "".join(_LETTERS[byte % 36] for byte in os.urandom(length))


def login(
    anonymous: str | None = None,
    key: str | None = None,
    relogin: bool | None = None,
    host: str | None = None,
    force: bool | None = None,
    timeout: int | None = None,
    verify: bool = False,
    **_: Any,
) -> bool:
    """True. No login is needed to record. A ``key`` of tracehouse (``ba_…``) is the ``api_key`` of runs begun from now on.

    >>> wandb.login()
    True
    """
    global _key
    if key is not None and key.startswith("ba_"):
        _key = key
    elif key:
        told.once("wandb.login(key=…)", "not a key of tracehouse (ba_…), and not used; `tracehouse login` keeps one")
    return True
