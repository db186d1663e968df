"""``sync_tensorboard=True``: what is written by torch's or tensorboardX's SummaryWriter is logged to the run as well.

>>> import tensorboardX
>>> run = wandb.init(project="demo")
>>> wandb.tensorboard.patch()
>>> with tensorboardX.SummaryWriter("logs") as writer:
...     writer.add_scalar("loss", 0.5, global_step=10)
>>> wandb.summary["loss"]
0.5
"""

from __future__ import annotations

import struct
from datetime import datetime, timezone

from tracehouse import late
from tracehouse.wandb import current, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_WRITERS = ("torch.utils.tensorboard.writer", "tensorboardX.writer")
_patched: list[tuple[Any, Callable[..., Any]]] = []


def patch(root_logdir: str | None = None, pytorch: bool | None = None, save: bool | None = None, **_: Any) -> None:
    """Follow the writers that are installed, from now on. Each scalar, text, image, sound and histogram is logged at its own step."""
    if _patched:
        return
    for module in _WRITERS:
        try:
            writer = late.outside(module).FileWriter
        except ImportError:
            continue
        _patched.append((writer, writer.add_summary))
        writer.add_summary = _following(writer.add_summary)
    if not _patched:
        told.once(
            "sync_tensorboard", "neither torch.utils.tensorboard nor tensorboardX can be imported; nothing is followed"
        )


def unpatch() -> None:
    """Leave the writers as they were."""
    while _patched:
        writer, original = _patched.pop()
        writer.add_summary = original


def _following(original: Callable[..., Any]) -> Callable[..., Any]:
    def add_summary(self: Any, summary: Any, global_step: Any = None, walltime: float | None = None) -> Any:
        done = original(self, summary, global_step, walltime)
        run = current.get()
        if run is not None:
            found = values_of(summary)
            if found:
                run.log_at(found, run.step if global_step is None else int(global_step), _time(walltime))
        return done

    return add_summary


def values_of(summary: Any) -> dict[str, Any]:
    """What a summary (the protocol buffer of TensorBoard) says, by its tags."""
    found: dict[str, Any] = {}
    for one in getattr(summary, "value", ()):
        value = _value(one)
        if value is not None:
            found[one.tag.removesuffix("/text_summary") if isinstance(value, str) else one.tag] = value
    return found


def _value(one: Any) -> Any:
    kind = one.WhichOneof("value")
    if kind == "simple_value":
        return one.simple_value
    if kind == "image":
        from tracehouse.wandb.pictures import Image

        return Image(one.image.encoded_image_string)
    if kind == "audio":
        from tracehouse.wandb.recordings import Audio

        return Audio(one.audio.encoded_audio_string)
    if kind == "histo":
        return _histogram(one.histo)
    if kind == "tensor":
        return _tensor(one.tensor)
    if kind is not None:
        told.once(f"sync_tensorboard of {kind}", "not followed")
    return None


def _tensor(tensor: Any) -> Any:
    if len(tensor.string_val):
        return "\n".join(text.decode("utf-8", "replace") for text in tensor.string_val)
    if len(tensor.float_val) == 1:
        return tensor.float_val[0]
    if len(tensor.tensor_content) == 4:
        return struct.unpack("<f", tensor.tensor_content)[0]
    told.once("sync_tensorboard of tensors", "only those of one number or of texts are followed")
    return None


def _histogram(histo: Any) -> Any:
    from tracehouse.wandb.histograms import MAX_BINS, Histogram

    counts, limits = list(histo.bucket), list(histo.bucket_limit)
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    low = histo.min if first == 0 else max(limits[first - 1], min(histo.min, limits[first]))
    edges = [low, *limits[first:last], max(min(histo.max, limits[last]), limits[last - 1] if last else low)]
    counts = counts[first : last + 1]
    width = -(-len(counts) // MAX_BINS)
    joined = [sum(counts[i : i + width]) for i in range(0, len(counts), width)]
    return Histogram(np_histogram=(joined, [*edges[:-1:width], edges[-1]]))


def _time(walltime: float | None) -> str | None:
    if walltime is None:
        return None
    return datetime.fromtimestamp(walltime, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
