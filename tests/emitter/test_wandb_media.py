"""The wandb-shaped door: what can be logged, and what it becomes."""

from __future__ import annotations

import base64
import io
import json
import logging
import random
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracehouse
import tracehouse.wandb as wandb
from tests.support.lanes import needs_module
from tests.support.wandb import Place, place
from tracehouse.exceptions import ArgumentError, MediaError, MediaTooLarge, MediaUnreadable
from tracehouse.wandb import files, tables

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(name="here")
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for found in place(tmp_path, monkeypatch):
        found.begin()
        yield found


def _size(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_a_histogram_counts_as_numpy_does_with_numpy_and_without() -> None:
    needs_module("numpy")
    import numpy as np

    source = random.Random(5)
    for numbers in ([1, 2, 3, 4], [source.gauss(0, 3) for _ in range(500)], [7, 7, 7], [], [-1e308, 1e308]):
        plain, arrays = wandb.Histogram(numbers, num_bins=16), wandb.Histogram(np.array(numbers, float), num_bins=16)
        assert plain.counts == arrays.counts
        assert plain.bins == pytest.approx(arrays.bins)
        assert (sum(plain.counts), len(plain.bins)) == (len(numbers), 17)


def test_a_histogram_takes_what_iterates_and_counts_what_is_not_finite(here: Place) -> None:
    made = wandb.Histogram(n for n in (1.0, 2.0, float("nan"), float("inf"), 3.0))
    assert (sum(made.counts), made.nonfinite, made.histogram is made.counts) == (3, 2, True)
    wandb.log({"h": made, "given": wandb.Histogram(np_histogram=([1, 2], [0, 1, 2])), "many": [made, made]})
    values = here.values()
    assert values["h"]["_type"] == "histogram"
    assert values["h"]["nonfinite"] == 2
    assert values["given"] == {"_type": "histogram", "counts": [1, 2], "bins": [0, 1, 2]}
    assert values["many/1"] == values["h"]


@pytest.mark.parametrize(
    "given", [{"num_bins": 513}, {"num_bins": 0}, {"np_histogram": ([1], [0])}, {"sequence": ["x"]}]
)
def test_a_histogram_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        wandb.Histogram(**{"sequence": [1], **given})


def test_images_are_real_media(here: Place, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(PNG)
    wandb.log(
        {"path": wandb.Image(str(path), caption="c"), "bytes": wandb.Image(PNG), "open": wandb.Image(io.BytesIO(PNG))}
    )
    wandb.log({"core": tracehouse.Image(PNG), "n": 1})
    assert [(one["key"], one["media_type"], one["mime"], one["step"], one.get("caption")) for one in here.media()] == [
        ("path", "image", "image/png", 0, "c"), ("bytes", "image", "image/png", 0, None),
        ("open", "image", "image/png", 0, None), ("core", "image", "image/png", 1, None),
    ]  # fmt: skip
    assert here.file("path") == PNG
    assert wandb.summary["path"] == {"_type": "image", "caption": "c"}


def test_a_list_of_images_shares_its_key(here: Place) -> None:
    wandb.log({"samples": [wandb.Image(PNG, caption=str(n)) for n in range(3)], "eval": {"x": [wandb.Image(PNG)]}})
    assert [(one["key"], one.get("caption")) for one in here.media()] == [
        ("samples", "0"), ("samples", "1"), ("samples", "2"), ("eval/x", None),
    ]  # fmt: skip
    assert here.rows() == []


def test_boxes_and_masks_are_kept_beside_the_image(here: Place) -> None:
    boxes = {"pred": {"box_data": [{"position": {"middle": [0.5, 0.5]}, "class_id": 1}], "class_labels": {1: "cat"}}}
    masks = {"truth": {"mask_data": [[0, 1], [1, 0]], "class_labels": {0: "no", 1: "cat"}}}
    classes = wandb.Classes([{"id": 1, "name": "cat"}])
    wandb.log(
        {"a": wandb.Image(PNG, boxes=boxes, caption="one"), "b": [wandb.Image(PNG, masks=masks, classes=classes)]}
    )
    values = here.values()
    assert values["a"][0]["boxes"]["pred"]["box_data"][0]["class_id"] == 1
    assert values["a"][0]["caption"] == "one"
    assert values["b"][0]["masks"]["truth"]["mask_data"] == [[0, 1], [1, 0]]
    assert values["b"][0]["classes"] == [{"id": 1, "name": "cat"}]
    assert [one["key"] for one in here.media()] == ["a", "b"]


def test_arrays_become_pictures_and_a_batch_one_picture(here: Place) -> None:
    needs_module("numpy")
    import numpy as np

    wandb.log({
        "hwc": wandb.Image(np.zeros((4, 6, 3), np.uint8)), "chw": wandb.Image(np.zeros((3, 4, 6), np.float32)),
        "grey": wandb.Image(np.ones((5, 7)), mode="L"), "batch": wandb.Image(np.zeros((9, 3, 6, 6))),
        "raw": wandb.Image(np.full((2, 2), 300.0), normalize=False),
    })  # fmt: skip
    assert {key: _size(here.file(key)) for key in ("hwc", "chw", "grey", "batch")} == {
        "hwc": (6, 4), "chw": (6, 4), "grey": (7, 5), "batch": (8 * 8 + 2, 2 * 8 + 2),
    }  # fmt: skip


def test_pillow_pictures_are_taken_with_and_without_a_wrapper(here: Place) -> None:
    needs_module("PIL")
    from PIL import Image

    picture = Image.new("RGB", (3, 2))
    wandb.log({"wrapped": wandb.Image(picture, file_type="jpg"), "bare": picture})
    assert here.media("wrapped")[0]["mime"] == "image/jpeg"
    assert _size(here.file("bare")) == (3, 2)


def test_videos_and_sounds(here: Place, tmp_path: Path) -> None:
    needs_module("numpy")
    needs_module("PIL")
    import numpy as np

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x14ftypmp42")
    wandb.log({
        "frames": wandb.Video(np.zeros((3, 3, 8, 6), np.uint8), fps=4, format="mp4"), "path": wandb.Video(str(clip)),
        "batch": wandb.Video(np.zeros((2, 3, 3, 8, 6), np.uint8)),
        "samples": wandb.Audio(np.zeros(80, np.float32), sample_rate=8000, caption="hush"),
        "list": wandb.Audio([0.0, 0.5, -1.0], sample_rate=16000), "stereo": wandb.Audio([(1, 2), (3, 4)], sample_rate=8000),
    })  # fmt: skip
    assert {one["key"]: (one["media_type"], one["mime"]) for one in here.media()} == {
        "frames": ("video", "image/gif"), "path": ("video", "video/mp4"), "batch": ("video", "image/gif"),
        "samples": ("audio", "audio/wav"), "list": ("audio", "audio/wav"), "stereo": ("audio", "audio/wav"),
    }  # fmt: skip
    assert int.from_bytes(here.file("batch")[6:8], "little") == 12
    with wave.open(io.BytesIO(here.file("list"))) as sound:
        assert (sound.getframerate(), sound.getnframes(), sound.readframes(3)) == (
            16000,
            3,
            b"\x00\x00\x00\x40\x01\x80",
        )
    with wave.open(io.BytesIO(here.file("stereo"))) as sound:
        assert (sound.getnchannels(), sound.readframes(2)) == (2, bytes([1, 0, 2, 0, 3, 0, 4, 0]))


def test_pages_come_as_text_path_or_file(here: Place, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>file</p>")
    wandb.log(
        {"text": wandb.Html("<b>x</b>"), "path": wandb.Html(str(page)), "open": wandb.Html(io.StringIO("<i>y</i>"))}
    )
    assert [here.file(key) for key in ("text", "path", "open")] == [b"<b>x</b>", b"<p>file</p>", b"<i>y</i>"]
    assert {one["media_type"] for one in here.media()} == {"html"}


def test_shapes_and_molecules_are_kept_as_files_and_that_is_said(
    here: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "m.pdb"
    model.write_text("ATOM")
    wandb.log({"m": wandb.Molecule(str(model)), "cloud": wandb.Object3D([[0, 1, 2], [3, 4, 5]])})
    assert here.file("m") == b"ATOM"
    assert json.loads(here.file("cloud"))["data"] == [[0, 1, 2], [3, 4, 5]]
    assert {one["media_type"] for one in here.media()} == {"file"}
    assert "wandb.Molecule" in caplog.text
    assert "wandb.Object3D" in caplog.text


def test_tables_are_filled_in_every_way(here: Place) -> None:
    table = wandb.Table(columns=["prompt", "reward"], data=[["a", 1]])
    table.add_data("b", 2.5)
    table.add_row("c", None)
    table.add_column("step", [0, 1, 2])
    table.add_computed_columns(lambda n, row: {"twice": (row["step"] or 0) * 2})
    with pytest.raises(ValueError, match="has 4 columns"):
        table.add_data("x")
    with pytest.raises(ArgumentError, match="has 3 rows"):
        table.add_column("y", [1])
    wandb.log({"t": table})
    assert here.values()["t"] == {
        "_type": "table", "columns": ["prompt", "reward", "step", "twice"],
        "data": [["a", 1, 0, 0], ["b", 2.5, 1, 2], ["c", None, 2, 4]],
    }  # fmt: skip
    assert table.get_column("reward") == [1, 2.5, None]
    assert list(table.iterrows())[1] == (1, ["b", 2.5, 1, 2])
    assert wandb.Table().columns == ["Input", "Output", "Expected"]
    assert wandb.Table(data=[[1, 2]]).columns == [0, 1]


def test_media_in_the_cells_of_a_table_are_media(here: Place) -> None:
    table = wandb.Table(columns=["n", "picture", "page"])
    table.add_data(1, wandb.Image(PNG, caption="one", boxes={"p": {}}), wandb.Html("<b>"))
    table.add_data(2, None, wandb.Histogram([1, 2], num_bins=2))
    wandb.log({"t": table})
    assert here.values()["t"]["data"] == [
        [1, {"_type": "image", "media": "t/picture/0", "caption": "one"}, {"_type": "html", "media": "t/page/0", "caption": None}],
        [2, None, {"_type": "histogram", "counts": [1, 1], "bins": [1.0, 1.5, 2.0]}],
    ]  # fmt: skip
    assert here.file("t/picture/0") == PNG
    assert here.values()["t/picture/0"][0]["boxes"] == {"p": {}}


def test_a_long_table_is_kept_in_files(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_VALUE", 2000)
    monkeypatch.setattr(tables, "MAX_PART", 3000)
    rows = [[n, "x" * 50] for n in range(100)]
    wandb.log({"t": wandb.Table(columns=["n", "text"], data=rows), "loss": 1})
    value = here.values()["t"]
    assert (value["columns"], value["data"], value["rows"]) == (["n", "text"], [], 100)
    assert len(value["media"]) > 1
    assert [row for key in value["media"] for row in json.loads(here.file(key))] == rows


class _Figure:
    __module__ = "matplotlib.figure"

    def savefig(self, out: Any, format: str) -> None:  # noqa: A002
        out.write(PNG)


def test_figures_of_matplotlib_and_plotly_are_told_by_what_they_can(here: Place) -> None:
    figure = _Figure()
    axes = type("Axes", (), {"__module__": "matplotlib.axes", "figure": figure})()
    chart = type("Chart", (), {"__module__": "plotly.graph_objs", "to_html": lambda self, **_: "<div>chart</div>"})()
    wandb.log({"fig": figure, "ax": axes, "img": wandb.Image(figure), "chart": chart, "p": wandb.Plotly(chart)})
    assert (here.file("fig"), here.file("ax"), here.file("img")) == (PNG, PNG, PNG)
    assert here.file("chart") == here.file("p") == b"<div>chart</div>"
    with pytest.raises(MediaError):
        wandb.Plotly(5)


@pytest.mark.parametrize("library", ["matplotlib", "plotly", "pandas", "polars"])
def test_what_libraries_make_is_taken_as_it_is(here: Place, library: str) -> None:
    needs_module(library)
    if library == "matplotlib":
        from matplotlib import pyplot

        pyplot.switch_backend("Agg")
        pyplot.plot([1, 2, 3])
        wandb.log({"pyplot": wandb.Image(pyplot), "module": pyplot, "gcf": pyplot.gcf(), "axes": pyplot.gca()})
        assert {one["mime"] for one in here.media()} == {"image/png"}
        assert len(here.media()) == 4
    elif library == "plotly":
        from plotly import graph_objects

        figure = graph_objects.Figure(graph_objects.Scatter(x=[1, 2], y=[3, 4]), layout={"title": {"text": "T"}})
        wandb.log({"chart": figure, "small": wandb.Plotly(figure, embed=False)})
        page, small = here.file("chart"), here.file("small")
        assert b"Plotly.newPlot" in page
        assert len(page) > 1_000_000, "plotly.js is in it: no network is needed to look at it"
        assert b"<script src=" not in page
        assert len(small) < 100_000
        [drawn] = here.values()["chart"]
        assert (drawn["_type"], drawn["data"][0]["y"], drawn["layout"]) == ("plotly", [3, 4], {"title": {"text": "T"}})
    else:
        frame = __import__(library).DataFrame({"a": [1, 2], "b": ["x", "y"]})
        wandb.log({"t": wandb.Table(dataframe=frame), "bare": frame, "positional": wandb.Table(data=frame)})
        expected = {"_type": "table", "columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}
        assert here.values() == dict.fromkeys(("t", "bare", "positional"), expected)


def test_the_text_of_a_figure_is_cleaned_before_it_is_drawn(tmp_path: Path) -> None:
    needs_module("plotly")
    from plotly import graph_objects

    run = wandb.init(spool_dir=tmp_path, redact="emails", capture_env=False, system_metrics=False)
    run.log({"chart": graph_objects.Figure(graph_objects.Scatter(x=[1], y=[2], text=["ada@example.org"]))})
    run.finish()
    found = [path.read_text() for path in tmp_path.rglob("*") if path.suffix in (".html", ".jsonl")]
    assert len(found) == 2
    assert not any("ada@example.org" in text for text in found)
    assert sum("[redacted]" in text for text in found) == 2


def test_scalars_and_arrays_of_numpy_are_values(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_module("numpy")
    import numpy as np

    wandb.log({"f": np.float32(0.5), "i": np.int64(3), "a": np.arange(3), "long": np.zeros(2**20 + 1, np.uint8)})
    values = here.values()
    assert (values["f"], values["i"], values["a"]) == (0.5, 3, [0, 1, 2])
    assert values["long"]["_type"] == "histogram"
    assert (wandb.summary["f"], type(wandb.summary["f"])) == (0.5, float)


def test_media_that_cannot_be_read_cost_nothing_but_themselves(here: Place, tmp_path: Path) -> None:
    path = tmp_path / "gone.png"
    path.write_bytes(PNG)
    picture = wandb.Image(str(path))
    path.unlink()
    with pytest.raises(MediaUnreadable):
        wandb.log({"loss": 1, "img": picture, "other": wandb.Image(PNG)})
    wandb.log({"loss": 2})
    assert [step for step, _ in here.rows()] == [0, 1]
    assert [one["key"] for one in here.media()] == ["other"]


def test_e3_a_figure_that_is_too_large_costs_nothing_beside_it(here: Place) -> None:
    chart = type("Chart", (), {"__module__": "plotly.graph_objs", "to_html": lambda self, **_: "x" * (26 << 20)})()
    with pytest.raises(MediaTooLarge):
        wandb.log({"loss": 1, "chart": chart, "img": wandb.Image(PNG), "acc": 2})
    assert here.values() == {"loss": 1, "acc": 2}
    assert [one["key"] for one in here.media()] == ["img"]


def test_charts_are_tables_that_say_what_they_are_for(here: Place) -> None:
    table = wandb.Table(columns=["x", "y"], data=[[1, 2]])
    wandb.log({
        "line": wandb.plot.line(table, "x", "y", title="T"), "scatter": wandb.plot.scatter(table, "x", "y"),
        "bar": wandb.plot.bar(table, "x", "y"), "histogram": wandb.plot.histogram(table, "y"),
        "series": wandb.plot.line_series([0, 1], [[1, 2], [3, 4]], keys=["a", "b"]),
        "own": wandb.plot_table("me/spec", table, {"x": "x"}, {"title": "own"}),
    })  # fmt: skip
    values = here.values()
    assert values["line"] == {
        "_type": "table", "columns": ["x", "y"], "data": [[1, 2]], "chart": "line", "fields": {"x": "x", "y": "y"}, "title": "T",
    }  # fmt: skip
    assert values["series"]["data"] == [[0, "a", 1], [1, "a", 2], [0, "b", 3], [1, "b", 4]]
    assert [values[key]["chart"] for key in ("scatter", "bar", "histogram", "own")] == [
        "scatter",
        "bar",
        "histogram",
        "me/spec",
    ]


def test_the_charts_of_classifiers_are_right() -> None:
    matrix = wandb.plot.confusion_matrix(y_true=[0, 0, 1, 1], preds=[0, 1, 1, 1], class_names=["no", "yes"])
    assert matrix.table.data == [["no", "no", 1], ["no", "yes", 1], ["yes", "no", 0], ["yes", "yes", 2]]
    by_probs = wandb.plot.confusion_matrix(probs=[[0.9, 0.1], [0.2, 0.8]], y_true=[0, 0], class_names=["no", "yes"])
    assert [row[2] for row in by_probs.table.data] == [1, 1, 0, 0]
    truth, probs = [0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]
    roc = wandb.plot.roc_curve(truth, probs, labels=["no", "yes"], classes_to_plot=[1])
    assert roc.table.data == [
        ["yes", 0.0, 0.0],
        ["yes", 0.0, 0.5],
        ["yes", 0.5, 0.5],
        ["yes", 0.5, 1.0],
        ["yes", 1.0, 1.0],
    ]
    pr = wandb.plot.pr_curve(truth, probs, classes_to_plot=[1], interp_size=3)
    assert pr.table.data == [[1, 1.0, 0.0], [1, 1.0, 0.5], [1, pytest.approx(2 / 3), 1.0]]
    with pytest.raises(ArgumentError):
        wandb.plot.confusion_matrix(y_true=[0])


def test_what_is_redacted_in_values_is_redacted_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for here in place(tmp_path, monkeypatch):
        here.begin(redact=["emails"])
        wandb.log({"t": wandb.Table(columns=["who"], data=[["me@example.org"]]), "s": "me@example.org"})
        assert "example.org" not in json.dumps(here.values())


def test_alerts_are_recorded_and_told(here: Place, caplog: pytest.LogCaptureFixture) -> None:
    wandb.alert("low", "loss is nan", level=wandb.AlertLevel.ERROR, wait_duration=300)
    wandb.alert("low", "again", wait_duration=300)
    assert here.values()["alerts"] == {"_type": "alert", "title": "low", "text": "loss is nan", "level": "ERROR"}
    assert ("tracehouse", logging.ERROR, "low: loss is nan") in caplog.record_tuples
    assert "again" not in caplog.text
    with pytest.raises(wandb.UsageError, match="level must be one of"):
        wandb.alert("x", level="LOUD")


def test_logging_plain_values_imports_no_array_library(tmp_path: Path) -> None:
    script = """
import sys, tracehouse.wandb as wandb
wandb.init(capture_env=False, system_metrics=False)
wandb.log({"a": 1, "h": wandb.Histogram([1, 2]), "t": wandb.Table(columns=["a"], data=[[1]]), "s": [1, 2]})
wandb.log({"sound": wandb.Audio([0.5])})
wandb.finish()
print(sorted({"numpy", "PIL", "torch", "matplotlib", "plotly", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
