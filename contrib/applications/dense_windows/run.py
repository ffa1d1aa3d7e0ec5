"""Finds digits of several sizes in large pictures with one pass per scale: net surgery and sliding windows.

OverFeat (Sermanet et al., 2014) and Caffe's net surgery example cast a classifier's fully connected layers into
convolutions. The net then answers for every window of a picture in one pass.
"""

import time

import numpy as np
from data import NONE, SCALES, pictures
from detection import Found, combined, votes
from net import STRIDE, WINDOW, dense, solver, windows

from cafx.kernel import TEST, Net, Solver
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, say, train
from cafx_applications.scenes import Digit, overlap, resized

CAST = {"fc1": "fc1_conv", "score": "score_conv"}
PICTURES, SMALL_PICTURES = 60, 6
SMALL_ITERATIONS = 150
ROUNDS = 5
HIT = 0.5


def run(settings: Settings) -> Figures:
    """Train, compare the dense pass with windows one by one, and detect."""
    solver.max_iter = SMALL_ITERATIONS if settings.small else solver.max_iter
    trained = Solver(solver)
    train(trained, solver.max_iter, "classifier")
    scenes = list(pictures(SMALL_PICTURES if settings.small else PICTURES, settings.seed))
    nets = [cast(trained.net, int(scenes[0].image.shape[0] * scale) // STRIDE * STRIDE) for scale in SCALES]
    figures = compared(trained.net, nets[0], scenes[0].image)
    found = [detect(nets, each.image) for each in scenes]
    figures |= scored([each.digits for each in scenes], found)
    draw(nets[0], scenes, found, settings)
    return figures


def cast(classifier: Net, side: int) -> Net:
    """The dense net for pictures of a side, with the classifier's weights."""
    net = Net(dense(side, side), TEST)
    net.copy_from(classifier)
    for old, new in CAST.items():
        for source, target in zip(classifier.params[old], net.params[new], strict=True):
            target.set_data(source.data)  # the same numbers in the same order; only the shape differs
    return net


def compared(classifier: Net, net: Net, image: np.ndarray) -> Figures:
    """Largest difference from, and time as a share of, classifying every window on its own."""
    picture = scaled(image, net)
    cut = np.lib.stride_tricks.sliding_window_view(picture[0, 0], (WINDOW, WINDOW))[::STRIDE, ::STRIDE]
    one_by_one = Net(windows(int(np.prod(cut.shape[:2]))), TEST)
    one_by_one.copy_from(classifier)
    batch = np.ascontiguousarray(cut.reshape(-1, 1, WINDOW, WINDOW))
    each = one_by_one.forward(data=batch)["prob"].reshape(*cut.shape[:2], -1).transpose(2, 0, 1).copy()
    whole = net.forward(data=picture)["prob"][0].copy()
    seconds: dict[str, list[float]] = {"windows": [], "dense": []}
    for _ in range(ROUNDS):
        for name, which, fed in (("windows", one_by_one, batch), ("dense", net, picture)):
            started = time.perf_counter()
            which.forward(data=fed)
            seconds[name].append(time.perf_counter() - started)
    took = {name: float(np.median(times)) for name, times in seconds.items()}
    say(f"{len(batch)} windows: {took['windows'] * 1e3:.1f} ms; one dense pass: {took['dense'] * 1e3:.1f} ms")
    return {"largest difference": float(np.abs(each - whole).max()), "share of time": took["dense"] / took["windows"]}


def scaled(image: np.ndarray, net: Net) -> np.ndarray:
    """The picture at the size of a net, as its input."""
    side = net.blobs["data"].shape[-1]
    return (resized(image, side) / np.float32(256))[None, None].astype(np.float32)


def detect(nets: list[Net], image: np.ndarray) -> list[Found]:
    """Digits in a picture, by the votes of all scales."""
    found: list[Found] = []
    for net in nets:
        prob = net.forward(data=scaled(image, net))["prob"][0]
        found += votes(prob, NONE, STRIDE, WINDOW, image.shape[0] / net.blobs["data"].shape[-1])
    return combined(found)


def scored(truth: list[list[Digit]], found: list[list[Found]]) -> Figures:
    """Precision, recall and their harmonic mean: a hit is the right digit with half of the united area in common."""
    hits = total = answers = 0
    for digits, answered in zip(truth, found, strict=True):
        total, answers = total + len(digits), answers + len(answered)
        for digit in digits:
            hits += any(each.label == digit.label and overlap(each.box, digit.box) >= HIT for each in answered)
    precision, recall = hits / max(1, answers), hits / total
    return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / max(1e-9, precision + recall)}


def draw(net: Net, scenes: list, found: list[list[Found]], settings: Settings) -> None:
    """Three pictures: what was found, and the map of the largest digit's probability at the finest scale."""
    from matplotlib.patches import Rectangle

    figure, axes = grid(2, 3, 2.6)
    for column, (each, answered) in enumerate(zip(scenes[:3], found[:3], strict=True)):
        top, bottom = axes[:, column]
        top.imshow(each.image, cmap="gray")
        for one in answered:
            left, upper, right, lower = one.box
            top.add_patch(Rectangle((left, upper), right - left, lower - upper, fill=False, color="yellow"))
            top.text(left, upper - 2, str(one.label), color="yellow")
        prob = net.forward(data=scaled(each.image, net))["prob"][0]
        bottom.imshow(prob[:NONE].max(axis=0), cmap="magma", vmin=0, vmax=1)
    axes[0, 0].set_title("found", loc="left")
    axes[1, 0].set_title("dense map, scale 1", loc="left")
    save(figure, settings.out / "dense_windows.png")


if __name__ == "__main__":
    main(run)
