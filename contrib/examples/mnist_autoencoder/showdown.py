"""Three solvers on one net: ``python showdown.py [ITERATIONS] [OUT.png]`` trains and plots them.

Each writes a log of its name beside this file; the picture is what ``cafx plot`` makes of them.
"""

import subprocess
import sys

from net import HERE, WAYS, trained_by

from cafx.kernel import Solver, registry

ITERATIONS = 65000


def train(way, iterations):
    """Train with one solver; returns its log and the error it ends with on the test digits."""
    log = HERE / f"{way.lower()}.log"
    log.unlink(missing_ok=True)
    with Solver(trained_by(way, iterations).to_proto()) as solver:
        solver.monitors.add(registry().load("monitor", "log")(str(log)))
        solver.solve()
        return log, float(solver.test()["l2_error"])


if __name__ == "__main__":
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else ITERATIONS
    out = sys.argv[2] if len(sys.argv) > 2 else str(HERE / "showdown.png")
    logs = []
    for way in WAYS:
        log, error = train(way, iterations)
        logs.append(str(log))
        print(f"{way}: squared error of a test digit {error:.2f} after {iterations} iterations", flush=True)
    subprocess.run([sys.executable, "-m", "cafx.cli", "plot", *logs, "--out", out], check=True)
