"""What the engine's routines share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import attrs
import numpy as np

from cafx.kernel import Blob, Unsupported
from cafx.kernel.blob import Place
from cafx.kernel.net import Access, LayerPlan, Routine
from cafx_engine_cudnn.build import Build
from cafx_engine_cudnn.operands import Operand
from cafx_engine_cupy.session import BLOCK, NULL


@attrs.frozen(eq=False)
class Fusion:
    """What a routine computes besides its own layer.

    Attributes:
        needs_backward: whether any of the fused layers runs backward.
        slope: negative slope of a ReLU behind the layer; None without one.
        relu_gradient_elsewhere: whether another routine computes that ReLU's gradient.
        relu_of_bottom: slope of a ReLU that wrote the bottom, whose gradient this routine computes.
        batch_norm: a BatchNorm layer, by running statistics, folded into the weights.
        scale: a Scale layer behind a BatchNorm layer.
        residual: a blob added to the result before the ReLU, and the top of that sum.
        dropout: a Dropout layer behind the layer and its ReLU.
        top: the blob that the last fused layer writes, if it is not the layer's own.
    """

    needs_backward: bool = False
    slope: float | None = None
    relu_gradient_elsewhere: bool = False
    relu_of_bottom: float | None = None
    batch_norm: Any = None
    scale: Any = None
    residual: Blob | None = None
    dropout: Any = None
    top: Blob | None = None


UNFUSED = Fusion()


class Accelerated(Routine):
    """A routine on channels-last memory.

    Subclasses raise `Unsupported` in `choose` for layers they cannot run, state there where they
    leave the tops (`Build.writes`), and create the operands that `forward` and `backward` use.
    They list the operands of each pass in `forward_uses` and `backward_uses`, from which memory is
    planned; what reads or writes anything else there is a mistake that the stand-in's tests find.

    Args:
        compilation: the net being compiled.
        planned: the layer.
        fusion: what the routine computes besides.

    Attributes:
        build, session, precision: as in `Build`.
        training: whether forward must leave what backward needs.

    Raises:
        Unsupported: another type than float32, an empty batch, or what `choose` refuses.
    """

    carried: ClassVar[tuple[str, ...]] = ()
    """Attributes with what forward leaves for backward."""
    compilation: Build

    def __init__(self, compilation: Build, planned: LayerPlan, fusion: Fusion = UNFUSED) -> None:
        super().__init__(compilation, planned)
        self.build, self.fusion = compilation, fusion
        self.session, self.precision = compilation.session, compilation.precision
        self.bottoms, self.tops, self.propagate_down = planned.bottoms, planned.tops, planned.propagate_down
        self.training = compilation.plan.has_backward and (planned.needs_backward or fusion.needs_backward)
        self._operands: list[Operand] = []
        blobs = (*planned.bottoms, *planned.tops)
        if any(blob.dtype != np.float32 for blob in blobs):
            raise Unsupported("only float32")
        if any(not blob.count_ for blob in blobs):
            raise Unsupported("an empty batch")
        self.choose()

    def choose(self) -> None:
        """Create operands and state the tops' places; `Unsupported` for what it cannot run."""
        raise NotImplementedError

    def operand(self, storage: Any, place: Place, *, apart: bool = False) -> Operand:
        """An operand of this routine."""
        made = Operand(storage, place, apart=apart)
        self._operands.append(made)
        return made

    def data(self, blob: Blob, *, apart: bool = False) -> Operand:
        """A blob's values, channels-last."""
        return self.operand(blob.synced_data, self.build.channels_last(blob), apart=apart)

    def diff(self, blob: Blob, *, apart: bool = False) -> Operand:
        """A blob's gradient, channels-last."""
        return self.operand(blob.synced_diff, self.build.channels_last(blob), apart=apart)

    def row_major(self, storage: Any) -> Operand:
        """An array in the engine's row-major place, such as labels."""
        return self.operand(storage, self.build.engine.place)

    @property
    def forward_uses(self) -> Access:
        """What the forward pass reads and writes."""
        raise NotImplementedError

    @property
    def backward_uses(self) -> Access:
        """What the backward pass reads, writes, and uses as its forward pass left it."""
        raise NotImplementedError

    def accesses(self, *, backward: bool) -> Sequence[Access]:
        """What it reads and writes in one direction."""
        return [self.backward_uses if backward else self.forward_uses]

    def left(self) -> Any:
        """Its operands' memory, and attributes."""
        return [operand.array for operand in self._operands], {name: getattr(self, name) for name in self.carried}

    def take(self, left: Any) -> None:
        """Use that memory, and set these attributes."""
        arrays, attributes = left
        for operand, array in zip(self._operands, arrays, strict=True):
            operand.array = array
        for name, value in attributes.items():
            setattr(self, name, value)

    def release(self) -> None:
        """Let go of memory."""
        for operand in self._operands:
            operand.release()

    def launch(self, file: str, kernel: str, count: int, *arguments: Any) -> None:
        """Run a kernel that loops over ``count`` items.

        Args:
            file, kernel: as for `Precision.kernel`.
            count: items, such as packs of values.
            arguments: arrays, NumPy scalars; None is a null pointer.
        """
        given = tuple(NULL if argument is None else argument for argument in arguments)
        self.precision.launch(file, kernel, self.session.grid(count), BLOCK, given)

    def packs(self, blob: Blob) -> int:
        """How many accesses of 16 bytes a blob's channels-last array takes."""
        return self.build.extent(blob).count // self.precision.vector


class ParameterGradient:
    """The gradient of one parameter: overwritten while it is still zero, else added to.

    Args:
        operand: the parameter's diff in its packed place.
    """

    def __init__(self, operand: Operand) -> None:
        self.operand = operand

    def __call__(self, write: Callable[[Any, bool], None]) -> None:
        """Let ``write(array, add)`` write to the diff, or add to it where ``add`` is true."""
        add = not self.operand.storage.is_zero
        array = self.operand.read() if add else self.operand.target()
        write(array, add)
        self.operand.written()
