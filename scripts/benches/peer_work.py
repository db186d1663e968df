"""One package at the same work: ``python -m benches.peer_work NAME FOLDER ADDRESS``, with the Python of that package's environment.

Every record bears its number in a form that is found again in whatever file it went to.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from typing import Any, Callable

from benches.measure import median, quantile
from benches.procs import KEY, serve

TEXT = "Which of these files were changed last, and by whom? " * 4
BASE = 1 << 20
Call = Callable[[int], object]


def values(n: int) -> dict[str, float]:
    return {"loss": BASE + n + 1 / 3, "acc": n / 67, "lr": 3e-4, "grad_norm": 1.0 + n / 7}


def text(n: int) -> str:
    return f"mark-{n:06d} {TEXT}"[:200]


def _ours(folder: str, address: str) -> dict[str, Call]:
    cm: Any = import_module("tracehouse")
    cm.init(spool_dir=folder, project="bench")
    run = cm.init_run(spool_dir=folder, project="bench", system_metrics=False, capture_env=False)
    return {"metric": lambda n: run.log(values(n)), "span": lambda n: cm.log_user(text(n))}


def _ours_flushed(folder: str, address: str) -> dict[str, Call]:
    calls = _ours(folder, address)
    cm: Any = import_module("tracehouse")

    def flushed(call: Call) -> Call:
        return lambda n: (call(n), cm.flush())

    return {name: flushed(call) for name, call in calls.items()}


def _published(folder: str, address: str) -> dict[str, Call]:
    cm: Any = import_module("tracehouse")
    common = {"api_base": address, "api_key": KEY, "project": "bench"}
    cm.init(**common)
    run = cm.init_run(**common, system_metrics=False, capture_env=False)
    return {"metric": lambda n: run.log(values(n)), "span": lambda n: cm.log_user(text(n))}


def _trackio(folder: str, address: str) -> dict[str, Call]:
    trackio: Any = import_module("trackio")
    trackio.init(project="bench", name="bench")
    return {"metric": lambda n: trackio.log(values(n))}


def _swanlab(folder: str, address: str) -> dict[str, Call]:
    swanlab: Any = import_module("swanlab")
    swanlab.init(project="bench", mode="offline", logdir=os.path.join(folder, "swanlog"))
    return {"metric": lambda n: swanlab.log(values(n))}


def _wandb(folder: str, address: str) -> dict[str, Call]:
    wandb: Any = import_module("wandb")
    run = wandb.init(mode="offline", dir=folder, project="bench")
    return {"metric": lambda n: run.log(values(n))}


def _comet(folder: str, address: str) -> dict[str, Call]:
    comet: Any = import_module("comet_ml")
    experiment = comet.OfflineExperiment(
        project_name="bench", workspace="bench", offline_directory=folder, log_code=False, log_env_details=False
    )
    return {"metric": lambda n: experiment.log_metrics(values(n), step=n)}


def _neptune(folder: str, address: str) -> dict[str, Call]:
    neptune: Any = import_module("neptune_scale")
    run = neptune.Run(project="bench/bench", run_id="bench", mode="offline", log_directory=folder)
    return {"metric": lambda n: run.log_metrics(data=values(n), step=n)}


def _tensorboard(folder: str, address: str) -> dict[str, Call]:
    writer = (import_module("tensorboardX")).SummaryWriter(folder)

    def log(n: int) -> None:
        for key, value in values(n).items():
            writer.add_scalar(key, value, n)

    return {"metric": log}


def _mlflow(folder: str, address: str) -> dict[str, Call]:
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    mlflow: Any = import_module("mlflow")
    mlflow.set_tracking_uri(f"file:{folder}/mlruns")
    mlflow.start_run()
    return {"metric": lambda n: mlflow.log_metrics(values(n), step=n)}


def _opentelemetry(folder: str, processor: str) -> dict[str, Call]:
    trace: Any = import_module("opentelemetry.sdk.trace")
    export: Any = import_module("opentelemetry.sdk.trace.export")
    provider = trace.TracerProvider()
    out = open(os.path.join(folder, "spans.json"), "a", encoding="utf-8")  # noqa: SIM115 - as long as the process
    exporter = export.ConsoleSpanExporter(out=out)
    provider.add_span_processor(getattr(export, processor)(exporter))
    tracer = provider.get_tracer("bench")

    def log(n: int) -> None:
        tracer.start_span("user message", attributes={"text": text(n), "kind": "user_msg"}).end()

    return {"span": log}


def _otel_simple(folder: str, address: str) -> dict[str, Call]:
    return _opentelemetry(folder, "SimpleSpanProcessor")


def _otel_batch(folder: str, address: str) -> dict[str, Call]:
    return _opentelemetry(folder, "BatchSpanProcessor")


def _langfuse(folder: str, address: str) -> dict[str, Call]:
    client = import_module("langfuse").Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", host=address)
    return {"span": lambda n: client.start_observation(name="user message", input=text(n)).end()}


PEERS: dict[str, Callable[[str, str], dict[str, Call]]] = {
    "tracehouse": _ours,
    "tracehouse, flush() after each": _ours_flushed,
    "published tracehouse-sdk": _published,
    "trackio": _trackio,
    "swanlab offline": _swanlab,
    "wandb offline": _wandb,
    "comet offline": _comet,
    "neptune-scale offline": _neptune,
    "tensorboardX": _tensorboard,
    "mlflow, files": _mlflow,
    "OpenTelemetry simple, file": _otel_simple,
    "OpenTelemetry batch, file": _otel_batch,
    "langfuse": _langfuse,
}


def work(name: str, folder: str, address: str) -> dict[str, Any]:
    begun: dict[str, Call] = {}

    def begin() -> list[str]:
        begun.update(PEERS[name](folder, address))
        return sorted(begun)

    def burst(kind: str, first: int, count: int, seconds: float = 30.0) -> dict[str, float]:
        """Microseconds a call; ends early after ``seconds``."""
        call, clock, taken = begun[kind], time.perf_counter_ns, []
        until = clock() + int(seconds * 1e9)
        for n in range(first, first + count):
            began = clock()
            call(n)
            taken.append(clock() - began)
            if began > until:
                break
        return {"p50": median(taken) / 1e3, "p99": quantile(taken, 0.99) / 1e3, "count": len(taken)}

    def killed(kind: str, count: int, rate: float) -> None:
        """Log so many, then end at once, as by the kernel; a note of how many calls had returned is left in the folder."""
        call = begun[kind]
        returned = os.open(os.path.join(folder, "returned"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        due = time.monotonic()
        for n in range(count):
            if rate:
                due += 1 / rate
                time.sleep(max(0.0, due - time.monotonic()))
            call(n)
            os.write(returned, b".")
        os.kill(os.getpid(), signal.SIGKILL)

    return {"begin": begin, "burst": burst, "killed": killed}


if __name__ == "__main__":
    serve(work(*sys.argv[1:4]))
