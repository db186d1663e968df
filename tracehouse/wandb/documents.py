"""Pages, charts as pages, and shapes in space."""

from __future__ import annotations

import os

from tracehouse import late, media
from tracehouse.exceptions import MediaError, MediaTooLarge
from tracehouse.wandb import files, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tracehouse.redact import Redactor


class Html(media.Html):
    """A page, 25 MiB at most: its text, the path of an ``.html`` file, or an open file; ``data_is_not_path`` says that text is text.

    >>> wandb.Html("<b>it works</b>", caption="report").mime
    'text/html'
    """

    def __init__(
        self, data: Any, inject: bool = True, data_is_not_path: bool = False, caption: str | None = None
    ) -> None:
        if data_is_not_path and isinstance(data, str):
            data = data.encode("utf-8", "backslashreplace")
        super().__init__(data, caption=caption)


class Plotly:
    """A plotly or matplotlib figure: the former as a page and as its data, the latter as a picture.

    The page holds plotly.js (4.8 MB), so that no network is needed to look at it, wherever it was downloaded to. With ``embed=False``,
    where the installed plotly is without it, or where both are over 25 MiB, the page loads plotly.js from the net. A house runs no page
    that was uploaded: it lets it be downloaded, and keeps the figure's data as a value of the run, which ``cm.read`` and exports give.
    For a picture of it in the house's pages: ``wandb.Image(figure.to_image("png"))``, which needs kaleido and starts a browser.

    >>> import matplotlib.pyplot as plt
    >>> run = wandb.init(project="demo")
    >>> figure, axes = plt.subplots()
    >>> wandb.log({"curve": wandb.Plotly(figure)})
    """

    def __init__(self, val: Any, embed: bool = True) -> None:
        if not hasattr(val, "to_html") and not hasattr(val, "savefig"):
            raise MediaError(f"wandb.Plotly: neither a plotly nor a matplotlib figure, but {type(val)}")
        self._data: dict[str, Any] | None = None
        self._made: media.Html | media.Image
        if hasattr(val, "to_plotly_json"):
            figure = val.to_plotly_json()
            self._made = _FigurePage(figure, embed=embed)
            layout = {key: part for key, part in figure.get("layout", {}).items() if key != "template"}
            self._data = {"_type": "plotly", "data": figure.get("data", []), "layout": layout}
        elif hasattr(val, "to_html"):
            self._made = media.Html(val.to_html(include_plotlyjs=True if embed else "cdn", full_html=True).encode())
        else:
            self._made = media.Image(val)

    def entries(self, name: str, _: object = None) -> dict[str, Any]:
        """As it is logged under a name."""
        if self._data is None:
            return {name: self._made}
        made = files.bounded(name, self._data, "plotly")
        return {**made, name: [made[name], self._made]}


class _FigurePage(media.Html):
    """A plotly figure, given as its dict, as a page."""

    def __init__(self, figure: dict[str, Any], *, embed: bool) -> None:
        self._figure, self._embed = figure, embed
        try:
            super().__init__(_page(figure, embed).encode("utf-8", "backslashreplace"))
        except MediaTooLarge:
            # without plotly.js it may be short enough
            super().__init__(_page(figure, False).encode("utf-8", "backslashreplace"))

    def cleaned(self, redactor: Redactor) -> media.Html:
        """The page of the figure, the texts in that as they may be recorded: plotly.js is none of them."""
        return _FigurePage(redactor.clean(self._figure), embed=self._embed)


def _page(figure: dict[str, Any], embed: bool) -> str:
    to_html = late.outside("plotly.io").to_html
    try:
        return str(to_html(figure, include_plotlyjs=embed or "cdn", full_html=True, validate=False))
    except OSError:
        # an installation without its own plotly.js
        return str(to_html(figure, include_plotlyjs="cdn", full_html=True, validate=False))


class Object3D:
    """A shape by its file (``.obj``, ``.gltf``, ``.glb``, …), or points: an array (n, 3) or a dict of points, boxes and vectors.

    It is kept as a file, and not displayed.

    >>> run = wandb.init(project="demo")
    >>> wandb.log({"cloud": wandb.Object3D([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5]])})
    """

    kind = "object3D"

    def __init__(self, data_or_path: Any, caption: str | None = None, **options: Any) -> None:
        told.once(f"wandb.{type(self).__name__}", "kept as a file; nothing displays it in three dimensions")
        if isinstance(data_or_path, (str, os.PathLike)):
            self._file = files.File(data_or_path, caption=caption or os.path.basename(data_or_path))
        elif hasattr(data_or_path, "read"):
            data = data_or_path.read()
            data = data.encode() if isinstance(data, str) else data
            self._file = files.File(data, caption=caption or getattr(data_or_path, "name", None), kind=None)
        else:
            self._file = files.json_file(
                {"_type": self.kind, "data": data_or_path, **options}, caption or "points.json"
            )

    @classmethod
    def from_file(cls, data_or_path: Any, file_type: str | None = None) -> Object3D:
        """From a path or an open file."""
        return cls(data_or_path)

    @classmethod
    def from_numpy(cls, data: Any) -> Object3D:
        """From an array (n, 3), (n, 4) or (n, 6) of points."""
        return cls(data)

    @classmethod
    def from_point_cloud(
        cls, points: Any, boxes: Any = (), vectors: Any = None, point_cloud_type: Any = None
    ) -> Object3D:
        """From points, with boxes and vectors."""
        return cls({"type": point_cloud_type, "points": points, "boxes": boxes, "vectors": vectors})

    def entries(self, name: str, _: object = None) -> dict[str, Any]:
        """As it is logged under a name."""
        return {name: self._file}


class Molecule(Object3D):
    """A molecule by its file (``.pdb``, ``.sdf``, …), kept as such, and not displayed.

    >>> import io
    >>> run = wandb.init(project="demo")
    >>> wandb.log({"water": wandb.Molecule(io.StringIO("HETATM    1  O   HOH"), caption="water.pdb")})
    """

    kind = "molecule"
