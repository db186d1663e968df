"""``wandb.data_types``: what can be logged, under the names of its own module.

>>> wandb.data_types.Table is wandb.Table
True
"""

from tracehouse.wandb.documents import Html, Molecule, Object3D, Plotly
from tracehouse.wandb.histograms import Histogram
from tracehouse.wandb.pictures import Classes, Image
from tracehouse.wandb.recordings import Audio, Video
from tracehouse.wandb.tables import Table

__all__ = ["Audio", "Classes", "Histogram", "Html", "Image", "Molecule", "Object3D", "Plotly", "Table", "Video"]
