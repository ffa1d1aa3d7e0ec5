"""Tells in which direction a digit moves, from frames none of which shows it alone: an LSTM over a net per frame.

LRCN's activity recognition (Donahue et al., 2014): a convolutional net reads each frame, an LSTM what it says of the
frames so far. The same net without the LSTM is trained for comparison; its answers, too, are averaged over a clip.
"""

import frames
import net
import numpy as np
from data import BATCH, COUNTS, DIRECTIONS, FRAMES, clips
from matplotlib.figure import Figure

from cafx.dsl import SolverSpec
from cafx.kernel import Solver
from cafx_applications.pictures import save
from cafx_applications.running import Figures, Settings, main, train

SMALL_ITERATIONS = 250
SHOWN = 5


def run(settings: Settings) -> Figures:
    """Train both nets and compare what they say of held clips."""
    shown, directions = zip(*clips("test", COUNTS["test"]), strict=True)
    truth = np.array(directions)
    lstm = predicted(net.solver, "LSTM", settings)
    alone = predicted(frames.solver, "frames alone", settings)
    curves = {"LSTM": correct(lstm, truth), "frames alone": correct(alone, truth)}
    draw(np.stack(shown[:SHOWN]), truth, lstm, curves, settings)
    return {
        "LSTM, averaged over frames": accuracy(lstm.mean(axis=1), truth),
        "LSTM, first frame": float(curves["LSTM"][0]),
        "LSTM, second frame": float(curves["LSTM"][1]),
        "LSTM, last frame": float(curves["LSTM"][-1]),
        "frames alone, averaged over frames": accuracy(alone.mean(axis=1), truth),
    }


def predicted(definition: SolverSpec, name: str, settings: Settings) -> np.ndarray:
    """Train a net; probabilities of held clips, clips × frames × directions."""
    definition.max_iter = SMALL_ITERATIONS if settings.small else definition.max_iter
    definition.random_seed = settings.seed
    solver = Solver(definition)
    train(solver, definition.max_iter, name)
    test = solver.test_nets[0]
    batches = [test.forward()["prob"] for _ in range(COUNTS["test"] // BATCH)]
    return np.concatenate([batch.swapaxes(0, 1) for batch in batches])


def correct(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Accuracy at each frame."""
    return (probabilities.argmax(axis=2) == truth[:, None]).mean(axis=0)


def accuracy(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Accuracy per clip."""
    return float((probabilities.argmax(axis=1) == truth).mean())


def draw(
    shown: np.ndarray, truth: np.ndarray, lstm: np.ndarray, curves: dict[str, np.ndarray], settings: Settings
) -> None:
    """Clips as strips with the LSTM's answer, and accuracy by the number of frames seen."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    means = lstm.mean(axis=1)
    for axis, clip, answer, known in zip(left.subplots(len(shown), 1), shown, means, truth, strict=False):
        axis.imshow(np.concatenate([np.pad(frame, 1, constant_values=128) for frame in clip], axis=1), cmap="gray")
        axis.set_axis_off()
        colour = "black" if answer.argmax() == known else "red"
        axis.set_title(f"{DIRECTIONS[answer.argmax()]} ({answer.max():.2f})", fontsize=9, loc="left", color=colour)
    axis = right.subplots()
    for name, values in curves.items():
        axis.plot(range(1, FRAMES + 1), values, marker="o", label=name)
    axis.axhline(1 / len(DIRECTIONS), color="grey", linestyle=":", label="chance")
    axis.set(xlabel="frames seen", ylabel="accuracy", ylim=(0, 1.02))
    axis.legend(loc="center right")
    save(figure, settings.out / "activity.png")


if __name__ == "__main__":
    main(run)
