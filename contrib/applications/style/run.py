"""Recognises the style of a photograph by fine-tuning SqueezeNet, as Caffe's paper does for Flickr's styles.

Jia et al., "Caffe: Convolutional Architecture for Fast Feature Embedding", 2014, figure 4; Karayev et al.,
"Recognizing Image Style", 2014.
"""

import fine
import net as last
import numpy as np
import scratch
from data import COUNTS, pictures
from net import MEAN, SIDE, TEST_BATCH, deployed
from styles import STYLES

from cafx.kernel import TEST, Net, Solver
from cafx_applications.datasets import squeezenet
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, say, train

SMALL_STAGES = {"last layer": 30, "fine-tuned": 10, "from scratch": 40}
BEST = 3
WEIGHTS = "style.caffemodel"


def run(settings: Settings) -> Figures:
    """Fine-tune in two stages, train from random weights for as long, and show the most confident answers."""
    images, labels = held()
    figures, before = {}, squeezenet().weights
    for name, program in {"last layer": last, "fine-tuned": fine, "from scratch": scratch}.items():
        program.solver.max_iter = SMALL_STAGES[name] if settings.small else program.solver.max_iter
        program.solver.random_seed = settings.seed
        trained = Solver(program.solver)
        if name != "from scratch":
            copied = trained.net.copy_from(before)
            say(f"{name}: {len(copied.filled)} layers copied; new: {', '.join(copied.untouched) or 'none'}")
        train(trained, program.solver.max_iter, name)
        before, prob = trained.net, probabilities(trained.net, images)
        figures[f"accuracy, {name}"] = float((prob.argmax(axis=1) == labels).mean())
        if name == "fine-tuned":
            trained.net.save(settings.out / WEIGHTS)
            draw(images, labels, prob, settings)
    return figures


def held() -> tuple[np.ndarray, np.ndarray]:
    """Pictures that are not learned from, cut to the net's size, and their styles."""
    images, labels = zip(*pictures("test", COUNTS["test"]), strict=True)
    border = (images[0].shape[1] - SIDE) // 2
    return np.stack(images)[:, :, border:-border, border:-border], np.array(labels)


def probabilities(trained: Net, images: np.ndarray) -> np.ndarray:
    """N × 5 probabilities of styles."""
    net = Net(deployed(TEST_BATCH), TEST)
    net.copy_from(trained)
    pixels = images.astype(np.float32) - np.array(MEAN, np.float32)[:, None, None]
    batches = pixels.reshape(-1, TEST_BATCH, *pixels.shape[1:])
    return np.concatenate([net.forward(data=batch)["prob"].reshape(TEST_BATCH, -1) for batch in batches])


def draw(images: np.ndarray, labels: np.ndarray, prob: np.ndarray, settings: Settings) -> None:
    """The three most confident answers per style; what is wrong is titled in red with its own style."""
    names, answers = list(STYLES), prob.argmax(axis=1)
    figure, axes = grid(BEST, len(names), 1.6)
    for column, (style, name) in enumerate(zip(axes.T, names, strict=True)):
        of_style = np.flatnonzero(answers == column)
        best = of_style[np.argsort(-prob[of_style, column], kind="stable")][:BEST]
        for axis, number in zip(style, best, strict=False):
            axis.imshow(images[number, ::-1].transpose(1, 2, 0))
            if labels[number] != column:
                axis.set_title(names[labels[number]], loc="right", color="red")
        style[0].set_title(name, loc="left")
    save(figure, settings.out / "style.png")


if __name__ == "__main__":
    main(run)
