"""Training of a detector: plots as images, a table of predictions with boxes, curves, and the best weights as an artifact."""

import base64
from pathlib import Path

import tracehouse.wandb as wb

assert hasattr(wb, "__version__")
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
save_dir = Path("train")
save_dir.mkdir()
names = {0: "cat", 1: "dog"}

wb.run or wb.init(project="YOLO", name="exp", config={"imgsz": 640, "lr0": 0.01, "names": names})
for epoch in range(2):
    wb.run.log({"train/box_loss": 1.0 / (epoch + 1), "train/cls_loss": 2.0}, step=epoch + 1)
    wb.run.log({"lr/pg0": 0.01}, step=epoch + 1)
    for kind in ("labels", "results"):
        path = save_dir / f"{kind}_{epoch}.png"
        path.write_bytes(PNG)
        wb.run.log({path.stem: wb.Image(str(path))}, step=epoch + 1)
    wb.run.log({"metrics/mAP50(B)": 0.5 + epoch / 10}, step=epoch + 1)

table = wb.Table(columns=["id", "image", "confidence"])
for n in range(2):
    boxes = {
        "predictions": {
            "box_data": [
                {
                    "position": {"minX": 1, "maxX": 9, "minY": 1, "maxY": 9},
                    "class_id": n,
                    "box_caption": names[n],
                    "scores": {"conf": 0.9},
                    "domain": "pixel",
                }
            ],
            "class_labels": names,
        }
    }
    table.add_data(n, wb.Image(PNG, boxes=boxes), 0.9)
wb.run.log({"Validation-Table": table})
wb.run.log({"curves/PR": wb.plot.line_series(xs=[0, 0.5, 1], ys=[[1, 0.9, 0.2]], keys=["cat"], title="PR", xname="Recall")})
best = save_dir / "best.pt"
best.write_bytes(bytes(range(256)))
art = wb.Artifact(type="model", name=f"run_{wb.run.id}_model")
art.add_file(str(best))
wb.run.log_artifact(art, aliases=["best"])
wb.run.finish()
