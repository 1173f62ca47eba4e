"""Run directories as training and evaluation leave them, small."""

import csv
import json

import numpy as np
from PIL import Image

from atonce.evaluation.scoring import Evaluation, PictureScore
from atonce.labels import LabelSpec
from atonce.metrics.confusion_matrix import ConfusionMatrix

NAMES = ("road", "rest", "pole", "boat")
RECIPE = "model:\n  stride: 8\ndata:\n  format: camvid\ntrain:\n  steps: 400\n"


def write_evaluation(folder, names=NAMES, palette=True):
    """Four classes by default, the last one absent; or any others, all present."""
    labels = LabelSpec.from_names(names)
    counts = np.random.default_rng(0).integers(1, 100, (len(names), len(names))) + 900 * np.eye(len(names), dtype=int)
    if names == NAMES:
        counts[3], counts[:, 3] = 0, 0
    scores = (PictureScore("a", 0.25, 0.5), PictureScore("b", float("nan"), float("nan")))
    Evaluation(labels, ConfusionMatrix.from_matrix(counts), scores).save(folder)
    if not palette:
        change(folder / "evaluation.json", palette=None)


def write_gallery(folder, name="a"):
    (folder / "gallery").mkdir(parents=True, exist_ok=True)
    entries = []
    for rank, score in (("worst", 0.251), ("best", 0.917)):
        path = f"gallery/{rank}_1.jpg"
        write_panel(folder / path)
        entries.append(
            {"name": f"{name} {rank}", "mean_iou": score, "pixel_accuracy": 0.9, "rank": rank, "picture": path}
        )
    (folder / "gallery.json").write_text(json.dumps(entries))


def write_log(folder, steps=(50, 100, 150, 200), l2=0.0, **changes):
    record = {"loss": 1.5, "cross_entropy": 1.5, "l2": l2, "lr": 0.0003, "train_mean_iou": 0.4, "seconds": 90.0}
    lines = [json.dumps({"step": step} | record | changes) + "\n" for step in steps]
    (folder / "log.jsonl").write_text("".join(lines))


def write_metrics(folder, mean_ious=(0.3, 0.61, 0.5), names=NAMES):
    rows = []
    for i, mean_iou in enumerate(mean_ious, 1):
        means = {"mean_iou": mean_iou, "pixel_accuracy": 0.8, "mean_accuracy": 0.7, "frequency_weighted_iou": 0.75}
        classes = {f"iou {name}": None if name == "boat" else mean_iou for name in names}
        rows.append({"step": 100 * i, "minutes": 1.5 * i} | means | classes)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_about(folder, **changes):
    about = {
        "atonce": "0.1.0",
        "torch": "2.13",
        "python": "3.12.3",
        "device": "cpu",
        "command": "atonce train data --out runs/x",
        "commit": None,
        "started": "2026-11-22 17:00",
        "minutes": 12.4,
        "data": {"format": "camvid", "pictures": {"train": 367, "val": 101}, "notes": []},
        "parameters": 17843212,
    }
    (folder / "run.json").write_text(json.dumps(about | changes))


def write_progress(folder, name="street", steps=(100, 200, 300, 400)):
    (folder / "pictures").mkdir(exist_ok=True)
    for step in steps:
        write_panel(folder / "pictures" / f"{name}_{step:06d}.jpg")


def write_panel(path, size=(8, 36)):
    Image.fromarray(np.full((*size, 3), 120, np.uint8)).save(path)


def write_run(folder):
    """Everything there is."""
    (folder / "recipe.yaml").write_text(RECIPE)
    for write in (write_log, write_metrics, write_evaluation, write_gallery, write_about, write_progress):
        write(folder)


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
