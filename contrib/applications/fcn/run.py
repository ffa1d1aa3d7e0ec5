"""Labels every pixel of a scene: FCN-32s, then FCN-16s and FCN-8s from its weights.

Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015.
"""

import time

import fcn8s
import fcn16s
import net as fcn32s
import numpy as np
from data import CLASSES, COUNTS, SIDE, scenes
from net import deployed

from cafx.kernel import TEST, Net, Solver
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, say, train

STAGES = {32: fcn32s, 16: fcn16s, 8: fcn8s}
SMALL_ITERATIONS = {32: 150, 16: 100, 8: 500}
ROUNDS = 20
SHOWN = 4
COLOURS = ("#202020", "tab:blue", "tab:orange", "tab:green", "tab:red", "gold")


def run(settings: Settings) -> Figures:
    """Train the three nets, each from the one before, and score them on scenes that none has seen."""
    held = list(scenes("test", COUNTS["test"]))
    images, truth = (np.stack(part) for part in zip(*held, strict=True))
    figures, answers, before = {}, {}, None
    for stride, program in STAGES.items():
        program.solver.max_iter = SMALL_ITERATIONS[stride] if settings.small else program.solver.max_iter
        program.solver.random_seed = settings.seed
        trained = Solver(program.solver)
        if before is not None:
            transplant(before, trained.net)
        train(trained, program.solver.max_iter, f"FCN-{stride}s")
        before, net = trained.net, Net(deployed(stride, SIDE, SIDE), TEST)
        net.copy_from(trained.net)
        answers[stride] = np.stack([labelled(net, image) for image in images])
        figures |= scored(truth, answers[stride], f"{stride}s")
        figures[f"milliseconds per picture, {stride}s"] = timed(net)
    draw(images, truth, answers, settings)
    return figures


def transplant(source: Net, net: Net) -> None:
    """Copy the layers that both nets have; a new score is 0 everywhere, so it changes nothing at first."""
    copied = net.copy_from(source)
    say(f"{net.name}: {len(copied.filled)} layers from {source.name}; new: {', '.join(copied.untouched)}")


def labelled(net: Net, image: np.ndarray) -> np.ndarray:
    """The class of each pixel."""
    pixels = (image[None].astype(np.float32) - fcn32s.PIXELS["mean_value"]) * fcn32s.PIXELS["scale"]
    return net.forward(data=pixels)["score"][0].argmax(axis=0)


def confusion(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Number of pixels by true class (rows) and answer (columns)."""
    count = len(CLASSES)
    pairs = truth.astype(np.int64) * count + answer
    return np.bincount(pairs.ravel(), minlength=count**2).reshape(count, count)


def mean_iu(table: np.ndarray) -> float:
    """Intersection over union of truth and answer, averaged over the classes."""
    right = np.diag(table)
    return float(np.mean(right / (table.sum(axis=0) + table.sum(axis=1) - right)))


def scored(truth: np.ndarray, answer: np.ndarray, name: str) -> Figures:
    """Mean IU and accuracy of pixels."""
    table = confusion(truth, answer)
    return {f"mean IU, {name}": mean_iu(table), f"accuracy of pixels, {name}": float(np.trace(table) / table.sum())}


def timed(net: Net) -> float:
    """Median time of a picture in milliseconds."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        net.run_forward()
        seconds.append(time.perf_counter() - started)
    return 1e3 * float(np.median(seconds))


def draw(images: np.ndarray, truth: np.ndarray, answers: dict[int, np.ndarray], settings: Settings) -> None:
    """The first scenes, their truth and what each net answers."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = ListedColormap(COLOURS)
    figure, axes = grid(SHOWN, 2 + len(answers), 1.8)
    for row, image, *labels in zip(axes, images, truth, *answers.values(), strict=False):
        row[0].imshow(image[::-1].transpose(1, 2, 0))
        for axis, classes in zip(row[1:], labels, strict=True):
            axis.imshow(classes, cmap=colours, vmin=0, vmax=len(CLASSES) - 1, interpolation="nearest")
    for axis, title in zip(axes[0], ("scene", "truth", *(f"FCN-{stride}s" for stride in answers)), strict=True):
        axis.set_title(title, loc="left")
    patches = [Patch(color=colour, label=name) for colour, name in zip(COLOURS, CLASSES, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(CLASSES), frameon=False)
    save(figure, settings.out / "fcn.png")


if __name__ == "__main__":
    main(run)
