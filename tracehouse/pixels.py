"""Pictures, frames and samples that are still numbers → the bytes of a file.

Values of an array as brightness:

=================  =====================================================================================================
uint8              as they are
bool               False black, True white
float in 0…1       0 black, 1 white
float in -1…1      -1 black, 1 white
other numbers      0…255, what lies outside is cut off; uint16 with more than 255: 0…65535. NaN is black
=================  =====================================================================================================

Shapes of a picture: (H, W), (H, W, C) or, where the last axis is no colour axis, (C, H, W), with C = 1, 2 (grey and alpha), 3
or 4; a torch tensor is (C, H, W) where it can be. Leading axes of length 1 fall away.
"""

from __future__ import annotations

import struct
import sys

from tracehouse import late
from tracehouse.exceptions import MediaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLOURS = (1, 2, 3, 4)
_PNG_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PILLOW_NAMES = {"jpg": "JPEG", "jpe": "JPEG", "tif": "TIFF", "svg+xml": "SVG"}
_ONLY_OPAQUE = ("JPEG", "BMP")


def is_array(data: object) -> bool:
    """An array of numpy, torch, jax or one that offers itself as such."""
    kind = type(data)
    return hasattr(kind, "shape") and hasattr(kind, "dtype")


def is_pillow(data: object) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(data, pillow.Image)


def picture(data: object, format: str | None) -> tuple[bytes, str]:  # noqa: A002
    """The bytes and the format's name of an array: PNG, or what Pillow makes for another `format`."""
    pixels = _brightness(_image_axes(_numpy(data), channels_first=_is_torch(data)))
    if _name_of(format) == "png":
        return _png(pixels), "png"
    pillow = _pillow("an array as anything but PNG")
    return pillow_picture(pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), format)


def pillow_picture(image: Any, format: str | None) -> tuple[bytes, str]:  # noqa: A002
    """The bytes and the format's name of a Pillow image: PNG unless `format` says otherwise; all frames where it has some."""
    from io import BytesIO

    name = _name_of(format)
    pillow_name = _PILLOW_NAMES.get(name, name.upper())
    out = BytesIO()
    frames = {"save_all": True} if getattr(image, "n_frames", 1) > 1 and pillow_name in ("GIF", "WEBP", "PNG") else {}
    try:
        _fitting(image, pillow_name).save(out, format=pillow_name, **frames)
    except (KeyError, OSError, ValueError) as error:
        raise MediaError(f"a picture of mode {image.mode} cannot be saved as {name!r}: {error}") from error
    return out.getvalue(), "apng" if frames and pillow_name == "PNG" else name


def animation(data: object, fps: float) -> tuple[bytes, str]:
    """A GIF of an array (T, H, W), (T, H, W, C) or (T, C, H, W)."""
    from io import BytesIO

    frames = _numpy(data)
    while frames.ndim > 4 and frames.shape[0] == 1:
        frames = frames[0]
    if frames.ndim not in (3, 4) or 0 in frames.shape:
        raise MediaError(
            f"cm.Video: an array of shape {frames.shape}; frames are (T, H, W), (T, H, W, C) or (T, C, H, W)"
        )
    pillow = _pillow("an array of frames")
    if frames.ndim == 3:
        frames = frames[..., None]
    if frames.shape[1] in _COLOURS and (frames.shape[3] not in _COLOURS or _is_torch(data)):
        frames = frames.transpose(0, 2, 3, 1)
    if frames.shape[3] not in _COLOURS:
        raise MediaError(f"cm.Video: frames of shape {frames.shape[1:]} have no colour axis of 1, 2, 3 or 4")
    pixels = _brightness(frames)
    pictures = [pillow.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame) for frame in pixels]
    out = BytesIO()
    pictures[0].save(
        out, format="GIF", save_all=True, append_images=pictures[1:], duration=max(20, round(1000 / fps)), loop=0
    )
    return out.getvalue(), "gif"


def sound(data: object, sample_rate: int) -> tuple[bytes, str]:
    """A WAV file (16 bits) of samples (n,) or (n, channels): floats in -1…1, or ints of 16 bits."""
    import wave
    from io import BytesIO

    samples = _numpy(data)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= 64:
        raise MediaError(f"cm.Audio: an array of shape {samples.shape}; samples are (n,) or (n, channels)")
    if samples.dtype.kind == "f":
        samples = (samples.clip(-1, 1) * 32767).round()
        samples[samples != samples] = 0
    out = BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(int(sample_rate))
        file.writeframes(samples.clip(-32768, 32767).astype("<i2").tobytes())
    return out.getvalue(), "wav"


def _name_of(format: str | None) -> str:  # noqa: A002
    return (format or "png").rpartition("/")[2].strip().lower().lstrip(".")


def _is_torch(data: object) -> bool:
    return hasattr(type(data), "detach")


def _numpy(data: Any) -> Any:
    if _is_torch(data):
        data = data.detach().cpu()
        if data.is_floating_point():
            data = data.float()  # numpy has no bfloat16
    try:
        np = late.outside("numpy")
    except ImportError:
        raise MediaError(f"media from {type(data)} needs numpy (pip install numpy)") from None
    return np.asarray(data)


def _pillow(what: str) -> Any:
    try:
        return late.outside("PIL.Image")
    except ImportError:
        raise MediaError(f"{what} needs Pillow (pip install pillow); or pass a file path or encoded bytes") from None


def _image_axes(array: Any, *, channels_first: bool) -> Any:
    """As (H, W, C)."""
    given = array.shape
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[0] in _COLOURS and (array.shape[2] not in _COLOURS or channels_first):
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in _COLOURS or 0 in array.shape:
        raise MediaError(
            f"cm.Image: an array of shape {given}; a picture is (H, W), (H, W, C) or (C, H, W), C = 1, 2, 3 or 4"
        )
    return array


def _brightness(array: Any) -> Any:
    """As contiguous uint8."""
    np = late.outside("numpy")
    kind = array.dtype.kind
    if kind not in "biuf":
        raise MediaError(f"an array of dtype {array.dtype} is no picture; its values must be numbers")
    if array.dtype != np.uint8:
        if kind == "f":
            array = np.nan_to_num(array.astype(np.float32, copy=False), nan=0.0, posinf=255.0, neginf=0.0)
        low, high = array.min(), array.max()
        if kind == "b":
            array = array.astype(np.uint8) * 255
        elif kind == "f" and low >= -1 and high <= 1:
            array = array * 255 if low >= 0 else (array + 1) * 127.5
        elif array.dtype == np.uint16 and high > 255:
            array = array // 257
        array = np.rint(array).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def _png(pixels: Any) -> bytes:
    """A PNG file of (H, W, C) uint8; each line stored with filter 0."""
    from zlib import compress, crc32

    height, width, channels = pixels.shape

    def part(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc32(name + body))

    raw = bytearray()
    for row in pixels:
        raw += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_TYPES[channels], 0, 0, 0)
    parts = part(b"IHDR", header) + part(b"IDAT", compress(raw, 6)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _fitting(image: Any, pillow_name: str) -> Any:
    """The image in a mode that the format can hold; what is transparent becomes white where it must."""
    opaque = pillow_name in _ONLY_OPAQUE
    if opaque and (image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info):
        rgba = image.convert("RGBA")
        white = _pillow("a picture").new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        return white.convert("RGB")
    if pillow_name == "JPEG":
        return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    if image.mode == "I" and pillow_name == "PNG":
        return image.convert("I;16")
    return image.convert("RGB") if image.mode in ("I", "CMYK", "YCbCr", "LAB", "HSV", "F") else image
