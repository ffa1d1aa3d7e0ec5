"""Trains the first 3,000 of the full net's 70,000 iterations, and computes the time of all from them."""

import time

import full

from cafx.kernel import Solver
from cafx_applications.curves import Curves, solve
from cafx_applications.running import Figures, Settings, main, say

ITERATIONS, SMALL_ITERATIONS = 3000, 40


def run(settings: Settings) -> Figures:
    """Train, test and measure."""
    spec = full.solver
    every = spec.max_iter
    spec.random_seed = settings.seed
    spec.max_iter = ITERATIONS
    if settings.small:
        spec.max_iter = spec.test_interval = SMALL_ITERATIONS
    started = time.perf_counter()
    curves = solve(Solver(spec), Curves("full"))
    seconds = (time.perf_counter() - started) / spec.max_iter
    say(f"{every} iterations take {every * seconds / 3600:.1f} hours at this rate")
    return {
        "accuracy": curves.last("test accuracy"),
        "loss": curves.last("test loss"),
        "milliseconds per iteration": seconds * 1e3,
        "hours of all iterations": every * seconds / 3600,
    }


if __name__ == "__main__":
    main(run, figures_file="full.json")
