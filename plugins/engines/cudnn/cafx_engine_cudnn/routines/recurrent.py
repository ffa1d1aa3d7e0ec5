"""What the recurrent layers' routines share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from cafx.kernel import Blob, Unsupported
from cafx.kernel.net import Access
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cudnn.reductions import fold
from cafx_engine_cudnn.routine import Accelerated, ParameterGradient
from cafx_engine_cupy.cublas import Matrix


class Recurrent(Accelerated):
    """A recurrent layer, on row-major float32 arrays in every precision.

    Forward, the inputs of all T steps are multiplied at once; each step is then one product, added to
    them, and one kernel. Backward likewise; the weights' gradients are products over all steps.

    Class attributes:
        file: the kernels' file.
        gates: sums per unit.
        states: hidden states.
        kept: values per unit and step that backward needs.
    """

    carried = ("_memories",)

    file: ClassVar[str]
    gates: ClassVar[int]
    states: ClassVar[int]
    kept: ClassVar[int]

    def unroll(self, sums: Any, y: Any) -> None:
        """All steps forward.

        Args:
            sums: T × N × gates · H, the products of the inputs, without bias.
            y: T × N × H; overwritten.
        """
        raise NotImplementedError

    def unroll_backward(self, dy: Any) -> Any:
        """All steps backward; adds to the gradients of the recurrence's parameters.

        Args:
            dy: T × N × H.

        Returns:
            The gradient with respect to the sums.
        """
        raise NotImplementedError

    def choose(self) -> None:
        """Row-major arrays, and no static input."""
        layer = self.layer
        exposed = self.states if layer.options.expose_hidden else 0
        if len(self.bottoms) != 2 + exposed:
            raise Unsupported("static input")
        if any(self.propagate_down[1:]):
            raise Unsupported("gradients of initial states")
        x, cont, y = self.bottoms[0], self.bottoms[1], self.tops[0]
        self.steps, self.streams, self.length = y.shape
        self.features = math.prod(x.shape[2:])
        self.x, self.dx = self.row_major(x.synced_data), self.row_major(x.synced_diff)
        self.y, self.dy = self.row_major(y.synced_data), self.row_major(y.synced_diff)
        self.cont = self.row_major(cont.synced_data)
        self.first = self._states_in(self.bottoms[2:] if exposed else layer.carried)
        self.last = self._states_in(self.tops[1:]) if exposed else self.first
        self.parameters = [self.row_major(blob.synced_data) for blob in layer.blobs]
        self.gradients = [ParameterGradient(self.row_major(blob.synced_diff)) for blob in layer.blobs]
        self._memories: dict[str, Any] = {}

    def _states_in(self, blobs: Sequence[Blob]) -> list[Operand]:
        return [self.row_major(blob.synced_data) for blob in blobs]

    # -- what is planned

    @property
    def forward_uses(self) -> Access:
        """From the sequences and the first states to y and the last ones."""
        return Access(reads=[self.x, self.cont, *self.first], writes=[self.y, *self.last])

    @property
    def backward_uses(self) -> Access:
        """From y's gradient to that of the sequences."""
        reads = [self.x, self.cont, self.dy]
        return Access(reads=reads, writes=[self.dx] if self.propagate_down[0] else [])

    @property
    def rows(self) -> int:
        """Steps times streams."""
        return self.steps * self.streams

    @property
    def nbytes(self) -> int:
        """What backward needs of each step."""
        return 4 * self.kept * self.rows * self.length if self.training else 0

    def release(self) -> None:
        """Let go of memory."""
        super().release()
        self._memories = {}

    # -- passes

    def forward(self) -> None:
        """Write y and the last states."""
        y, sums, width = self.y.target(), self.memory("sums", self.steps, self.gates), self.gates * self.length
        shape = self.rows, width, self.features
        self.multiply(sums, self.x.read(), self.parameters[0].read(), shape, transposed=True)
        self.unroll(sums, y)
        for written in (self.y, *self.last):
            written.written()

    def backward(self) -> None:
        """Write the sequences' gradient; add to those of the parameters."""
        x, width = self.x.read(), self.gates * self.length
        diff = self.unroll_backward(self.dy.read())
        self.learn_product(0, diff, x, (width, self.features))
        self.learn_sum(1, diff, width)
        if self.propagate_down[0]:
            shape = self.rows, self.features, width
            self.multiply(self.dx.target(), diff, self.parameters[0].read(), shape)
            self.dx.written()

    # -- for subclasses

    def memory(self, name: str, steps: int, width: int = 1) -> Any:
        """An array of ``width`` values per unit for so many steps: kept for backward, if there is one."""
        count = steps * self.streams * width * self.length
        if not self.training:
            return self.build.scratch(f"recurrent {name}", count, np.float32)
        if name not in self._memories:
            self._memories[name] = self.session.cupy.empty(count, np.float32)
        return self._memories[name]

    def scratch(self, name: str, steps: int, width: int = 1) -> Any:
        """Such an array that lasts for one call."""
        return self.build.scratch(f"recurrent {name}", steps * self.streams * width * self.length, np.float32)

    def at(self, array: Any, step: int, width: int = 1) -> Any:
        """Such an array from one step on; None behind the last step."""
        return array[step * self.streams * width * self.length :] if step < self.steps else None

    def markers(self, step: int) -> Any:
        """The continuation markers from one step on; None behind the last step."""
        return self.cont.read()[step * self.streams :] if step < self.steps else None

    def launch_step(self, kernel: str, *arrays: Any) -> None:
        """Run a kernel over streams and units."""
        numbers = np.int32(self.streams), np.int32(self.length)
        self.launch(self.file, kernel, self.streams * self.length, *arrays, *numbers)

    def multiply(
        self,
        result: Any,
        left: Any,
        right: Any,
        shape: tuple[int, int, int],
        *,
        transposed: bool = False,
        add: bool = False,
    ) -> None:
        """result (m × n) = left (m × k) · right (k × n, or n × k transposed), row-major; or added to it."""
        m, n, k = shape
        b = Matrix(right.data.ptr, k if transposed else n, transposed=transposed)
        product = Matrix(result.data.ptr, n)
        self.session.blas.gemm((n, m, k), b, Matrix(left.data.ptr, k), product, beta=float(add))

    def learn_product(self, index: int, left: Any, right: Any, shape: tuple[int, int]) -> None:
        """The gradient of weights (m × n): left (rows × m, transposed) · right (rows × n)."""
        m, n = shape
        a, b = Matrix(left.data.ptr, m, transposed=True), Matrix(right.data.ptr, n)

        def write(target: Any, add: bool) -> None:
            self.session.blas.gemm((n, m, self.rows), b, a, Matrix(target.data.ptr, n), beta=float(add))

        self._learn(index, write)

    def learn_sum(self, index: int, diff: Any, width: int) -> None:
        """The gradient of a bias: the sum over all rows."""
        self._learn(index, lambda target, add: fold(self, diff, self.rows, width, target, add))

    def _learn(self, index: int, write: Callable[[Any, bool], None]) -> None:
        if self.layer.param_propagate_down[index]:
            self.gradients[index](write)
