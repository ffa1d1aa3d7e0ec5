"""Predicts the next character of this repository's documentation with an LSTM, and writes some of its own.

The states of one batch are where the next begins, and gradients go through 32 characters (truncated backpropagation
through time). Afterwards, the net runs one character at a time.
"""

import math
import textwrap

import net
import ngrams
import numpy as np
from data import NUMBERS, decoded, encoded, text
from matplotlib.figure import Figure

from cafx.kernel import TEST, Net, Solver
from cafx_applications.pictures import save
from cafx_applications.running import Figures, Settings, main, say, train
from cafx_applications.sequences import OneStep

SMALL_ITERATIONS = 150
PROMPT = "A layer is "
WRITTEN, TEMPERATURE = 900, 0.5
CONTEXTS = (0, 1, 2, 4)
COLUMNS, LINES = 80, 26
SMOOTHED = 50
"""Iterations per point of the training curve."""


def run(settings: Settings) -> Figures:
    """Train, count bits per held character, and write."""
    net.solver.random_seed = settings.seed
    solver = Solver(net.solver)
    iterations = SMALL_ITERATIONS if settings.small else net.solver.max_iter
    held_curve: dict[int, float] = {}

    def test(iteration: int) -> None:
        if iteration % net.solver.test_interval == 0:
            held_curve[iteration] = tested(solver)

    losses = train(solver, iterations, "characters", test)
    test_bits = held_curve[iterations] = tested(solver)
    numbers = {phase: encoded(text(phase)) for phase in ("train", "test")}
    figures = {
        f"bits per character, {context} before": ngrams.bits(numbers["train"], numbers["test"], context, net.CHARACTERS)
        for context in CONTEXTS
    }
    sample = write(solver.net, settings.rng())
    say(sample)
    draw(losses, held_curve, figures, sample, settings)
    return figures | {"bits per character, LSTM": test_bits, "next character known": accuracy(solver)}


def tested(solver: Solver) -> float:
    """Bits per held character."""
    return float(solver.test()["loss"]) / math.log(2)


def accuracy(solver: Solver) -> float:
    """Share of held characters that are the most probable one."""
    return float(solver.test()["accuracy"])


def write(trained: Net, rng: np.random.Generator) -> str:
    """Let the net continue a prompt, one character drawn after the other."""
    one_step = Net(net.one_step(), TEST)
    one_step.copy_from(trained)
    step = OneStep(one_step)
    states, written = step.start(), list(encoded(PROMPT))
    for position in range(len(PROMPT) + WRITTEN - 1):
        probabilities, states = step(states, character=[[written[position]]])
        if position >= len(PROMPT) - 1:
            sharpened = probabilities[0].astype(np.float64) ** (1 / TEMPERATURE)
            written.append(int(rng.choice(len(NUMBERS), p=sharpened / sharpened.sum())))
    return decoded(written)


def draw(losses: list[float], held: dict[int, float], figures: Figures, sample: str, settings: Settings) -> None:
    """Bits per character while training, with the n-grams as lines, and what the net has written."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    smooth = np.convolve(losses, np.full(SMOOTHED, 1 / SMOOTHED), "valid") / math.log(2)
    left.plot(np.arange(len(smooth)) + SMOOTHED, smooth, label="LSTM, training text")
    left.plot(list(held), list(held.values()), marker="o", label="LSTM, held text")
    for shade, (name, value) in zip(np.linspace(0.75, 0.3, len(figures)), figures.items(), strict=True):
        left.axhline(value, color=str(shade), linestyle=":")
        left.text(len(losses), value, name.partition(", ")[2], ha="right", va="bottom", color=str(shade), fontsize=8)
    left.set(xlabel="iteration", ylabel="bits per character", ylim=(1, 6))
    left.legend()
    lines = [part for line in sample.split("\n") for part in textwrap.wrap(line, COLUMNS) or [""]]
    right.text(0, 1, "\n".join(lines[:LINES]), family="monospace", fontsize=8, va="top", parse_math=False)
    right.set_axis_off()
    save(figure, settings.out / "characters.png")


if __name__ == "__main__":
    main(run)
