"""The wandb-shaped door of tracehouse: a wandb script runs with ``import tracehouse.wandb as wandb``, and all it logs goes to the spool.

>>> import tracehouse.wandb as wandb
>>> run = wandb.init(project="demo", config={"lr": 1e-3}, dir="/tmp")
>>> wandb.log({"loss": 0.5, "eval": {"acc": 0.9}})
>>> wandb.config.lr, wandb.summary["eval/acc"], run.step
(0.001, 0.9, 1)
>>> metric = wandb.define_metric("loss", summary="min")
>>> table = wandb.Table(columns=["prompt", "reward"], data=[["2+2=", 1.0]])
>>> wandb.log({"completions": table, "weights": wandb.Histogram([0.1, 0.2, 0.4])}, commit=False)
>>> wandb.log({"page": wandb.Html("<b>ok</b>"), "sound": wandb.Audio([0.0, 0.5, -0.5], sample_rate=8000)})
>>> wandb.log({"chart": wandb.plot.bar(table, "prompt", "reward")})
>>> artifact = wandb.Artifact("notes", type="text")
>>> with artifact.new_file("notes.txt", mode="w") as file:
...     written = file.write("it works")
>>> wandb.log_artifact(artifact)
<Artifact notes:v0 (text), 1 files>
>>> wandb.finish()

For a library that says ``import wandb`` itself, put it in wandb's place first: ``sys.modules["wandb"] = tracehouse.wandb``.

``wandb.run`` is the current run, None without one; ``wandb.config`` and ``wandb.summary`` are its own.
``ONLINE``, ``OFFLINE`` and ``DISABLED`` are the modes.

What is different: nothing needs an account or a network; each ``log`` is written at once, uncommitted or not; a step below the
current one is recorded, not dropped; a nested dict has names such as ``eval/acc``; a config value may change; a run that is begun
again by its id goes on; ``run.url`` is None until the run is uploaded; what is printed is not captured. What cannot be honoured is told
once, as a warning of the logger ``tracehouse``; sweeps and the read API raise ``wandb.errors.UnsupportedError``.
"""

from __future__ import annotations

from tracehouse.exceptions import ApiError, ClaudeMonitorError
from tracehouse.wandb import current, data_types, errors, plot, tensorboard, util
from tracehouse.wandb.artifacts import Artifact
from tracehouse.wandb.calls import (
    AlertLevel,
    alert,
    define_metric,
    link_model,
    log,
    log_artifact,
    log_model,
    mark_preempting,
    require,
    restore,
    save,
    setup,
    teardown,
    unwatch,
    use_artifact,
    use_model,
    watch,
)
from tracehouse.wandb.current import config, summary
from tracehouse.wandb.documents import Html, Molecule, Object3D, Plotly
from tracehouse.wandb.failures import CommError, Error, UnsupportedError, UsageError
from tracehouse.wandb.histograms import Histogram
from tracehouse.wandb.pictures import Classes, Image
from tracehouse.wandb.plot import plot_table
from tracehouse.wandb.recordings import Audio, Video
from tracehouse.wandb.runs import Run
from tracehouse.wandb.settings import Settings
from tracehouse.wandb.starting import finish, init, login
from tracehouse.wandb.tables import Table
from tracehouse.wandb.told import termerror, termlog, termwarn
from tracehouse.wandb.unsupported import Api, PublicApi, agent, controller, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    run: Run | None

# libraries ask which of wandb's interfaces they have before them
__version__ = "0.21.0+tracehouse"

ONLINE = "online"
OFFLINE = "offline"
DISABLED = "disabled"


def __getattr__(name: str) -> Any:
    if name == "run":
        return current.get()
    raise AttributeError(f"tracehouse.wandb has no {name!r}")


__all__ = [
    "DISABLED",
    "OFFLINE",
    "ONLINE",
    "AlertLevel",
    "Api",
    "ApiError",
    "Artifact",
    "Audio",
    "Classes",
    "ClaudeMonitorError",
    "CommError",
    "Error",
    "Histogram",
    "Html",
    "Image",
    "Molecule",
    "Object3D",
    "Plotly",
    "PublicApi",
    "Run",
    "Settings",
    "Table",
    "UnsupportedError",
    "UsageError",
    "Video",
    "agent",
    "alert",
    "config",
    "controller",
    "data_types",
    "define_metric",
    "errors",
    "finish",
    "init",
    "link_model",
    "log",
    "log_artifact",
    "log_model",
    "login",
    "mark_preempting",
    "plot",
    "plot_table",
    "require",
    "restore",
    "run",
    "save",
    "setup",
    "summary",
    "sweep",
    "teardown",
    "tensorboard",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "use_model",
    "util",
    "watch",
]
