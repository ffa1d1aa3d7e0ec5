"""The array module layers compute with: CuPy, with matrix products that can be recorded."""

from __future__ import annotations

from typing import Any

from cafx_engine_cupy.session import Session


class ArrayModule:
    """CuPy, but for matrix products.

    Args:
        session: whose cuBLAS handle multiplies.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._session.cupy, name)
        setattr(self, name, found)  # found without this call from now on
        return found

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """As numpy.matmul."""
        return self._session.blas.matmul(a, b, out)

    def dot(self, a: Any, b: Any, out: Any = None) -> Any:
        """As numpy.dot for vectors and matrices."""
        if a.ndim == b.ndim == 2:
            return self._session.blas.matmul(a, b, out)
        if a.ndim == b.ndim == 1:
            product = self._session.blas.matmul(a.reshape(1, -1), b.reshape(-1, 1)).reshape(())
            if out is None:
                return product
            out[...] = product
            return out
        return self._session.cupy.dot(a, b, out=out)
