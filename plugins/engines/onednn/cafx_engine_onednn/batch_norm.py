"""Kernels of batch normalisation in training: what comes behind it, and before its gradient, in the same passes.

Forward is y = relu(γ (x − μ) / √(σ² + eps) + β + z), where γ, β, the addend z and the ReLU may be missing. Which values
the ReLU passed is kept, as one bit each. Backward starts from g, the sum of one or two gradients of y where the ReLU
passed it:

    ∂z = g,  ∂β = Σ g,  ∂γ = Σ g (x − μ) / √(σ² + eps)
    ∂x = γ (g − ∂β / M − (x − μ) ∂γ / (M √(σ² + eps))) / √(σ² + eps)

with M values per channel. Both passes first sum up and then compute; a task does both for some blocks of 16 channels,
whose values stay in the caches meanwhile. Where there are fewer blocks than tasks are wanted, the images are divided,
too: then all tasks sum up first, and the second half combines the sums of the parts.

Sources: Ioffe and Szegedy, Batch Normalization (2015); Chan, Golub and LeVeque, Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import llvmlite.ir as ir

from cafx_lib_llvm import INT, LANES, Emitter, Value

from .batch_norm_task import BITS, KEPT, SUMS, NormArguments, NormTask, Share, Size
from .operands import Bindable
from .winograd.program import FLOAT_BYTES, OWN, Cells, Region, Scratch, Task, Tasks, task_kernel
from .winograd.tiling import split

TASKS_PER_THREAD = 2
GROUP_BYTES = 1 << 19
"""Values of the bottom that a task works on, which should stay in its caches."""
VECTOR_BYTES = LANES * FLOAT_BYTES


@attrs.frozen
class Form:
    """What the kernels of a normalisation compute.

    Attributes:
        adds: whether there is an addend.
        relu: whether there is a ReLU.
        scale, shift: whether there are γ and β.
        sources: number of gradients of the top.
        stores: whether g is stored, as the addend's gradient.
        down: whether the bottom's gradient is needed.
    """

    adds: bool = False
    relu: bool = False
    scale: bool = False
    shift: bool = False
    sources: int = 1
    stores: bool = False
    down: bool = True


@task_kernel(NormArguments)
def statistics(e: Emitter) -> None:
    """Leave mean, sum of squared deviations and count of the task's values.

    They are summed up as differences from the first image's mean, which is so near that nothing is lost.
    """
    task, b = NormTask(e, ["x"]), e.builder
    pixels, zero = task.number(INT(1)), e.constant(0)
    with task.blocks() as block:
        total = block.sums(task.share.first, lambda vector: [task.load("x", vector)], 1)
        block.keep(zero, zero, b.fdiv(total[0], pixels))
    with task.blocks_of_images() as (block, image):
        near = block.kept(SUMS)[-1]

        def differences(vector: Value, near: Value = near) -> Sequence[Value]:
            difference = b.fsub(task.load("x", vector), near)
            return difference, b.fmul(difference, difference)

        block.add(*block.sums(image, differences, 2))
    count = task.number(task.share.images)
    with task.blocks() as block:
        total, squares, near = block.kept(SUMS)
        difference = b.fdiv(total, count)
        around = b.fsub(squares, b.fmul(total, difference))
        around = b.select(b.fcmp_ordered("<", around, zero), zero, around)
        block.leave(b.fadd(near, difference), around, count)


@task_kernel(NormArguments)
def normalise(e: Emitter, form: Form) -> None:
    """y, the bits, and the channels' mean and variance."""
    names = [name for name in ("scale", "shift") if getattr(form, name)]
    names += ["z"] * form.adds + ["passed"] * form.relu
    task, b, zero = NormTask(e, ["x", "y", "mean", "variance", *names]), e.builder, e.constant(0)
    with task.blocks() as block:
        (total,) = block.combined(lambda left: [b.fmul(left[0], left[2])], 1)
        mean = b.fdiv(total, task.count)

        def around(left: Sequence[Value], mean: Value = mean) -> Sequence[Value]:
            difference = b.fsub(left[0], mean)
            return [e.fma(b.fmul(difference, difference), left[2], left[1])]

        variance = b.fdiv(block.combined(around, 1)[0], task.count)
        block.set_channels({"mean": mean, "variance": variance})
        inverse = task.inverse_deviation(variance)
        factor = b.fmul(inverse, block.channels("scale")) if form.scale else inverse
        block.keep(mean, factor, block.channels("shift") if form.shift else zero)
    with task.blocks_of_images() as (block, image):
        mean, factor, shift = block.kept(3)

        def write(vector: Value, mean: Value = mean, factor: Value = factor, shift: Value = shift) -> None:
            y = e.fma(b.fsub(task.load("x", vector), mean), factor, shift)
            if form.adds:
                y = b.fadd(y, task.load("z", vector))
            if form.relu:
                y = b.select(b.fcmp_ordered("<=", y, zero), zero, y)
                b.store(b.bitcast(b.fcmp_ordered(">", y, zero), BITS), b.gep(task.bits, [vector]))
            task.store("y", y, vector)

        block.each(image, write)


