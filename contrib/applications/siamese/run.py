"""Digits in the plane: a siamese net puts equal digits near each other, and different ones apart.

Caffe's siamese example, after Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping"
(2006): the net never sees a label, only pairs that show the same digit or not.
"""

import numpy as np
from net import SCALE, TEST_BATCH, embedding, solver
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from cafx.kernel import TEST, Net, Solver
from cafx_applications.datasets import Labelled, mnist
from cafx_applications.pictures import save
from cafx_applications.running import Figures, Settings, main, train
from cafx_command_plot.embedding import scatter
from cafx_command_plot.labelled import Labels

DIGITS, SMALL_DIGITS = 10000, 1000
SMALL_ITERATIONS = 400
NEIGHBOURS = 10
DRAWN = 3000


def run(settings: Settings) -> Figures:
    """Train on pairs, and classify the test digits by their neighbours in the plane."""
    solver.max_iter = SMALL_ITERATIONS if settings.small else solver.max_iter
    count = SMALL_DIGITS if settings.small else DIGITS
    known, asked = (Labelled(*(part[:count] for part in mnist(phase))) for phase in ("train", "test"))
    with Solver(solver) as siamese:
        train(siamese, solver.max_iter, "siamese")
        figures = {"test loss": float(siamese.test()["loss"])}
        points = [embedded(siamese.net, each.images) for each in (known, asked)]
    figures["k-NN in the plane"] = by_neighbours(points, known, asked)
    flat = [each.images.reshape(count, -1) / 255 for each in (known, asked)]
    components = PCA(2, random_state=0).fit(flat[0])
    figures["k-NN on two principal components"] = by_neighbours(
        [components.transform(each) for each in flat], known, asked
    )
    draw(points[1][:DRAWN], asked.labels[:DRAWN], settings)
    return figures


def embedded(trained: Net, images: np.ndarray) -> np.ndarray:
    """The points of the plane that one tower maps images to."""
    net = Net(embedding(TEST_BATCH), TEST)
    net.copy_from(trained)
    batches = images.reshape(-1, TEST_BATCH, 1, *images.shape[1:]) * np.float32(SCALE)
    return np.concatenate([net.forward(data=batch)["feat"].copy() for batch in batches])


def by_neighbours(points: list[np.ndarray], known: Labelled, asked: Labelled) -> float:
    """The share of test digits that their nearest training digits classify correctly."""
    classifier = KNeighborsClassifier(NEIGHBOURS).fit(points[0], known.labels)
    return float(classifier.score(points[1], asked.labels))


def draw(points: np.ndarray, labels: np.ndarray, settings: Settings) -> None:
    """The test digits in the plane."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 6), layout="constrained")
    axes = figure.subplots()
    scatter(axes, points, Labels(labels, tuple("0123456789")))
    axes.set_aspect("equal")
    save(figure, settings.out / "siamese.png")


if __name__ == "__main__":
    main(run)
