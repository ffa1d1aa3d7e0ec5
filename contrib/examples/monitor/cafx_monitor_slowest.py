"""slowest: reports the slowest iteration when training ends."""

import time

from cafx.kernel import hookimpl


class Slowest:
    """``cafx train net.py --monitor slowest``, or ``solver.monitors.add(Slowest())``."""

    def __init__(self, target=""):
        self.seconds, self.iteration, self.mark = 0.0, 0, 0.0

    @hookimpl
    def training_started(self, solver):
        """Start the clock."""
        self.mark = time.monotonic()

    @hookimpl
    def iteration_finished(self, solver):
        """Keep the slowest iteration so far."""
        now = time.monotonic()
        self.seconds, self.iteration = max((self.seconds, self.iteration), (now - self.mark, solver.iter))
        self.mark = now

    @hookimpl
    def training_finished(self):
        """Print the result."""
        print(f"iteration {self.iteration} took longest: {self.seconds:.3f} s")

    @classmethod
    def cases(cls):
        """The cases in which ``cafx check`` tries it: here one, without a target."""
        from cafx.conformance.kinds.monitor import MonitorCase

        yield MonitorCase("plain")
