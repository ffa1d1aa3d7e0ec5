"""Trains the autoencoder with three solvers and plots them: ``python showdown.py [ITERATIONS] [OUT.png]``.

The logs are written to this folder and plotted by ``cafx plot``.
"""

import subprocess
import sys

from net import HERE, SOLVERS, trained_by

from cafx.kernel import Solver, registry

ITERATIONS = 65000


def train(name, iterations):
    """Train with one solver; return the path of its log and the final error on the test digits."""
    log = HERE / f"{name.lower()}.log"
    log.unlink(missing_ok=True)
    with Solver(trained_by(name, iterations).to_proto()) as solver:
        solver.monitors.add(registry().load("monitor", "log")(str(log)))
        solver.solve()
        return log, float(solver.test()["l2_error"])


if __name__ == "__main__":
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else ITERATIONS
    out = sys.argv[2] if len(sys.argv) > 2 else str(HERE / "showdown.png")
    logs = []
    for name in SOLVERS:
        log, error = train(name, iterations)
        logs.append(str(log))
        print(f"{name}: squared error per test digit {error:.2f} after {iterations} iterations", flush=True)
    subprocess.run([sys.executable, "-m", "cafx.cli", "plot", *logs, "--out", out], check=True)  # nosec B603  # our own program
