"""Fine-tunes a net of 1,000 classes to 10,000, hedges its answers by an is-a tree, and measures what the classes cost.

Guadarrama et al., "Open-vocabulary object retrieval" (2014), used Caffe's net fine-tuned to 10,000 classes of ImageNet.
"""

import data
import known
import measure
import net as opened
import numpy as np
from drawing import draw
from trunk import TEST_BATCH, used

from cafx.kernel import TEST, Net, Solver
from cafx_applications.running import Figures, Settings, main, train
from cafx_command_serve.hedging import Tree, read_tree

TARGETS = (0.8, 0.9, 0.95, 0.99)
HELD, SMALL_HELD = 2000, 100
SMALL_ITERATIONS, SMALL_RATE = (120, 40), 0.003
SMALL_COSTS = {"batch": 2, "iterations": 1, "side": 67}


def run(settings: Settings) -> Figures:
    """Train both nets, hedge, and measure."""
    if settings.small:
        known.solver.max_iter, opened.solver.max_iter = SMALL_ITERATIONS
        opened.solver.base_lr = SMALL_RATE
    base, solver = Solver(known.solver), Solver(opened.solver)
    train(base, known.solver.max_iter, "1,000 classes")
    figures = {"accuracy, 1,000 classes": accuracy(base)}
    solver.net.copy_from(base.net)  # all but the last layer, whose name differs
    train(solver, opened.solver.max_iter, "10,000 classes")
    figures["accuracy, 10,000 classes"] = accuracy(solver)
    tree_file = settings.out / "tree.tsv"
    data.write_tree(tree_file)
    tree = read_tree(str(tree_file), data.names())
    count = SMALL_HELD if settings.small else HELD
    _, likely, truth = answers(solver.net, count, settings.seed)
    images, tested, numbers = answers(solver.net, count, settings.seed + 1)
    hedges = hedged(tree, likely, truth, tested, numbers)
    for target, (right, bits, _) in hedges.items():
        figures |= {f"right, target {target:.0%}": right, f"bits of 13.3, target {target:.0%}": bits}
    figures |= costs(settings.small)
    draw(settings.out / "open_vocabulary.png", tree, images, tested, hedges, figures)
    return figures


def accuracy(solver: Solver) -> float:
    """The share of right first answers on the test database."""
    return float(solver.test()["accuracy"])


def answers(trained: Net, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures, the probabilities of all classes, and the numbers."""
    images, numbers = data.held(count, seed)
    net = Net(used(TEST_BATCH), TEST)
    net.copy_from(trained)
    pixels = (images[:, None] / np.float32(256)).astype(np.float32)
    found = [net.forward(data=pixels[at : at + TEST_BATCH])["prob"].copy() for at in range(0, count, TEST_BATCH)]
    return images, np.concatenate(found), numbers


def hedged(
    tree: Tree, likely: np.ndarray, truth: np.ndarray, tested: np.ndarray, numbers: np.ndarray
) -> dict[float, tuple[float, float, float]]:
    """For each target, found on validation pictures: the share of right answers, their bits, and λ."""
    found = {}
    for target in TARGETS:
        trade = tree.trade_for(likely, truth, target)
        found[target] = (*tree.accuracy(tested, numbers, trade), trade)
    return found


def costs(small: bool) -> Figures:
    """Time and memory of an iteration of CaffeNet, with 1,000 and 10,000 classes."""
    settings = SMALL_COSTS if small else {}
    figures: Figures = {"batch": settings.get("batch", measure.BATCH)}
    for classes in measure.CLASSES:
        found = measure.measured(classes, **settings)
        figures |= {f"{name}, {classes:,} classes": value for name, value in found.items()}
        if not small:
            last = measure.measured(classes, last_only=True)
            figures[f"seconds, last layer only, {classes:,} classes"] = last["seconds"]
    return figures


if __name__ == "__main__":
    main(run)
