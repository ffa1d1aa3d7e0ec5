"""Trains the autoencoder with each solver, several of them side by side, and keeps the results of those that finished.

The results of a solver are one JSON file. They are used again if the solver's options are still the same.
"""

import json
import sys
from multiprocessing import get_context
from typing import Any

import attrs
import numpy as np
from net import SOLVERS, TEST_NETS, trained_by

from cafx.kernel import CafxError, Solver, schema
from cafx.kernel.files import atomic_write
from cafx_applications.curves import Curves, solve
from cafx_applications.running import Settings, say

PROCESSES = 2
DIGITS = 10
SMALL_ITERATIONS = 25


@attrs.frozen
class Result:
    """What a solver reached.

    Attributes:
        name: the solver's type.
        curves: losses of the iterations, and scores on training and test digits.
        digits, reconstructions: test digits and what the autoencoder makes of them, N×28×28 bytes.
    """

    name: str
    curves: Curves
    digits: np.ndarray
    reconstructions: np.ndarray


def contest(settings: Settings) -> list[Result]:
    """The results of all solvers, the best one on the test digits first."""
    shares = [list(SOLVERS)[first::PROCESSES] for first in range(PROCESSES)]
    context = get_context("spawn")
    processes = [context.Process(target=train, args=(share, settings), daemon=True) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise CafxError("a training ended early", remedy="see above; solvers that finished will not run again")
    return sorted((read(name, settings) for name in SOLVERS), key=lambda each: each.curves.last("test cross_entropy"))


def train(names: list[str], settings: Settings) -> None:
    """Train with some solvers, one after the other, in a process of their own."""
    try:
        for name in names:
            if read(name, settings) is None:
                train_one(name, settings)
            else:
                say(f"{name}: finished before")
    except KeyboardInterrupt:
        sys.exit(1)
    except (CafxError, OSError) as error:
        sys.exit(f"error: {error}")


def train_one(name: str, settings: Settings) -> None:
    """Train with one solver and write its results."""
    with Solver(options(name, settings), threads=1, keep_tests=["data", "reconstruction"]) as solver:
        curves = solve(solver, Curves(name, list(TEST_NETS)))
        test = solver.test_nets[-1]
        test.forward()
        shown = {key: pixels(test.blobs[key].data) for key in ("data", "reconstruction")}
    kept = {"options": without_net(name, settings), "curves": attrs.asdict(curves), **shown}
    with atomic_write(settings.out / f"{name.lower()}.json") as target:
        target.write(json.dumps(kept).encode())


def pixels(blob: np.ndarray) -> list[list[int]]:
    """The first images of a batch as bytes."""
    return np.rint(blob[:DIGITS].reshape(DIGITS, -1) * 255).astype(int).tolist()


def read(name: str, settings: Settings) -> Result | None:
    """The results of a solver, or None if it has not finished with these options."""
    try:
        kept = json.loads((settings.out / f"{name.lower()}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    if kept["options"] != without_net(name, settings):
        return None
    images = (np.array(kept[key], np.uint8).reshape(-1, 28, 28) for key in ("data", "reconstruction"))
    return Result(name, Curves(**kept["curves"]), *images)


def options(name: str, settings: Settings) -> Any:
    """The solver's SolverParameter."""
    spec = trained_by(name)
    spec.random_seed = settings.seed
    if settings.small:
        spec.max_iter = spec.test_interval = SMALL_ITERATIONS
    return spec.to_proto()


def without_net(name: str, settings: Settings) -> str:
    """The solver's options as text."""
    message = options(name, settings)
    message.ClearField("net_param")
    return schema().to_text(message)
