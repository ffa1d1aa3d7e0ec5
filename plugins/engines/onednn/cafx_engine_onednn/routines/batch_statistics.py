"""Passes of a normalisation by the batch's statistics, with the ReLU, or the sum and its ReLU, behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cafx.kernel import Blob, Unsupported
from cafx.kernel.net import Access

from ..api.constants import Arg, DataType
from ..api.memory import Memory, MemoryDesc
from ..exact import Choice, FewFinite, require_kernels
from ..execution import Deferred, Execution, InOrder, Run, Work
from ..operands import Bindable, Operand
from ..routine import Gradients
from .convolution import ACTIVATIONS, BLOCK, IMAGES
from .per_channel import PerChannel

PARAMETERS = {"scale": Arg.SCALE, "shift": Arg.SHIFT}
GRADIENTS = {"dscale": Arg.DIFF_SCALE, "dshift": Arg.DIFF_SHIFT}
FLOAT_BITS = 32


class BatchStatistics:
    """y = relu(s (x − μ) / √(σ² + eps) + b + z), and the gradients, in passes over 16 channels at a time.

    The fusion of the routine says whether there is a ReLU, a sum with z, and a Split behind the sum. In place, the top
    has memory of its own.

    Args:
        norm: the routine.
        update: adds the batch's statistics to the running ones.

    Raises:
        Unsupported: no backward pass, running statistics, or no kernels for these blobs.
    """

    def __init__(self, norm: PerChannel, update: Callable[[], None]) -> None:
        require_kernels()
        if norm.running or not norm.training:
            raise Unsupported("only the batch's statistics, and only in training")
        bottom, residual = norm.bottoms[0], norm.fusion.residual
        if norm.engine.type != DataType.F32 or len(bottom.shape) != IMAGES or bottom.shape[1] % BLOCK:
            raise Unsupported("only float32 images in whole blocks of channels")
        self.desc = MemoryDesc.tagged(bottom.shape, ACTIVATIONS[IMAGES])
        read = [bottom] if residual is None else [bottom, residual.addend]
        if any(norm.build.layout_of(blob) != self.desc for blob in read):
            raise Unsupported("another layout")
        self._norm, self._update, self._bottom, self._residual = norm, update, bottom, residual
        self._top = norm.tops[0] if residual is None else residual.top
        self._relu, self._in_place = norm.fusion.slope is not None, self._top is bottom
        norm.build.set_layout(self._top, self.desc)

    def _program(self, memory: Mapping[str, Bindable], **form: Any) -> Deferred:
        from ..batch_norm import Form, Size, program  # needs llvmlite, which is not everywhere

        images, channels, height, width = self.desc.dims
        size, build = Size(images=images, blocks=channels // BLOCK, pixels=height * width), self._norm.build
        known = {"relu": self._relu, "scale": "scale" in memory, "shift": "shift" in memory or "dshift" in memory}
        resources = {"threads": build.threads, "scratch": build.scratch.floats}
        return Deferred(partial(program, memory, Form(**known, **form), size, self._norm.eps, **resources))

    def _left(self) -> dict[str, Memory]:
        """What forward leaves for backward: the statistics, and a bit for each value, whether the ReLU passed it."""
        left = {"mean": self._norm.mean, "variance": self._norm.variance}
        if self._relu:
            bits = MemoryDesc.plain((-(-self._bottom.count_ // FLOAT_BITS),))
            left["passed"] = self._norm.held(Arg.WORKSPACE, bits)[Arg.WORKSPACE]
        return left

    def _parameters(self) -> dict[str, Operand]:
        found = self._norm.parameters()
        return {name: found[arg] for name, arg in PARAMETERS.items() if arg in found}

    def forward(self) -> Run:
        """One program."""
        norm, parameters = self._norm, self._parameters()
        norm.x = x = Operand(self._bottom.synced_data, self.desc, pinned=self._in_place)
        y = Operand(self._top.synced_data, self.desc, apart=self._in_place)
        addend = {} if self._residual is None else {"z": Operand(self._residual.addend.synced_data, self.desc)}
        memory = {"x": x, "y": y, **addend, **parameters, **self._left()}
        work = [self._program(memory, adds=bool(addend)), self._update]
        return Execution([x, *addend.values(), *parameters.values()], work, [y])

    def backward(self) -> Run:
        """One program; several where the scale is not finite: then a product's sum is not a sum's product."""
        norm, residual, desc = self._norm, self._residual, self.desc
        readers = residual.readers if residual is not None else ()
        dys = [Operand(top.synced_diff, desc) for top in readers or (self._top,)]
        x = norm.forward_input()
        scale = self._parameters().get("scale")
        reads = {"x": x, **dict(zip(("dy", "dy2"), dys, strict=False))} | ({"scale": scale} if scale else {})
        writes: dict[str, Operand] = {}
        if norm.propagate_down[0]:
            writes["dx"] = norm.own_diff(self._bottom, desc)
        if residual is not None and residual.down:
            writes["dz"] = Operand(residual.addend.synced_diff, desc)
        memory = reads | writes | self._left()
        targets, unneeded = norm.targets()

        def calls(gradients: Mapping[int, Bindable]) -> list[Work]:
            every = {**unneeded, **gradients}
            found = {name: every[arg] for name, arg in GRADIENTS.items() if arg in every}
            form = {"sources": len(dys), "stores": "dz" in writes, "down": "dx" in writes}
            usual: list[Work] = [self._program(memory | found, **form)]
            exact = partial(self._exact, memory, every, len(dys), scale)
            return usual if scale is None else [Choice([FewFinite(scale)], usual, exact)]

        keeps = [x] if self._in_place else []
        operands = [each for each in reads.values() if each not in keeps]
        if targets:
            run: Run = Gradients(norm, targets, calls, operands, list(writes.values()), keeps)
        else:
            run = Execution(operands, calls({}), writes.values(), keeps=keeps)
        return InOrder([Missing(readers), run]) if readers else run

    def _exact(
        self, memory: Mapping[str, Bindable], gradients: Mapping[int, Bindable], sources: int, scale: Operand
    ) -> Sequence[Work]:
        """The gradients of sum, scale and normalisation one after another."""
        scratch = self._norm.build.scratch
        dz = memory.get("dz") or scratch("unneeded addend diff", self.desc)
        dx = memory.get("dx") or scratch("unneeded bottom diff", self.desc)
        sums = {name: each for name, each in memory.items() if name not in ("scale", "dx")}
        first = self._program(sums | {"dz": dz}, sources=sources, stores=True, down=False)
        names = {Arg.SRC: "x", Arg.MEAN: "mean", Arg.VARIANCE: "variance", Arg.SCALE: "scale"}
        arguments = {arg: memory[name] for arg, name in names.items()}
        arguments |= {Arg.DIFF_DST: dz, Arg.DIFF_SRC: dx, **gradients}
        return [first, *self._norm.backward_apart(arguments, scale)]


class Missing:
    """Gradients that nobody has written are zero.

    Args:
        tops: the blobs whose gradients they are.
    """

    accesses: Sequence[Access] = ()

    def __init__(self, tops: Sequence[Blob]) -> None:
        self._tops = tops

    def release(self) -> None:
        """Hold nothing."""

    def __call__(self) -> None:
        """Look."""
        for top in self._tops:
            if not top.synced_diff.current:
                top.synced_diff.zero()
