"""The picture of the open vocabulary: answers, what hedging gives up, and what the classes cost."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cafx_applications.pictures import save
from cafx_applications.running import Figures
from cafx_command_serve.hedging import Tree

SHOWN = 8
TARGET = 0.9  # one of those of run.py


def draw(
    path: Path,
    tree: Tree,
    images: np.ndarray,
    likely: np.ndarray,
    hedges: dict[float, tuple[float, float, float]],
    figures: Figures,
) -> None:
    """Write the picture.

    Args:
        path: the file.
        tree: the is-a tree.
        images: pictures of numbers.
        likely: the probabilities of all classes for each.
        hedges: by target, the share of right answers, their bits, and λ.
        figures: those of run.py.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.2))
    upper.suptitle(f"first answers, and hedged ones that are to be right in {TARGET:.0%}")
    smudged = images[:, 0, -1] > 0
    chosen = np.concatenate([np.flatnonzero(each)[: SHOWN // 2] for each in (~smudged, smudged)])
    for axes, index in zip(upper.subplots(2, SHOWN // 2).flat, chosen, strict=True):
        axes.imshow(images[index], cmap="gray")
        best = tree.ranked(likely[index], hedges[TARGET][2], 1)[0].name
        axes.set_title(f"{likely[index].argmax():04} → {best}", fontsize=10, family="monospace")
        axes.set_axis_off()
    bits, time, memory = lower.subplots(1, 3)
    bits.plot([each[0] for each in hedges.values()], [each[1] for each in hedges.values()], "o-")
    for target, each in hedges.items():
        bits.annotate(f"{target:.0%}", each[:2], textcoords="offset points", xytext=(4, 4))
    bits.set(title="hedging", xlabel="right answers", ylabel="bits of 13.3")
    names = ["1,000 classes", "10,000 classes"]
    time.bar(names, [figures[f"seconds, {name}"] for name in names], label="all layers")
    last = [figures.get(f"seconds, last layer only, {name}", 0) for name in names]
    time.bar(names, last, 0.5, label="last layer only")
    time.set(title="CaffeNet, seconds per iteration")
    time.legend(loc="lower right")
    memory.bar(names, [figures[f"peak MB, {name}"] for name in names])
    memory.set(title="CaffeNet, peak MB")
    save(figure, path)
