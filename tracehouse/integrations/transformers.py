"""A callback for Hugging Face's ``Trainer``, which must be installed."""

from __future__ import annotations

from importlib import import_module

from tracehouse import defaults
from tracehouse.exceptions import NotActiveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.training import TrainingRun

_callbacks: Any = import_module("transformers.trainer_callback")

# told once, at the end of training, of all of it
_TOTALS = frozenset(("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"))
_PREFIXES = ("eval", "test", "predict")


class TracehouseCallback(_callbacks.TrainerCallback):  # type: ignore[misc]
    """What the Trainer logs goes into a run, by the Trainer's own steps: ``train/loss``, ``eval/accuracy`` and their like.

    ``run`` is the run to log to; without it the default run, if there is one when training begins; without that ``init_run`` begins
    one, with the other arguments (``project=``, ``client_run_id=`` …), named by ``run_name=`` of the TrainingArguments unless named
    here, and left open for what comes after training: end it with ``tracehouse.run_finish()``, or let the process's end do so. Of a search
    for hyperparameters each trial is a run, unless ``run`` is given.

    The model's config and the TrainingArguments become the run's config (tokens in these are masked by the Trainer), ``hub_model_id``
    its link to the model, and totals as ``train_runtime`` its summary. Only the first process of a distributed job logs.

    >>> from tracehouse.integrations.transformers import TracehouseCallback
    >>> callback = TracehouseCallback(project="tuning")  # then: Trainer(..., callbacks=[callback])
    """

    def __init__(self, run: TrainingRun | None = None, **begin: Any) -> None:
        self._given = run
        self._arguments = begin
        self._begun: TrainingRun | None = None
        self._run = run

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Find or begin the run; tell its config."""
        if not state.is_world_process_zero:
            return
        self._run = self._given or self._default(state) or self._begin(args, state)
        self._run.config.update(_config(args, model))
        if getattr(args, "push_to_hub", False) and getattr(args, "hub_model_id", None):
            self._run.link_model(args.hub_model_id)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Record what the Trainer logs."""
        if not state.is_world_process_zero or not logs:
            return
        # evaluate() may be all that is ever called
        self._run = self._run or self._default(state) or self._begin(args, state)
        totals = {name: value for name, value in logs.items() if name in _TOTALS}
        values = {_key(name): value for name, value in logs.items() if name not in _TOTALS}
        if set(values) - {"train/epoch"}:
            self._run.log(values, step=state.global_step)
        if totals:
            self._run.summary.update(totals)

    def _default(self, state: Any) -> TrainingRun | None:
        try:
            run = defaults.current_run()
        except NotActiveError:
            return None
        return None if run is self._begun and getattr(state, "is_hyper_param_search", False) else run

    def _begin(self, args: Any, state: Any) -> TrainingRun:
        if self._begun is not None:
            defaults.run_finish()  # the trial before, which came to its end
        arguments = {"name": getattr(args, "run_name", None), **self._arguments}
        if getattr(state, "is_hyper_param_search", False) and getattr(state, "trial_name", None):
            arguments["name"] = state.trial_name
        self._begun = defaults.init_run(**arguments)
        return self._begun


def _config(args: Any, model: Any) -> dict[str, Any]:
    config: Any = getattr(model, "config", None)
    held = dict(config.to_dict() if hasattr(config, "to_dict") else config or {})
    held.update(args.to_dict())
    if hasattr(model, "num_parameters"):
        held["model/num_parameters"] = model.num_parameters()
    return held


def _key(name: str) -> str:
    """``eval_loss`` is ``eval/loss``; ``loss`` is ``train/loss``; what has a ``/`` stays."""
    head, _, rest = name.partition("_")
    if head in _PREFIXES and rest:
        return f"{head}/{rest}"
    return name if "/" in name else f"train/{name}"
