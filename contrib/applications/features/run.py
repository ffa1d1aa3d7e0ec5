"""SqueezeNet's features of CIFAR-10: an embedding in the plane, nearest neighbours and a linear SVM.

DeCAF (Donahue et al., 2013) and figure 3 of Caffe's paper: features of a net that was trained for another task
separate classes that it has never been taught.
"""

import numpy as np
from data import arrays, standardised
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from cafx.kernel import Solver
from cafx_applications.datasets import CIFAR_CLASSES
from cafx_applications.pictures import save
from cafx_applications.running import Figures, Settings, main, say, train
from cafx_command_plot.embedding import embed, scatter
from cafx_command_plot.labelled import Labels

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
NEIGHBOURS = 10
C = 0.001  # of the SVM
SMALL_ITERATIONS = 300


def run(settings: Settings) -> Figures:
    """Classify features and pixels, train the SVM with cafx, and draw the training images' features."""
    features, pixels, labels, is_train = arrays()
    say(f"{is_train.sum()} training images, {(~is_train).sum()} test images")
    figures = scored("features", standardised(features, is_train), labels, is_train)
    figures |= scored("pixels", standardised(pixels, is_train), labels, is_train)
    figures["SVM by cafx, features"] = trained(settings)
    return figures | drawn(features[is_train], labels[is_train], settings)


def scored(name: str, rows: np.ndarray, labels: np.ndarray, is_train: np.ndarray) -> Figures:
    """Accuracy on the test images, by nearest neighbours and by a linear SVM."""
    classifiers = {"k-NN": KNeighborsClassifier(NEIGHBOURS, metric="cosine"), "SVM": LinearSVC(C=C)}
    for classifier in classifiers.values():
        classifier.fit(rows[is_train], labels[is_train])
    return {
        f"{kind}, {name}": float(classifier.score(rows[~is_train], labels[~is_train]))
        for kind, classifier in classifiers.items()
    }


def trained(settings: Settings) -> float:
    """Accuracy of the SVM that cafx trains."""
    from net import solver

    solver.max_iter = SMALL_ITERATIONS if settings.small else solver.max_iter
    with Solver(solver) as svm:
        train(svm, solver.max_iter, "SVM")
        return float(svm.test()["accuracy"])


def drawn(features: np.ndarray, labels: np.ndarray, settings: Settings) -> Figures:
    """Draw features in the plane, by class and by kind of thing."""
    from matplotlib.figure import Figure

    say(f"t-SNE of {len(features)} images")
    embedded = embed(features, seed=settings.seed)
    is_animal = np.isin(np.array(CIFAR_CLASSES)[labels], ANIMALS)
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    scatter(left, embedded.points, Labels(labels, CIFAR_CLASSES))
    scatter(right, embedded.points, Labels(is_animal.astype(np.int64), ("vehicle", "animal")))
    save(figure, settings.out / "features.png")
    nearest = cross_val_score(KNeighborsClassifier(NEIGHBOURS), embedded.points, is_animal)
    return {"trustworthiness": embedded.trustworthiness, "animal or vehicle, in the plane": float(nearest.mean())}


if __name__ == "__main__":
    main(run)
