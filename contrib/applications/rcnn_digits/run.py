"""Finds digits on cluttered canvases as R-CNN finds objects: proposals, a net's features, support vector machines.

R-CNN (Girshick et al., 2014) is what Caffe was first known for in detection. Selective search proposes windows, a net
that was trained on such windows describes them, a machine per class scores them, and a regression moves their boxes.
"""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pretrain
from data import CORNERS, MEAN, PAD, SCALE, SEARCH_WIDTH, pictures
from net import CLASSES, rcnn, softmax, solver
from rcnn import (
    HIT,
    NEAR,
    NEGATIVE,
    SUPPRESS,
    Found,
    crops,
    detections,
    machine,
    mean_average_precision,
    overlaps_per_class,
    regression,
)

from cafx.kernel import TEST, CafxError, Net, Solver
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, say, train
from cafx_lib_boxes import overlaps

BATCH = 128
SMALL_ITERATIONS = 60
STRICT = 0.75
LEAST_PROBABILITY, LEAST_SCORE, CERTAIN = 0.01, -1.0, 0.0
ROWS, COLUMNS, ZOOM = 2, 3, 2


def run(settings: Settings) -> Figures:
    """Train the net, the machines and the regression, and measure each step on the test pictures."""
    trained = trained_net(settings)
    seen, held = pictures("train"), pictures("test")
    tuned = Net(softmax(BATCH), TEST)
    tuned.copy_from(trained)
    final = Net(rcnn(BATCH), TEST)
    final.copy_from(trained)
    used = learn(final, seen, settings)
    model, weights = settings.out / "rcnn.prototxt", settings.out / "rcnn.caffemodel"
    model.write_text(str(rcnn(BATCH).to_proto()))
    final.save(weights)
    truth = [(each.labels, each.boxes) for each in held]
    with_softmax, with_machines, with_boxes = measured(tuned, final, held)
    command = detect(settings, held, LEAST_SCORE, "detections.csv")
    draw(held, settings)
    return {
        "windows per picture": float(np.mean([len(each.windows) for each in held])),
        "recall of selective search": recall(held),
        "negatives per machine": used,
        "mAP, softmax": mean_average_precision(with_softmax, truth),
        "mAP, machines": mean_average_precision(with_machines, truth),
        "mAP, machines and boxes": mean_average_precision(with_boxes, truth),
        f"mAP at {STRICT}, machines": mean_average_precision(with_machines, truth, STRICT),
        f"mAP at {STRICT}, machines and boxes": mean_average_precision(with_boxes, truth, STRICT),
        "mAP of cafx detect": mean_average_precision(command, truth),
    }


def trained_net(settings: Settings) -> Net:
    """The net, first trained to classify single digits, then fine-tuned on windows with a new last layer."""
    before, after = (SMALL_ITERATIONS if settings.small else each.max_iter for each in (pretrain.solver, solver))
    pretrained = Solver(pretrain.solver)
    train(pretrained, before, "pre-training")
    tuned = Solver(solver)
    tuned.net.copy_from(pretrained.net)
    train(tuned, after, "fine-tuning")
    return tuned.net


def learn(net: Net, seen: list, settings: Settings) -> float:
    """Fit the machines and the regression on the net's features, and put them into its last layers.

    Returns:
        The mean number of negatives per machine.
    """
    fc4, pool3, overlap, windows, boxes = examples(net, seen)
    say(f"{len(windows)} windows of {len(seen)} pictures")
    used = []
    for label in range(CLASSES):
        positive, near = overlap[:, label] == 1, overlap[:, label] >= NEAR
        if not positive.any():
            raise CafxError(
                f"no picture shows a {label}", where="pictures", remedy="make more: python data.py --train N"
            )
        weights, bias, count = machine(fc4[positive], fc4[overlap[:, label] < NEGATIVE], settings.rng(label))
        net.params["fc_rcnn"][0].mutable_data[label] = weights
        net.params["fc_rcnn"][1].mutable_data[label] = bias
        moves, offsets = regression(pool3[near], windows[near], boxes[near])
        net.params["offsets"][0].mutable_data[4 * label : 4 * label + 4] = moves
        net.params["offsets"][1].mutable_data[4 * label : 4 * label + 4] = offsets
        used.append(count)
    return float(np.mean(used))


