"""Precision: the type of activations, and the kernels compiled for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from cafx.kernel.blob import Place
from cafx_engine_cupy.session import Kernel, Session

TYPES = "types.cuh"
ACCESS = 16
"""Bytes of one access of a thread."""


class Precision:
    """How values are kept and multiplied on one GPU.

    Args:
        session: the GPU and the stream.
        name: ``float32``, ``tf32`` or ``bf16``.

    Attributes:
        bf16: whether activations are bfloat16, kept as uint16.
        strict: whether products are float32 without rounding of their operands.
        value: the NumPy type of activations.
        vector: values of one access, which channels are padded to.
        places: the places in use, by what they are: nets that share arrays share their places, too.
    """

    def __init__(self, session: Session, name: str) -> None:
        self.session, self.name = session, name
        self.bf16 = name == "bf16"
        self.strict = name == "float32"
        self.value: np.dtype[Any] = np.dtype(np.uint16 if self.bf16 else np.float32)
        self.vector = ACCESS // self.value.itemsize
        self.places: WeakValueDictionary[Any, Place] = WeakValueDictionary()

    def padded(self, channels: int) -> int:
        """A number of channels rounded up to whole accesses."""
        return -(-channels // self.vector) * self.vector

    def kernel(self, file: str, name: str) -> Kernel:
        """A kernel of this package for this precision."""
        options = f"-DBF16={int(self.bf16)}", f"-DVEC={self.vector}"
        return self.session.kernel(__package__, (TYPES, file), name, options)

    def launch(
        self, file: str, name: str, grid: Sequence[int], block: int | tuple[int, int], arguments: Any, shared: int = 0
    ) -> None:
        """Run a kernel.

        Args:
            file, name: as for `kernel`.
            grid: blocks.
            block: threads of a block.
            arguments: arrays and NumPy scalars.
            shared: bytes of dynamic shared memory.
        """
        threads = (block,) if isinstance(block, int) else block
        self.kernel(file, name)(tuple(grid), threads, arguments, shared_mem=shared)
