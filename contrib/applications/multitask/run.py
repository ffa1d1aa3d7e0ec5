"""Two cameras, two tasks: a net classifies and repairs digits of which each input has a noisy half.

Multi-input and multi-task nets of Caffe's tutorial slides: Data layers in lock-step, and one objective that is a
weighted sum of losses.
"""

import numpy as np
from data import views
from net import VIEWS, WEIGHTS, deployed, multitask, solved

from cafx.kernel import TEST, Net, Solver
from cafx_applications.datasets import mnist
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, train

NETS = {
    "both tasks": {},
    "pixels weigh less": {"pixels": 0.003},
    "classes only": {"pixels": 0},
    "pixels only": {"classes": 0},
    "left view only": {"views": ("left",)},
}
SMALL = ("both tasks", "left view only")
SMALL_ITERATIONS = 150
SHOWN = 8


def run(settings: Settings) -> Figures:
    """Train with both tasks, with one of them, and from one view; draw what the first net repairs."""
    figures: Figures = {}
    for name, options in NETS.items():
        if settings.small and name not in SMALL:
            continue
        spec = solved(multitask(**options))
        spec.max_iter = SMALL_ITERATIONS if settings.small else spec.max_iter
        with Solver(spec) as solver:
            train(solver, spec.max_iter, name)
            figures |= scored(name, solver.test(), {**WEIGHTS, **options})
            if name == "both tasks":
                draw(solver.net, settings)
    return figures


def scored(name: str, scores: dict, options: dict) -> Figures:
    """The scores of the tasks that a net has learned; both views must have been of the same digits."""
    found: Figures = {}
    if options["classes"]:
        found[f"accuracy, {name}"] = float(scores["accuracy"])
    if options["pixels"]:
        found[f"squared error per digit, {name}"] = 2 * float(scores["pixel_error"])
    return found | {f"out of step, {name}": float(scores["out_of_step"])}


def draw(trained: Net, settings: Settings) -> None:
    """Test digits: what the cameras see, what the net makes of it, and the truth."""
    seen = {view: np.stack([image for image, _ in views(view, "test", SHOWN)]) for view in VIEWS}
    net = Net(deployed(SHOWN), TEST)
    net.copy_from(trained)
    out = net.forward(**{view: images[:, None] / np.float32(256) for view, images in seen.items()})
    gap = np.full((*seen["left"].shape[:2], 2), 255, np.uint8)
    rows = (
        ("two views", np.concatenate([seen["left"], gap, seen["right"]], axis=2)),
        ("repaired", out["reconstruction"].reshape(SHOWN, 28, 28)),
        ("truth", mnist("test").images[:SHOWN]),
    )
    figure, axes = grid(len(rows), SHOWN, 1.1)
    for row, (name, images) in zip(axes, rows, strict=True):
        for number, (each, image) in enumerate(zip(row, images, strict=True)):
            each.imshow(image, cmap="gray")
            if name == "repaired":
                each.set_title(f"says {out['prob'][number].argmax()}", fontsize=9)
        if name != "repaired":
            row[0].set_title(name, fontsize=9)
    save(figure, settings.out / "multitask.png")


if __name__ == "__main__":
    main(run)
