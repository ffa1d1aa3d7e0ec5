"""A convolution's filters and bias with the normalisation behind it multiplied in."""

from __future__ import annotations

from typing import Any

import numpy as np

from cafx_engine_cudnn.routine import Accelerated

FILE = "batch_norm.cu"
COEFFICIENTS = 4


class Folding:
    """W · γ / √(σ² + eps) and (b − μ) · γ / √(σ² + eps) + β, which need no pass over the activations.

    They are computed in every forward pass: parameters are small next to activations, and so are right
    whenever somebody has changed one.

    Args:
        routine: the convolution's, whose kernels and types are used.
        norm: the BatchNorm layer behind it, which uses running statistics μ and σ².
        scale: the Scale layer behind that, γ and β; or None.
        padded: the filters' length along their first axis, the channels of the result.
        size: values of all filters, padding included.
    """

    def __init__(self, routine: Accelerated, norm: Any, scale: Any, padded: int, size: int) -> None:
        self._routine, self._eps, self._padded, self._size = routine, norm.options.eps, padded, size
        self._channels: int = norm.blobs[0].count_
        self._running = [routine.row_major(blob.synced_data) for blob in norm.blobs]
        self._learned = [routine.row_major(blob.synced_data) for blob in scale.blobs] if scale is not None else []
        self._filters: Any = None
        self._bias: Any = None

    @property
    def nbytes(self) -> int:
        """The folded filters and bias."""
        filters: int = self._size * self._routine.precision.value.itemsize
        return filters + self._padded * 4

    def release(self) -> None:
        """Let go of memory."""
        self._filters = self._bias = None

    def filters(self, filters: Any) -> Any:
        """The folded filters, in the type of the products' operands; `bias` is to follow.

        Args:
            filters: the filters in their place.
        """
        if self._filters is None:
            cupy = self._routine.session.cupy
            self._filters = cupy.empty(self._size, self._routine.precision.value)
            self._bias = cupy.empty(self._padded, np.float32)
        sizes = np.int64(self._size), np.int64(self._size // self._padded), np.int32(self._padded)
        self._routine.launch(FILE, "fold_filters", self._size, filters, self._filters, self._coefficients(), *sizes)
        return self._filters

    def bias(self, bias: Any) -> Any:
        """The folded bias.

        Args:
            bias: the convolution's in its place, or None.
        """
        padded = np.int32(self._padded)
        self._routine.launch(FILE, "fold_bias", self._padded, bias, self._bias, self._scratch(), padded)
        return self._bias

    def _scratch(self) -> Any:
        return self._routine.build.scratch("folding", COEFFICIENTS * self._padded, np.float32)

    def _coefficients(self) -> Any:
        coefficients = self._scratch()
        gamma, beta = (*(operand.read() for operand in self._learned), None, None)[:2]
        running = [operand.read() for operand in self._running]
        numbers = np.int32(self._channels), np.int32(self._padded), np.float32(self._eps)
        self._routine.launch(FILE, "given_coefficients", self._padded, coefficients, *numbers, gamma, beta, *running)
        return coefficients
