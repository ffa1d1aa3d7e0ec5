"""Trains an autoencoder of MNIST with each of six solvers, and compares what they reach."""

import numpy as np
from contest import Result, contest
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cafx_applications.pictures import save
from cafx_applications.running import Figures, Settings, main

COLUMNS = {
    "train cross_entropy": "cross-entropy, training digits",
    "test cross_entropy": "cross-entropy, test digits",
    "train l2_error": "L2 error, training digits",
    "test l2_error": "L2 error, test digits",
}
POINTS = 80  # of each curve
TICKS = (70, 80, 100, 125, 150, 200, 300)


def run(settings: Settings) -> Figures:
    """Train with all solvers, then write the table and the picture."""
    results = contest(settings)
    table = tabulated(results)
    print(table)
    (settings.out / "table.md").write_text(table + "\n")
    draw(results, settings)
    return {f"{each.name} {score}": each.curves.last(score) for each in results for score in COLUMNS}


def tabulated(results: list[Result]) -> str:
    """The table of the final scores, as Markdown."""
    lines = ["| solver | " + " | ".join(COLUMNS.values()) + " |", "|---" * (1 + len(COLUMNS)) + "|"]
    for each in results:
        values = (f"{each.curves.last(score):.2f}" for score in COLUMNS)
        lines.append(f"| {each.name} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def draw(results: list[Result], settings: Settings) -> None:
    """The cross-entropy while training, and test digits with their reconstructions."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    for each in results:
        points = each.curves.smoothed(max(1, len(each.curves.losses) // POINTS))
        left.plot(*zip(*points, strict=True), label=f"{each.name} {each.curves.last('test cross_entropy'):.1f}")
    left.set(xlabel="iteration", ylabel="cross-entropy per training digit", yscale="log", yticks=TICKS)
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_locator(NullLocator())
    left.legend(title="at the end, test digits")
    rows = [results[0].digits, *(each.reconstructions for each in results)]
    right.imshow(np.vstack([np.hstack(list(row)) for row in rows]), cmap="gray", interpolation="nearest")
    height = results[0].digits.shape[1]
    centres = [(row + 0.5) * height for row in range(len(rows))]
    right.set_yticks(centres, ["test digits", *(each.name for each in results)])
    right.set_xticks([])
    right.tick_params(length=0)
    save(figure, settings.out / "showdown.png")


if __name__ == "__main__":
    main(run)
