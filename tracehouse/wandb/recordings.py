"""Videos and sounds."""

from __future__ import annotations

from tracehouse import late, media, pixels
from tracehouse.exceptions import MediaError
from tracehouse.wandb import told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Video(media.Video):
    """A video, 25 MiB at most.

    ``data_or_path``: a file path, bytes, an open binary file, or an array of frames (T, C, H, W) or (T, H, W, C), which becomes
    a GIF of ``fps`` frames a second; those of a batch (N, T, C, H, W) stand side by side. Errors as of ``tracehouse.Video``.

    >>> wandb.Video(b"....ftypisom", caption="episode 3").mime
    'video/mp4'
    """

    def __init__(
        self,
        data_or_path: Any,
        caption: str | None = None,
        fps: int | None = None,
        format: str | None = None,  # noqa: A002
    ) -> None:
        if pixels.is_array(data_or_path):
            if format not in (None, "gif"):
                told.once(
                    f"Video(format={format!r}) of an array", "frames become a GIF; encode them yourself for another"
                )
            data_or_path, format = _side_by_side(data_or_path), None  # noqa: A001
        super().__init__(data_or_path, caption=caption, format=format, fps=4 if fps is None else fps)


class Audio(media.Audio):
    """A sound, 25 MiB at most.

    ``data_or_path``: a file path, bytes, an open binary file, or samples (n,) or (n, channels), floats in -1…1 or 16-bit ints, as an
    array or a list, which become a WAV file of ``sample_rate`` samples a second. Errors as of ``tracehouse.Audio``.

    >>> wandb.Audio([0.0, 0.5, -0.5], sample_rate=8000).mime
    'audio/wav'
    """

    def __init__(self, data_or_path: Any, sample_rate: int | None = None, caption: str | None = None) -> None:
        rate = 44_100 if sample_rate is None else int(sample_rate)
        if isinstance(data_or_path, (list, tuple)):
            super().__init__(_wav(data_or_path, rate), caption=caption, format="wav")
        else:
            super().__init__(data_or_path, caption=caption, sample_rate=rate)
        self.sample_rate = rate


def _side_by_side(frames: Any) -> Any:
    if len(frames.shape) != 5 or frames.shape[0] == 1:
        return frames
    np = late.outside("numpy")
    if hasattr(type(frames), "detach"):
        frames = frames.detach().cpu().numpy()
    videos = np.asarray(frames)
    width_axis = 3 if videos.shape[2] in (1, 2, 3, 4) else 2
    return np.concatenate(list(videos), axis=width_axis)


def _wav(samples: Any, rate: int) -> bytes:
    import wave
    from array import array
    from io import BytesIO

    rows = [row if isinstance(row, (list, tuple)) else (row,) for row in samples]
    channels = len(rows[0]) if rows else 1
    if any(len(row) != channels for row in rows):
        raise MediaError("wandb.Audio: each sample must have a value for each channel")
    flat = [value for row in rows for value in row]
    scale = 32767 if any(isinstance(value, float) for value in flat) else 1
    whole = array("h", [max(-32768, min(32767, round(value * scale))) for value in flat])
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        # of this machine's byte order, as wave wants it before 3.13 and after
        file.writeframesraw(whole.tobytes() if _is_little() else _swapped(whole))
    return out.getvalue()


def _is_little() -> bool:
    import sys

    return sys.byteorder == "little"


def _swapped(samples: Any) -> bytes:
    samples.byteswap()
    return bytes(samples.tobytes())
