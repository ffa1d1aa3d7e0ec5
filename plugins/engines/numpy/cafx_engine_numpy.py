"""The reference engine: every layer runs as its author wrote it, on NumPy."""

from __future__ import annotations

from cafx.kernel import Engine, Registry


class NumpyEngine(Engine):
    """Plain host memory and NumPy; every other engine is compared with it.

    Args:
        plugins: where plugins are found.
        precision: ``float32``, the only one.
        threads: number of threads of NumPy's matrix products and of updates; by default what the
            libraries choose.
        device: not used.
    """

    name = "numpy"

    def __init__(
        self, plugins: Registry, *, precision: str = "float32", threads: int | None = None, device: int = 0
    ) -> None:
        super().__init__(plugins, precision=precision, threads=threads, device=device)
        if threads is not None:
            import threadpoolctl

            threadpoolctl.threadpool_limits(threads, user_api="blas")
