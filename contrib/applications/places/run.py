"""Tells type, category and attributes of scenes from one pass of one net, as the Places demonstration does.

The Places net (Zhou et al., 2014), trained in Caffe, was shown with the type of environment, the most probable
categories and the scene's attributes. Here, a trunk is shared by three heads with a loss each.
"""

from textwrap import fill

import numpy as np
from data import COUNTS, places
from net import MEAN, SCALE, deploy, solver
from scenery import ATTRIBUTES, CATEGORIES, TYPES
from sklearn.metrics import average_precision_score, f1_score

from cafx.kernel import TEST, Net, Solver
from cafx_applications.pictures import grid, save
from cafx_applications.running import Figures, Settings, main, train

SMALL_ITERATIONS = 150
BATCH = 100
LIKELY = 0.5
TOP, LEAST, WIDTH = 3, 0.005, 40
SHOWN = [index for index in range(len(CATEGORIES)) if CATEGORIES[index] not in ("corridor", "desert")]


def run(settings: Settings) -> Figures:
    """Train, tell what is in the held-out scenes, and draw some."""
    solver.max_iter = SMALL_ITERATIONS if settings.small else solver.max_iter
    trained = Solver(solver)
    train(trained, solver.max_iter, "places")
    net = Net(deploy(BATCH), TEST)
    net.copy_from(trained.net)
    scenes = list(places("test", COUNTS["test"]))
    found = predicted(net, [each.image for each in scenes])
    shown = [[each.category for each in scenes].index(category) for category in SHOWN]
    told = [answer(*(found[name][number] for name in ("type", "category", "attributes"))) for number in shown]
    for number, lines in zip(shown, told, strict=True):
        print(f"scene {number}", *lines, sep="\n  ")
    draw([scenes[number].image for number in shown], told, settings)
    marks = np.array([each.attributes for each in scenes])
    right = {
        name: found[name].argmax(axis=1) == [getattr(each, name) for each in scenes] for name in ("type", "category")
    }
    return {
        "accuracy of types": float(right["type"].mean()),
        "accuracy of categories": float(right["category"].mean()),
        "mAP of attributes": float(average_precision_score(marks, found["attributes"], average="macro")),
        "F1 of attributes": float(f1_score(marks, found["attributes"] > LIKELY, average="macro", zero_division=0)),
        "attributes right": float((marks == (found["attributes"] > LIKELY)).mean()),
    }


def predicted(net: Net, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Probabilities of types, categories and attributes; images as many as a multiple of the batch."""
    found: dict[str, list] = {name: [] for name in net.outputs}
    for start in range(0, len(images), BATCH):
        batch = np.stack(images[start : start + BATCH]).transpose(0, 3, 1, 2)
        outputs = net.forward(data=(batch - np.float32(MEAN)) * np.float32(SCALE))
        for name, values in found.items():
            values.append(outputs[name].copy())
    return {name: np.concatenate(values) for name, values in found.items()}


def answer(types: np.ndarray, categories: np.ndarray, attributes: np.ndarray) -> list[str]:
    """What the Places demonstration prints of a scene: type, best categories, and probable attributes."""
    best = [index for index in np.argsort(-categories)[:TOP] if categories[index] >= LEAST]
    marks = [ATTRIBUTES[index] for index in np.argsort(-attributes, kind="stable") if attributes[index] > LIKELY]
    return [
        f"type: {TYPES[types.argmax()]}",
        f"categories: {', '.join(f'{CATEGORIES[index]}: {categories[index]:.2f}' for index in best)}",
        f"attributes: {', '.join(marks) or 'none'}",
    ]


def draw(images: list[np.ndarray], told: list[list[str]], settings: Settings) -> None:
    """Scenes with what was told of them."""
    figure, axes = grid(2, len(SHOWN) // 2, 2.9)
    for image, told_of, axis in zip(images, told, axes.flat, strict=True):
        axis.imshow(image[:, :, ::-1])
        lines = [fill(line.partition(": ")[2], WIDTH) for line in told_of]
        axis.set_title("\n".join(lines), fontsize=8, loc="left")
    save(figure, settings.out / "places.png")


if __name__ == "__main__":
    main(run)