def _gradient(task: NormTask, form: Form, vector: Value) -> Value:
    """g."""
    e, b = task.e, task.b
    value = task.load("dy", vector)
    if form.sources > 1:
        value = b.fadd(value, task.load("dy2", vector))
    if form.relu:
        passed = b.bitcast(b.load(b.gep(task.bits, [vector])), ir.VectorType(ir.IntType(1), LANES))
        value = b.fmul(value, b.select(passed, e.constant(1), e.constant(0)))
    return value


def _gradient_names(form: Form) -> list[str]:
    return ["dy", *["dy2"] * (form.sources > 1), *["passed"] * form.relu]


@task_kernel(NormArguments)
def reductions(e: Emitter, form: Form) -> None:
    """Leave Σ g and Σ g (x − μ); g itself, if it is stored."""
    task, b = NormTask(e, ["x", "mean", *_gradient_names(form), *["dz"] * form.stores]), e.builder
    with task.blocks() as block:
        block.keep(*[e.constant(0)] * 2)
    with task.blocks_of_images() as (block, image):
        mean = block.channels("mean")

        def terms(vector: Value, mean: Value = mean) -> Sequence[Value]:
            gradient = _gradient(task, form, vector)
            if form.stores:
                task.store("dz", gradient, vector)
            return gradient, b.fmul(gradient, b.fsub(task.load("x", vector), mean))

        block.add(*block.sums(image, terms, 2))
    with task.blocks() as block:
        block.leave(*block.kept(2))


@task_kernel(NormArguments)
def gradients(e: Emitter, form: Form) -> None:
    """∂x, ∂γ and ∂β."""
    names = ["mean", "variance", *[name for name in ("scale", "dscale") if form.scale], *["dshift"] * form.shift]
    if form.down:
        names += ["x", "dx", *(["dz"] if form.stores else _gradient_names(form))]
    task, b = NormTask(e, names), e.builder
    with task.blocks() as block:
        total, product = block.combined(lambda left: left[:2], 2)
        inverse = task.inverse_deviation(block.channels("variance"))
        along = b.fmul(product, inverse)
        found = {"dscale": along} if form.scale else {}
        block.set_channels(found | ({"dshift": total} if form.shift else {}))
        factor = b.fmul(inverse, block.channels("scale")) if form.scale else inverse
        slope = b.fdiv(b.fmul(along, inverse), task.count)
        block.keep(block.channels("mean"), factor, b.fdiv(total, task.count), slope)
    if not form.down:
        return
    with task.blocks_of_images() as (block, image):
        mean, factor, centre, slope = block.kept(KEPT)

        def write(vector: Value, mean: Value = mean, rest: Sequence[Value] = (factor, centre, slope)) -> None:
            gradient = task.load("dz", vector) if form.stores else _gradient(task, form, vector)
            deviation = b.fsub(task.load("x", vector), mean)
            value = b.fsub(b.fsub(gradient, rest[1]), b.fmul(deviation, rest[2]))
            task.store("dx", b.fmul(rest[0], value), vector)

        block.each(image, write)


OPERANDS = tuple(name for name, kind in attrs.fields_dict(NormArguments).items() if kind.type == "Region")


def _shares(size: Size, threads: int) -> list[Share]:
    """The tasks: blocks that fit into a thread's caches, and the images in as many parts as keep all threads busy."""
    wanted = TASKS_PER_THREAD * threads
    together = max(1, min(GROUP_BYTES // (size.images * size.pixels * VECTOR_BYTES), size.blocks // wanted))
    parts = min(size.images, max(1, wanted // size.blocks))
    ranges = list(split(size.images, parts))
    return [
        Share(block=block, blocks=blocks, first=first, images=images, part=part, parts=len(ranges))
        for block, blocks in split(size.blocks, -(-size.blocks // together))
        for part, (first, images) in enumerate(ranges)
    ]


def program(
    memory: Mapping[str, Bindable], form: Form, size: Size, eps: float, *, threads: int, scratch: Scratch
) -> Tasks:
    """The program of a pass: backward if there is a gradient of the top.

    Args:
        memory: operands by the names of `NormArguments`, as far as the form needs them; ``passed`` has a bit for each
            value. Blobs are in blocks of 16 channels, without padding.
        form: what is computed.
        size: of the blobs.
        eps: added to the variance.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    shares, cells = _shares(size, threads), Cells()
    sums = scratch("batch_norm.sums", size.blocks * shares[0].parts * SUMS * LANES)
    regions = {name: Region(cells.of(each)) for name, each in {**memory, "sums": sums}.items()}
    operands = {name: regions.get(name, regions["sums"]) for name in OPERANDS} | {"own": Region(OWN)}
    halves = (reductions(form), gradients(form)) if "dy" in memory else (statistics(), normalise(form))
    calls = [
        [half.call(NormArguments(**operands, eps=eps, size=size, share=share)) for share in shares] for half in halves
    ]
    alone: list[list[Task]] = [[*zip(*calls, strict=True)]]
    halved: list[list[Task]] = [[(each,) for each in half] for half in calls]
    own = scratch("batch_norm.threads", threads * max(share.blocks for share in shares) * KEPT * LANES)
    return Tasks(threads, cells, own, alone if shares[0].parts == 1 else halved)
