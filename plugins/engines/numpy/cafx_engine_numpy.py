"""The reference engine: every layer runs as its author wrote it, on NumPy."""

from __future__ import annotations

from cafx.kernel import Engine


class NumpyEngine(Engine):
    """Plain host memory and NumPy; what every other engine is held against."""

    name = "numpy"
