"""A bench for convolution graphs of cuDNN's frontend: problems, their graphs, and their results by definition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np

from . import installed
from .cudnn_convolution import Window
from .runtime import Runtime

X, W, Y = 1, 2, 3
"""The uids of image, weights and result."""
WORKSPACE = 1 << 17
WINDOW = Window(before=(1, 1), after=(1, 0), stride=(2, 1), dilation=(1, 1))


class Bench:
    """A device with a stream of its own, a handle and workspace."""

    def __init__(self, runtime: Runtime) -> None:
        import cudnn  # type: ignore[import-not-found, unused-ignore]
        import cupy  # type: ignore[import-not-found, unused-ignore]

        self.cupy: Any = cupy
        self.cudnn: Any = cudnn
        self.runtime = runtime
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.stream.use()
        self.handle = cudnn.create_handle()
        cudnn.set_stream(handle=self.handle, stream=self.stream.ptr)
        self.workspace = cupy.zeros(WORKSPACE, np.uint8)
        self.random = np.random.default_rng(7)

    def graph(self, io: str = "FLOAT") -> Any:
        """An empty graph."""
        types = self.cudnn.data_type
        options = {"intermediate_data_type": types.FLOAT, "compute_data_type": types.FLOAT}
        return self.cudnn.pygraph(handle=self.handle, io_data_type=types[io], **options)

    def plan(self, graph: Any) -> Any:
        """Ask for a graph's plans."""
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([self.cudnn.heur_mode.A, self.cudnn.heur_mode.FALLBACK])
        return graph

    def run(self, graph: Any, pack: dict[int, Any], index: int = 0) -> None:
        """Build a plan and run it."""
        self.plan(graph).build_plan_at_index(index)
        self.execute(graph, pack, index)

    def execute(self, graph: Any, pack: dict[int, Any], index: int = 0) -> None:
        """Run a built plan."""
        addresses = {uid: array.data.ptr for uid, array in pack.items()}
        graph.execute_plan_at_index(addresses, self.workspace.data.ptr, index, handle=self.handle)

    def floats(self, count: int) -> Any:
        """Normally distributed numbers on the device."""
        return self.cupy.asarray(self.random.standard_normal(count).astype(np.float32))


@contextmanager
def bench() -> Iterator[Bench]:
    """A fresh device."""
    with installed() as runtime:
        yield Bench(runtime)


@attrs.frozen
class Problem:
    """A convolution to try; ``pitch`` more channels lie between pixels, ``skip`` of them before the first."""

    batch: int = 2
    groups: int = 1
    depth: int = 3
    filters: int = 2
    size: tuple[int, int] = (5, 4)
    kernel: tuple[int, int] = (3, 2)
    window: Window = WINDOW
    last: bool = True
    pitch: tuple[int, int] = (0, 0)
    skip: int = 0

    @property
    def shapes(self) -> dict[int, list[int]]:
        """Dims of image, weights and result, by uid."""
        image = [self.batch, self.groups * self.depth, *self.size]
        weight = [self.groups * self.filters, self.depth, *self.kernel]
        return {X: image, W: weight, Y: [self.batch, weight[0], *self.window.out(self.size, self.kernel)]}

    def strides(self, uid: int) -> list[int]:
        """Strides of image, weights or result."""
        _, channels, height, width = self.shapes[uid]
        if not self.last:
            return [channels * height * width, height * width, width, 1]
        step = channels + {X: self.pitch[0], Y: self.pitch[1], W: 0}[uid]
        return [height * width * step, 1, width * step, step]

    def flat(self, uid: int) -> int:
        """How many numbers memory for a tensor has."""
        shape, strides = self.shapes[uid], self.strides(uid)
        return self.skip + 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))

    def view(self, flat: Any, uid: int) -> Any:
        """A host array as the tensor that lies in it."""
        strides = [stride * flat.itemsize for stride in self.strides(uid)]
        return np.lib.stride_tricks.as_strided(flat[self.skip :], self.shapes[uid], strides)

    def direct(self, made: int, x: Any, w: Any, y: Any) -> Any:
        """The result (made = Y) or a gradient, by the definition."""
        out = np.zeros(self.shapes[made])
        move = self.window
        for n, k, p, q, c, r, s in np.ndindex(*self.shapes[Y], self.depth, *self.kernel):
            row = p * move.stride[0] + r * move.dilation[0] - move.before[0]
            column = q * move.stride[1] + s * move.dilation[1] - move.before[1]
            channel = k // self.filters * self.depth + c
            if 0 <= row < self.size[0] and 0 <= column < self.size[1]:
                at = {X: (n, channel, row, column), W: (k, c, r, s), Y: (n, k, p, q)}
                values = {X: x, W: w, Y: y}
                out[at[made]] += np.prod([values[uid][at[uid]] for uid in (X, W, Y) if uid != made])
        return out

    def graph(self, device: Bench, made: int, io: str = "FLOAT") -> Any:
        """The graph that makes result or gradient, and its output."""
        graph = device.graph(io)
        tensors = {
            uid: graph.tensor(dim=dim, stride=self.strides(uid), uid=uid)
            for uid, dim in self.shapes.items()
            if uid != made
        }
        move = self.window
        sizes = {"stride": move.stride, "dilation": move.dilation}
        sizes |= {"padding": move.before} if move.before == move.after else {}
        sizes |= {} if move.before == move.after else {"pre_padding": move.before, "post_padding": move.after}
        if made == Y:
            output = graph.conv_fprop(image=tensors[X], weight=tensors[W], **sizes)
        elif made == X:
            output = graph.conv_dgrad(loss=tensors[Y], filter=tensors[W], **sizes)
        else:
            output = graph.conv_wgrad(image=tensors[X], loss=tensors[Y], **sizes)
        return graph, output

    def store(self, output: Any, made: int) -> Any:
        """Make a tensor of the graph one that is stored where ``made`` lies."""
        output.set_output(True).set_uid(made).set_dim(self.shapes[made])
        return output.set_stride(self.strides(made))