def examples(net: Net, seen: list) -> tuple:
    """All windows and digits of the pictures: features, overlap with each class, boxes, and the digit of each."""
    columns: tuple[list, ...] = ([], [], [], [], [])
    for each in seen:
        rows = np.concatenate([each.boxes, each.windows])
        found = passed(net, crops(each.path, rows), ("fc4", "pool3"))
        nearest = overlaps(rows.astype(float), each.boxes.astype(float)).argmax(axis=1)
        overlap = overlaps_per_class(rows, each.labels, each.boxes)
        for column, values in zip(columns, (*found, overlap, rows, each.boxes[nearest]), strict=True):
            column.append(values)
    return tuple(np.concatenate(column) for column in columns)


def passed(net: Net, data: np.ndarray, blobs: tuple[str, ...]) -> list[np.ndarray]:
    """The values of any number of windows in several blobs."""
    kept: list[list] = [[] for _ in blobs]
    for start in range(0, len(data), BATCH):
        batch = np.zeros((BATCH, *data.shape[1:]), np.float32)
        count = len(data[start : start + BATCH])
        batch[:count] = data[start : start + BATCH]
        net.forward(data=batch)
        for name, values in zip(blobs, kept, strict=True):
            values.append(net.blobs[name].data[:count].reshape(count, -1).copy())
    return [np.concatenate(values) for values in kept]


def measured(tuned: Net, final: Net, held: list) -> tuple:
    """Detections by the net's softmax, by the machines, and by the machines with box regression."""
    found: tuple = ([], [], [])
    for number, each in enumerate(held):
        data = crops(each.path, each.windows)
        (prob,) = passed(tuned, data, ("prob",))
        scores, offsets = passed(final, data, ("fc_rcnn", "offsets"))
        found[0].extend(detections(number, each.windows, prob[:, 1:], LEAST_PROBABILITY))
        found[1].extend(detections(number, each.windows, scores, LEAST_SCORE))
        found[2].extend(detections(number, each.windows, scores, LEAST_SCORE, offsets))
    return found


def recall(held: list) -> float:
    """Share of the digits that a window overlaps by half."""
    best = [overlaps(each.boxes.astype(float), each.windows.astype(float)).max(axis=1) for each in held]
    return float((np.concatenate(best) >= HIT).mean())


def detect(settings: Settings, held: list, threshold: float, table: str, *more: object) -> list[Found]:
    """Run ``cafx detect`` with selective search on pictures, and return what it finds."""
    labels = settings.out / "labels.txt"
    labels.write_text("".join(f"{label}\n" for label in range(CLASSES)))
    options = {
        "--weights": settings.out / "rcnn.caffemodel",
        "--output": "fc_rcnn",
        "--boxes": "offsets",
        "--labels": labels,
        "--search-width": SEARCH_WIDTH,
        "--pad": PAD,
        "--mean": ",".join([str(MEAN)] * 3),
        "--scale": SCALE,
        "--threshold": threshold,
        "--overlap": SUPPRESS,
        "--csv": settings.out / table,
    }
    command: list = [sys.executable, "-m", "cafx.cli", "detect", settings.out / "rcnn.prototxt", "--quiet", *more]
    command += [each.path for each in held] + [part for pair in options.items() for part in pair]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CafxError("cafx detect failed", found=done.stderr.strip().rpartition("\n")[2])
    numbers = {each.path: number for number, each in enumerate(held)}
    with (settings.out / table).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    boxes = [np.array([int(row[name]) for name in CORNERS]) for row in rows]
    return [
        Found(numbers[row["filename"]], int(row["class"]), float(row["score"]), box)
        for row, box in zip(rows, boxes, strict=True)
    ]


def draw(held: list, settings: Settings) -> None:
    """Six pictures as ``cafx detect`` draws them: boxes, digits and scores."""
    drawn = settings.out / "boxes"
    detect(settings, held[: ROWS * COLUMNS], CERTAIN, "drawn.csv", "--out", drawn, "--zoom", ZOOM)
    figure, axes = grid(ROWS, COLUMNS, 3.2)
    for each, axis in zip(held, axes.flat, strict=False):
        axis.imshow(cv2.imread(str(drawn / Path(each.path).name))[:, :, ::-1])
    save(figure, settings.out / "rcnn_digits.png")


if __name__ == "__main__":
    main(run)
