"""What a run ran in: interpreter, machine, GPUs, source, packages, command line. Made to be called in the background.

Nothing secret: of the environment only the variables named here, the command line and the address of the git remote without what
looks like a key, a password or a token.
"""

from __future__ import annotations

import os
import sys

from tracehouse import machine, masking, tools
from tracehouse.telling import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Callable


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# names of distributions
PACKAGES = _words("""
    accelerate anthropic apex bitsandbytes causal-conv1d cupy datasets deepspeed diffusers dm-haiku einops
    evaluate fairscale fastai flash-attn flax gymnasium hydra-core jax jaxlib keras lightgbm lightning litellm
    llama-cpp-python mamba-ssm megatron-core mlx ml-dtypes mosaicml nemo-toolkit numba numpy omegaconf onnx
    onnxruntime openai optax optimum orbax-checkpoint pandas peft pillow polars pyarrow pydantic
    pytorch-lightning ray safetensors scikit-learn scipy sentence-transformers sentencepiece sglang
    stable-baselines3 tensorboard tensorflow tiktoken timm tokenizers torch torchao torchaudio torchmetrics
    torchtune torchvision tracehouse-sdk transformer-engine transformers triton trl unsloth verl vllm wandb
    xformers xgboost huggingface-hub
""")

VARIABLES = _words("""
    CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING CUDA_HOME CUBLAS_WORKSPACE_CONFIG
    NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES NCCL_DEBUG NCCL_SOCKET_IFNAME
    NCCL_IB_DISABLE NCCL_IB_HCA NCCL_P2P_DISABLE NCCL_ALGO NCCL_PROTO OMP_NUM_THREADS MKL_NUM_THREADS
    OPENBLAS_NUM_THREADS TOKENIZERS_PARALLELISM HF_HOME HF_HUB_OFFLINE HF_DATASETS_OFFLINE TRANSFORMERS_OFFLINE
    MASTER_ADDR MASTER_PORT WORLD_SIZE RANK LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK GROUP_RANK
    PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF TORCH_DISTRIBUTED_DEBUG TORCH_NCCL_ASYNC_ERROR_HANDLING
    TORCHDYNAMO_DISABLE XLA_FLAGS XLA_PYTHON_CLIENT_MEM_FRACTION JAX_PLATFORMS PYTHONHASHSEED CONDA_DEFAULT_ENV
    SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_PARTITION SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_NNODES
    SLURM_NTASKS SLURM_PROCID SLURM_LOCALID SLURM_NODEID SLURM_CPUS_PER_TASK SLURM_GPUS_ON_NODE
    SLURM_RESTART_COUNT
""")


def capture(
    environ: Mapping[str, str] | None = None, argv: Sequence[str] | None = None, root: str = "/"
) -> dict[str, object]:
    """The data of the artifact ``environment``; what cannot be found out is None or empty. Never raises; may take seconds.

    ``environ`` and ``argv`` default to this process's, ``root`` is where /proc and /sys are found.
    """
    variables = os.environ if environ is None else environ
    arguments = sys.argv if argv is None else argv
    cards = tools.gpus(tools.GPU_FACTS) or []
    return {
        "python": _part(_python, {}),
        "os": _part(_os, {}),
        "cpu": _part(lambda: _cpu(root), {}),
        "memory_total_bytes": _part(lambda: _memory_total(root), None),
        "memory_limit_bytes": _part(lambda: _memory_limit(root), None),
        "gpus": _part(lambda: [_gpu(card) for card in cards], []),
        "cuda": _part(lambda: _cuda(cards), {}),
        "git": _part(_git, {}),
        "packages": _part(_packages, {}),
        "env_vars": _part(lambda: {name: variables[name] for name in sorted(VARIABLES) if name in variables}, {}),
        "cwd": _part(os.getcwd, None),
        "argv": _part(lambda: masking.command_line(arguments), []),
        "hostname": _part(_hostname, None),
    }


def _part(find: Callable[[], object], otherwise: object) -> object:
    try:
        return find()
    except Exception:  # noqa: BLE001 - what is not known is left out, whatever the reason
        say("debug", "a part of the environment is not known", exc_info=True)
        return otherwise


def _python() -> dict[str, object]:
    import platform

    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
    }


def _os() -> dict[str, object]:
    import platform

    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "platform": platform.platform(),
    }


def _cpu(root: str) -> dict[str, object]:
    import platform

    limit = machine.cpu_limit(root)
    return {
        "count": os.cpu_count(),
        "processor": platform.processor() or None,
        "model": machine.cpu_model(root) or _sysctl("machdep.cpu.brand_string"),
        "usable": len(machine.cpus()),
        "limit": None if limit is None else limit.value,
    }


def _memory_total(root: str) -> int | None:
    told = machine.memory(root).get("MemTotal")
    if told is None:
        size = _sysctl("hw.memsize")
        return int(size) if size else None
    return told


def _memory_limit(root: str) -> int | None:
    limit = machine.memory_limit(root)
    return None if limit is None else int(limit.value)


def _sysctl(name: str) -> str | None:
    return tools.ask(("sysctl", "-n", name), timeout=2) if sys.platform == "darwin" else None


def _gpu(card: dict[str, str]) -> dict[str, object]:
    index, memory = tools.number(card.get("index")), tools.number(card.get("memory.total"))
    return {
        "index": None if index is None else int(index),
        "name": card.get("name"),
        "memory_total_mib": None if memory is None else int(memory),
        "driver_version": card.get("driver_version"),
        "compute_capability": card.get("compute_cap"),
    }


def _cuda(cards: list[dict[str, str]]) -> dict[str, object]:
    # only where it is loaded already: importing torch costs seconds and memory
    version = getattr(sys.modules.get("torch"), "version", None)
    return {"nvidia_smi": cards[0].get("driver_version") if cards else None, "torch": getattr(version, "cuda", None)}


def _git() -> dict[str, object]:
    """Dirty: a file that git keeps track of has changed."""
    # a repository can name a program as its fsmonitor: never run one
    git = ("git", "-c", "core.fsmonitor=false")
    told = tools.ask((*git, "status", "--porcelain=v2", "--branch", "--untracked-files=no"))
    if told is None:
        return {}
    heads = dict(line[2:].split(" ", 1) for line in told.splitlines() if line.startswith("# branch."))
    commit, branch = heads.get("branch.oid"), heads.get("branch.head")
    remote = tools.ask((*git, "config", "--get", "remote.origin.url"))
    return {
        "commit": None if commit == "(initial)" else commit,
        "branch": None if branch == "(detached)" else branch,
        "dirty": any(not line.startswith("#") for line in told.splitlines()),
        "remote": masking.address(remote) if remote else None,
    }


def _packages() -> dict[str, object]:
    """By the names with which they are imported, mostly; nothing is imported for it."""
    found = {name.replace("-", "_"): _version(name) for name in PACKAGES}
    return {name: found[name] for name in sorted(found) if found[name] is not None}


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        # a source tree on the path has no metadata
        told = getattr(sys.modules.get(name.replace("-", "_")), "__version__", None)
        return told if isinstance(told, str) else None


def _hostname() -> str:
    import platform

    return platform.node()


__all__ = ["PACKAGES", "VARIABLES", "capture"]
