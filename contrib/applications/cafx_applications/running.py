"""The command line that the applications share, training with progress, and databases of made images."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import attrs
import numpy as np

from cafx.kernel import CafxError, Solver, registry
from cafx_lib_feed.datum import datum_bytes

BATCH = 1000
PER_LINE = 10
"""Progress lines per training."""
FIGURES = "figures.json"
STARTED = time.perf_counter()
"""When the process began, nearly: a net.py makes its data when it is imported."""
SMALL = os.environ.get("CAFX_SMALL") == "1" or "--small" in sys.argv[1:]
"""Whether this is a miniature, with less data: ``--small`` on the command line, or CAFX_SMALL=1."""


@attrs.frozen
class Settings:
    """What the command line of an application says.

    Attributes:
        out: folder of the results; it exists.
        small: run a miniature, on less data for fewer iterations.
        seed: seed of all draws.
    """

    out: Path
    small: bool
    seed: int

    def rng(self, *more: int) -> np.random.Generator:
        """A generator of its own for each purpose.

        Args:
            more: numbers that tell the purposes apart.
        """
        return np.random.default_rng([self.seed, *more])


Figures = dict[str, float]


def main(
    run: Callable[[Settings], Figures], arguments: list[str] | None = None, *, figures_file: str = FIGURES
) -> None:
    """Run an application from the command line, print its figures and write them to ``figures.json``.

    Args:
        run: computes the figures, and writes its pictures to ``settings.out``; its module's docstring is the help.
        arguments: the command line; that of the process if None.
        figures_file: name of the file of the figures, if the folder has several.
    """
    module = sys.modules[run.__module__]
    parser = argparse.ArgumentParser(description=(module.__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a miniature: less data, fewer iterations")
    default = Path(module.__file__ or ".").resolve().parent / "results"
    parser.add_argument("--out", type=Path, default=default, help="folder of the results (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all draws (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        figures = run(Settings(given.out, given.small, given.seed))
    except (CafxError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    figures["seconds"] = round(time.perf_counter() - STARTED, 1)
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}}  {value:g}")
    (given.out / figures_file).write_text(json.dumps(figures, indent=1) + "\n")
    print(f"pictures in {os.path.relpath(given.out)}")


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report an error that a user can cause without a traceback; it may come up while a net.py makes its data.

    This is the ``sys.excepthook`` of the applications.
    """
    if issubclass(kind, KeyboardInterrupt):
        say("interrupted")
    elif issubclass(kind, (CafxError, OSError)):
        say(f"error: {error}")
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = report


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def train(solver: Solver, iterations: int, name: str, feed: Callable[[int], object] | None = None) -> list[float]:
    """Train, with lines of progress.

    Args:
        solver: what trains.
        iterations: iterations to take.
        name: what the lines of progress begin with.
        feed: called before each iteration with its number, to fill inputs.

    Returns:
        The loss of each iteration.
    """
    losses: list[float] = []
    every = max(1, iterations // PER_LINE)
    for iteration in range(iterations):
        if feed is not None:
            feed(iteration)
        losses.append(float(solver.step(1)))
        if (iteration + 1) % every == 0:
            say(f"{name}: iteration {iteration + 1} of {iterations}, loss {np.mean(losses[-every:]):.4f}")
    return losses


def write_database(path: Path, items: Iterable[tuple[Any, int]]) -> str:
    """Write images and labels as an LMDB, unless it exists; it gets its name when it is complete.

    Args:
        path: the database.
        items: an image, bytes of C×H×W or H×W, and its label, per record. It is read only if the database is absent.

    Returns:
        The path relative to the current folder, as a Data layer's ``source`` takes it.
    """
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            _write(draft, items)
            draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return os.path.relpath(path)


def _write(path: Path, items: Iterable[tuple[Any, int]]) -> None:
    with registry().load("database", "LMDB").create(path) as writer:
        waiting: list[tuple[bytes, bytes]] = []
        for number, (image, label) in enumerate(items):
            pixels = image if image.ndim == 3 else image[None]
            waiting.append((b"%08d" % number, datum_bytes(np.ascontiguousarray(pixels), int(label))))
            if len(waiting) == BATCH:
                writer.put(waiting)
                waiting = []
        writer.put(waiting)
