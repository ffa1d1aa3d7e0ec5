"""Batch normalisation, and what else is one factor and one shift per channel."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from cafx.kernel import Blob, CafxError, Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.reductions import FOLD, THREADS, Geometry
from cafx_engine_cudnn.routine import Accelerated, ParameterGradient
from cafx_engine_cupy.session import NULL

FILE = "batch_norm.cu"
COEFFICIENTS = 4
"""Mean, factor, shift and inverse deviation of each channel."""
SUMS = 2


@attrs.frozen
class Learned:
    """One learned value per channel.

    Attributes:
        value: the parameter.
        gradient: its diff; None where it is not needed.
    """

    value: Operand
    gradient: Operand | None


class PerChannel(Accelerated):
    """y = relu(γ (x − μ) / √(σ² + eps) + β + residual), with one μ, σ, γ and β per channel.

    Everything after the statistics is one pass over x, and so is the whole gradient after its sums:
    every fused layer saves a pass that reads and writes the activations. A ReLU's gradient is found from
    x, without reading y. In place, y has memory of its own: backward needs what it would overwrite.

    Attributes:
        by_batch: whether μ and σ are the batch's, so that they take part in the gradient.
        factor, shift: γ and β; None for 1 and 0.
    """

    carried = ("_coefficients",)

    by_batch = False
    factor: Learned | None = None
    shift: Learned | None = None

    def choose_operands(self) -> None:
        """Operands of the activations and their gradients, after `factor` and `shift`."""
        bottom, top = self.bottoms[0], self.tops[0] if self.fusion.top is None else self.fusion.top
        if len(bottom.shape) < 2:
            raise Unsupported("fewer than two axes")
        self._choose_residual()
        self.apart = self.training and bottom is top and (self._reads_x or self._sums_needed)
        if self.apart and not self.build.is_channels_last(bottom):
            raise Unsupported("in place on row-major memory")
        extent = self.build.extent(bottom)
        self.channels, self.padded = extent.channels, extent.padded
        self.rows, self._packs = extent.rows, extent.padded // self.precision.vector
        self._geometry = Geometry(extent.rows, self._packs, self.session.multiprocessors)
        self.x, self.dx = self.data(bottom), self.diff(bottom)
        self.y, self.dy = self.data(top, apart=self.apart), self.diff(top)
        self.build.writes(top, self.y.place)
        self._coefficients: Any = None

    def _choose_residual(self) -> None:
        self.residual: Operand | None = None
        self.residual_gradient: Operand | None = None
        blob = self.fusion.residual
        if blob is not None:
            self.residual = self.data(blob)
            if self._needs_gradient(blob):
                self.residual_gradient = self.diff(blob)

    def _needs_gradient(self, blob: Blob) -> bool:
        """Whether the fused sum's backward pass writes the gradient of a bottom."""
        return any(
            needed
            for planned in self.build.plan.layers
            if self.fusion.top in planned.tops
            for bottom, needed in zip(planned.bottoms, planned.propagate_down, strict=True)
            if bottom is blob
        )

    def learned(self, layer: Any, index: int) -> Learned | None:
        """One of a layer's parameters; None if it does not have so many."""
        if len(layer.blobs) <= index:
            return None
        blob = layer.blobs[index]
        needed = self.training and layer.param_propagate_down[index]
        return Learned(self.row_major(blob.synced_data), self.row_major(blob.synced_diff) if needed else None)

    # -- what is planned

    @property
    def forward_uses(self) -> Access:
        """From x and the residual to y."""
        return Access(reads=[self.x, *([self.residual] if self.residual else [])], writes=[self.y])

    @property
    def backward_uses(self) -> Access:
        """From y's gradient to that of x and the residual."""
        x = [self.x] if self._reads_x or self._sums_needed else []
        reads = [self.dy, *([self.y] if self._masks_by_y else []), *([] if self.apart else x)]
        results = [self.dx] if self.propagate_down[0] else []
        if self.residual_gradient:
            results.append(self.residual_gradient)
        return Access(reads=reads, writes=results, keeps=x if self.apart else [])

    @property
    def _rectified(self) -> bool:
        return self.fusion.slope is not None

    @property
    def _masks_by_y(self) -> bool:
        """Whether the ReLU's gradient needs y: x alone does not tell its sign."""
        return self._rectified and self.residual is not None

    @property
    def _reads_x(self) -> bool:
        """Whether the last pass of backward needs x."""
        return self.by_batch or (self._rectified and not self._masks_by_y)

    @property
    def _gradients(self) -> list[Operand]:
        """Diffs of γ and β that are needed."""
        return [each.gradient for each in (self.factor, self.shift) if each is not None and each.gradient is not None]

    @property
    def _sums_needed(self) -> bool:
        return bool(self._gradients) or (self.by_batch and self.propagate_down[0])

    @property
    def nbytes(self) -> int:
        """The coefficients, which forward leaves for backward."""
        return COEFFICIENTS * self.padded * 4

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._coefficients = None

    # -- passes

    def forward(self) -> None:
        """Compute the coefficients, then y in one pass."""
        x = self.x.read()
        if self.apart and x is self.y.kept():  # converted there, as somebody else wrote the bottom
            self.y.release()
        if self._coefficients is None:
            self._coefficients = self.session.cupy.empty(COEFFICIENTS * self.padded, np.float32)
        self.compute_coefficients(x, self._coefficients)
        residual = None if self.residual is None else self.residual.read()
        y = self.y.target()
        self._pass("transform", x, y, residual, self._coefficients)
        self.y.written()

    def compute_coefficients(self, x: Any, coefficients: Any) -> None:
        """Write mean, factor, shift and inverse deviation of each channel."""
        self.given_coefficients(coefficients, 0.0, (None, None, None))

    def given_coefficients(self, coefficients: Any, eps: float, running: tuple[Any, Any, Any]) -> None:
        """The coefficients by running sums; by mean 0 and deviation 1 where these are None."""
        numbers = np.int32(self.channels), np.int32(self.padded), np.float32(eps)
        self.launch(FILE, "given_coefficients", self.padded, coefficients, *numbers, *self.values(), *running)

    def values(self) -> tuple[Any, Any]:
        """γ and β as they are now."""
        gamma, beta = (None if each is None else each.value.read() for each in (self.factor, self.shift))
        return gamma, beta

    def backward(self) -> None:
        """Sum up for γ, β and the statistics' part in the gradient; then all gradients in one pass."""
        if self._coefficients is None:
            raise CafxError(
                "backward begins inside a fused step whose parts have not run forward",
                where=self.layer.where,
                remedy="run forward from or to the same layer, or begin behind the fused layers",
            )
        dy = self.dy.read()
        y = self.y.read() if self._masks_by_y else None
        x = None
        if self._reads_x or self._sums_needed:
            x = self.x.kept() if self.apart else self.x.read()
        sums = self._gradient_sums(x, dy, y) if self._sums_needed else None
        self._write_gradients(x, dy, y, sums if self.by_batch else None)

    def _gradient_sums(self, x: Any, dy: Any, y: Any) -> Any:
        partial = self.partial_sums()
        shared = SUMS * THREADS * self.precision.vector * 4
        self._pass("gradient_sums", x, dy, y, self._coefficients, partial, shared=shared)
        sums = self.build.scratch("sums of channels", SUMS * self.padded, np.float32)
        gamma, beta = (None if each is None else each.gradient for each in (self.factor, self.shift))

        def total(gamma: Any, add_gamma: bool, beta: Any, add_beta: bool) -> None:
            numbers = np.int32(self._geometry.grid[1]), np.int32(self.channels), np.int32(self.padded)
            learned = gamma, np.int32(add_gamma), beta, np.int32(add_beta)
            self.fold("gradient_totals", partial, sums, *numbers, *learned)

        def with_gamma(target: Any, add: bool) -> None:
            _write(beta, lambda other, add_other: total(target, add, other, add_other))

        _write(gamma, with_gamma)
        return sums

    def _write_gradients(self, x: Any, dy: Any, y: Any, sums: Any) -> None:
        dx = self.dx.target() if self.propagate_down[0] else None
        residual = self.residual_gradient.target() if self.residual_gradient else None
        if dx is None and residual is None:
            return
        self._pass("transform_gradient", x, dy, y, dx, residual, self._coefficients, sums)
        if dx is not None:
            self.dx.written()
        if self.residual_gradient:
            self.residual_gradient.written()

    # -- kernels

    def partial_sums(self) -> Any:
        """Two sums per channel of each row of blocks."""
        return self.build.scratch("partial sums", SUMS * self._geometry.grid[1] * self.padded, np.float32)

    def _pass(self, kernel: str, *arrays: Any, shared: int = 0) -> None:
        """Run a kernel that goes over all pixels and knows the ReLU."""
        slope = self.fusion.slope
        numbers = np.int64(self.rows), np.int32(self._packs), np.int32(slope is not None), np.float32(slope or 0.0)
        self.over_pixels(kernel, *arrays, *numbers, shared=shared)

    def over_pixels(self, kernel: str, *arguments: Any, shared: int = 0) -> None:
        """Run a kernel of blocks of packs × pixels."""
        given = tuple(NULL if each is None else each for each in arguments)
        self.precision.launch(FILE, kernel, self._geometry.grid, self._geometry.block, given, shared)

    def fold(self, kernel: str, *arguments: Any) -> None:
        """Run a kernel that adds up what the blocks have left."""
        given = tuple(NULL if each is None else each for each in arguments)
        self.precision.launch(FILE, kernel, (-(-self.padded // FOLD[0]),), FOLD, given)


def _write(gradient: Operand | None, write: Any) -> None:
    """Let ``write(array, add)`` write a parameter's gradient; ``array`` is None if it is not needed."""
    if gradient is None:
        write(None, False)
    else:
        ParameterGradient(gradient)(write)


class BatchNorm(PerChannel):
    """Batch normalisation, with the Scale, the sum and the ReLU that are fused with it.

    The batch's mean and variance are merged from the moments of small parts, which is accurate for
    values with a large mean, too, and reads x only once.
    """

    def choose(self) -> None:
        """At least two axes, and statistics of this process's batch."""
        if self.layer.syncs_statistics:
            raise Unsupported("statistics of all processes' batches")
        self.by_batch = not self.layer.uses_running_statistics
        if self.fusion.scale is not None:
            self.factor, self.shift = self.learned(self.fusion.scale, 0), self.learned(self.fusion.scale, 1)
        self.choose_operands()
        self._running = [self.row_major(blob.synced_data) for blob in self.layer.blobs]

    def compute_coefficients(self, x: Any, coefficients: Any) -> None:
        """By the batch, whose statistics the running ones take in, or by these."""
        options = self.layer.options
        running: Any = tuple(operand.read() for operand in self._running)
        if not self.by_batch:
            self.given_coefficients(coefficients, options.eps, running)
            return
        partial, (_, height), blocks = self.partial_sums(), self._geometry.block, self._geometry.grid[1]
        shared = THREADS * (1 + SUMS * self.precision.vector) * 4
        rows = np.int64(self.rows)
        self.over_pixels("batch_moments", x, partial, rows, np.int32(self._packs), shared=shared)
        self.fold(
            *("batch_coefficients", partial, coefficients, np.int32(blocks), np.int32(height), rows),
            *(np.int32(self.channels), np.int32(self.padded), np.float32(options.eps), *self.values()),
            *(*running, np.float32(options.moving_average_fraction)),
        )
        for operand in self._running:
            operand.storage.mark_written(operand.place)
