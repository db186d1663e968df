"""Pictures, with what is drawn over them."""

from __future__ import annotations

from tracehouse import late, media, pixels
from tracehouse.exceptions import MediaError
from tracehouse.wandb import files, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLUMNS, _PADDING = 8, 2
_MODES = {"1": 1, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


class Image(media.Image):
    """A picture, 25 MiB at most.

    ``data_or_path``: a file path, bytes, an open binary file, a Pillow image, a matplotlib figure (or ``pyplot``, for the current one), a
    numpy array or torch tensor; a batch (N, …) of more than one becomes one picture, 8 in a row. Values are scaled as
    ``tracehouse.pixels`` says; with ``normalize=False`` they are cut off at 0 and 255. ``file_type`` is the format to make ("png").
    ``boxes``, ``masks`` and ``classes`` are kept as JSON beside the picture. Errors as of ``tracehouse.Image``.

    >>> box = {"position": {"minX": 0.1, "maxX": 0.4, "minY": 0.2, "maxY": 0.6}, "class_id": 1}
    >>> wandb.Image(b"GIF89a...", caption="a cat", boxes={"found": {"box_data": [box]}}).mime
    'image/gif'
    """

    def __init__(
        self,
        data_or_path: Any,
        mode: str | None = None,
        caption: str | None = None,
        grouping: int | None = None,
        classes: Any = None,
        boxes: dict[str, Any] | None = None,
        masks: dict[str, Any] | None = None,
        file_type: str | None = None,
        normalize: bool = True,
    ) -> None:
        self.boxes: dict[str, Any] | None = None
        self.masks: dict[str, Any] | None = None
        self.classes: Any = None
        self.grouping: int | None = None
        super().__init__(_prepared(data_or_path, mode, normalize), caption=caption, format=file_type)
        self.boxes = boxes if boxes is not None else self.boxes
        self.masks = masks if masks is not None else self.masks
        self.grouping = grouping if grouping is not None else self.grouping
        self.classes = getattr(classes, "class_set", classes) if classes is not None else self.classes

    @property
    def overlay(self) -> dict[str, Any]:
        """Boxes, masks, classes and grouping, those of them that there are."""
        parts = {"boxes": self.boxes, "masks": self.masks, "classes": self.classes, "grouping": self.grouping}
        return {name: part for name, part in parts.items() if part is not None}

    def entries(self, name: str, _: object = None) -> dict[str, Any]:
        """As it is logged under a name: the picture, and what is drawn over it as a value before it."""
        if not self.overlay:
            return {name: self}
        value = {"_type": "image-overlay", "caption": self.caption, **self.overlay}
        made = files.bounded(name, value, "image-overlay")
        return {**made, name: [made[name], self]}

    def __repr__(self) -> str:
        return f"<Image {self.mime}, {self.caption!r}>"


class Classes:
    """The classes that boxes and masks name: dicts of ``id`` and ``name``.

    >>> classes = wandb.Classes([{"id": 1, "name": "cat"}])
    >>> wandb.Image(b"GIF89a...", classes=classes).classes
    [{'id': 1, 'name': 'cat'}]
    """

    def __init__(self, class_set: Any) -> None:
        self.class_set = list(class_set)


def _prepared(data: Any, mode: str | None, normalize: bool) -> Any:
    """What `tracehouse.Image` takes."""
    if not pixels.is_array(data):
        if not hasattr(data, "savefig") and hasattr(getattr(data, "figure", None), "savefig"):
            return data.figure
        return data.convert(mode) if mode is not None and pixels.is_pillow(data) and data.mode != mode else data
    shape = [int(length) for length in data.shape]
    if mode is not None and mode not in _MODES:
        told.once(f"Image(mode={mode!r})", "the mode of an array is that of its shape: L, LA, RGB or RGBA")
    if (len(shape) == 4 and shape[0] > 1) or not normalize:
        data = _array(data)
    if len(shape) == 4 and shape[0] > 1:
        data = _grid(data)
    return data if normalize else data.clip(0, 255).astype("uint8")


def _array(data: Any) -> Any:
    """As numpy; a tensor's colour axis goes last."""
    try:
        np = late.outside("numpy")
    except ImportError:
        raise MediaError(f"a picture from {type(data)} needs numpy (pip install numpy)") from None
    is_tensor = hasattr(type(data), "detach")
    if is_tensor:
        data = data.detach().cpu()
        data = data.float() if data.is_floating_point() else data
    array = np.asarray(data)
    first = array.ndim - 3
    if first >= 0 and array.shape[first] in (1, 2, 3, 4) and (is_tensor or array.shape[-1] not in (1, 2, 3, 4)):
        array = np.moveaxis(array, first, -1)
    return array


def _grid(pictures: Any) -> Any:
    """(N, H, W, C) as one (H', W', C)."""
    np = late.outside("numpy")
    n, height, width, channels = pictures.shape
    across = min(n, _COLUMNS)
    down = -(-n // across)
    grid = np.zeros(
        (down * (height + _PADDING) + _PADDING, across * (width + _PADDING) + _PADDING, channels), pictures.dtype
    )
    for i, picture in enumerate(pictures):
        y = (i // across) * (height + _PADDING) + _PADDING
        x = (i % across) * (width + _PADDING) + _PADDING
        grid[y : y + height, x : x + width] = picture
    return grid
