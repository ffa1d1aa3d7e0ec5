"""Trains cuda-convnet's quick net on CIFAR-10, as it is and with mirrored and cropped training images."""

import augmented
import net
import numpy as np
from matplotlib.figure import Figure

from cafx.dsl import SolverSpec
from cafx.kernel import Net, Solver
from cafx_applications.curves import Curves, solve
from cafx_applications.pictures import save
from cafx_applications.running import Figures, Settings, main

SMALL_ITERATIONS = 100
SPACE = 1  # pixels between the filters of the picture


def run(settings: Settings) -> Figures:
    """Train both and draw their curves."""
    plain, _ = train(net.solver, "quick", settings)
    better, trained = train(augmented.solver, "mirror and crop", settings)
    draw([plain, better], trained, settings)
    figures = {}
    for each in (plain, better):
        figures |= {f"{each.name} {score}": each.last(f"test {score}") for score in ("accuracy", "loss")}
    return figures


def train(spec: SolverSpec, name: str, settings: Settings) -> tuple[Curves, Net]:
    """The curves of a training, and the trained net."""
    spec.random_seed = settings.seed
    if settings.small:
        spec.max_iter = spec.test_interval = SMALL_ITERATIONS
    solver = Solver(spec)
    return solve(solver, Curves(name)), solver.net


def draw(curves: list[Curves], trained: Net, settings: Settings) -> None:
    """Test accuracy and loss while training, and the filters of the first convolution."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    accuracy, loss, filters = figure.subplots(1, 3)
    for each in curves:
        accuracy.plot(*zip(*each.scores["test accuracy"], strict=True), label=each.name)
        (line,) = loss.plot(*zip(*each.scores["test loss"], strict=True), label=f"{each.name}, test images")
        smoothed = each.smoothed(max(1, len(each.losses) // 25))
        loss.plot(*zip(*smoothed, strict=True), "--", color=line.get_color(), label=f"{each.name}, training images")
    accuracy.set(xlabel="iteration", ylabel="accuracy on the test images")
    loss.set(xlabel="iteration", ylabel="loss")
    for axes in (accuracy, loss):
        axes.legend()
    filters.imshow(tiled(trained.params["conv1"][0].data))
    filters.set_title("first convolution's filters")
    filters.set_axis_off()
    save(figure, settings.out / "cifar10.png")


def tiled(weights: np.ndarray, columns: int = 8) -> np.ndarray:
    """Filters side by side, each scaled to the range from 0 to 1."""
    low, high = (limit(weights, axis=(1, 2, 3), keepdims=True) for limit in (np.min, np.max))
    images = ((weights - low) / np.maximum(high - low, 1e-12)).transpose(0, 2, 3, 1)
    images = np.pad(images, ((0, 0), (0, SPACE), (0, SPACE), (0, 0)), constant_values=1)
    return np.vstack([np.hstack(images[first : first + columns]) for first in range(0, len(images), columns)])


if __name__ == "__main__":
    main(run)
