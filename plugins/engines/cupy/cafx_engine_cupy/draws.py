"""Random draws on the GPU: the kernel's counter-based stream, in one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.net import PhiloxDraws, Streams
from cafx_engine_cupy.session import BLOCK, Session

KERNELS = {np.dtype(np.float32): "uniform_float", np.dtype(np.float64): "uniform_double"}


class CudaDraws(PhiloxDraws):
    """The same numbers as `PhiloxDraws`, computed by one kernel.

    Args:
        streams: the net's random streams.
        session: the GPU.
    """

    def __init__(self, streams: Streams, session: Session) -> None:
        super().__init__(streams, session.cupy)
        self._session = session

    def generate(self, state: Any, count: int, dtype: npt.DTypeLike) -> Any:
        """``count`` values at the position that ``state`` holds."""
        values = self.xp.empty(count, dtype)
        if count:
            kernel = self._session.kernel(__package__, "draws.cu", KERNELS[values.dtype])
            kernel(self._session.grid(-(-count // 4)), (BLOCK,), (state, values, np.int64(count)))
        return values
