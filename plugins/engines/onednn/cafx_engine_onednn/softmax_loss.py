"""Kernels of the softmax loss: probabilities, those of the labels, and the gradient, in one pass each.

Scores are outer × classes × inner. With inner 1, a vector holds classes of one position; otherwise it holds the same
class of neighbouring positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import numpy as np
from llvmlite.ir import IntType

from cafx_lib_llvm import INT, INTS, LANE, LANES, Arguments, Emitter, Value
from cafx_lib_llvm.emitter import FLOAT

from .operands import Bindable
from .recurrent.functions import exp
from .winograd.finite import Finite
from .winograd.program import Cells, Region, Scratch, Tasks, pointer, task_kernel
from .winograd.tiling import split

TASKS_PER_THREAD = 2
FEWEST_VECTORS = 512
"""Less is not worth a task of its own."""
NOTHING_IGNORED = -1e30
"""A label that does not occur."""
MINUS_INFINITY = float("-inf")


@attrs.frozen(kw_only=True)
class LossArguments(Arguments):
    """Arguments of the kernels.

    Attributes:
        scores: what the probabilities are made of; in the backward pass its gradient.
        probabilities: softmax of the scores.
        labels: a class index for each position.
        picked: probability of each position's label, 1 where it is ignored; in the backward pass, the factor of the
            gradient.
        status: address of an int64, set to 1 where a label is no index or a score is not finite.
        classes, inner: lengths of axes.
        first, count: positions of the task: rows, or of one image, counted from ``row``.
        row: index of the image.
        ignored: the label that does not count.
    """

    scores: Region
    probabilities: Region
    labels: Region
    picked: Region
    status: int
    classes: int
    inner: int
    first: int
    count: int
    row: int
    ignored: float


class _Loss:
    """What the kernels have in common.

    Args:
        e: the kernel being written.
    """

    def __init__(self, e: Emitter) -> None:
        self.e, self.args = e, e.arguments
        names = ("scores", "probabilities", "labels", "picked")
        self.scores, self.probabilities, self.labels, self.picked = (pointer(e, getattr(self.args, n)) for n in names)
        self.classes = e.builder.sitofp(self.args.classes, FLOAT)

    def fail_if(self, condition: Value) -> None:
        """Set the status."""
        e = self.e
        with e.if_then(condition):
            e.builder.store(INT(1), e.builder.inttoptr(self.args.status, INTS))

    def fail_if_any(self, condition: Value) -> None:
        """Set the status if it holds in any lane."""
        b, lanes = self.e.builder, IntType(LANES)
        self.fail_if(b.icmp_unsigned("!=", b.bitcast(condition, lanes), lanes(0)))

    def vectors(self, count: Value) -> Value:
        """How many vectors hold a number of values."""
        return self.e.builder.sdiv(self.e.add(count, LANES - 1), INT(LANES))

    def load(self, mask: Value, source: Value, other: float) -> Value:
        """The lanes under a mask; the others have a constant."""
        e = self.e
        return e.builder.select(mask, e.load_lanes(mask, source), e.constant(other))


@task_kernel(LossArguments)
def forward_rows(e: Emitter) -> None:
    """Probabilities and those of the labels, of positions whose classes lie side by side."""
    loss, b, finite = _Loss(e), e.builder, Finite(e)
    args = loss.args
    vectors = loss.vectors(args.classes)
    with e.loop(args.count) as each:
        row = e.add(args.first, each.index)
        source, target = (e.at(at, e.multiply(row, args.classes)) for at in (loss.scores, loss.probabilities))

        def lanes(index: Value) -> tuple[Value, Value]:
            start = e.multiply(index, LANES)
            return start, e.first_lanes(b.sub(args.classes, start))

        with e.loop(vectors, [e.constant(MINUS_INFINITY)]) as loop:
            start, mask = lanes(loop.index)
            finite.check([e.load_lanes(mask, source, start)])
            x = loss.load(mask, e.at(source, start), MINUS_INFINITY)
            loop.carry([_larger(e, x, loop.values[0])])
        largest = _largest(e, loop.values[0])
        with e.loop(vectors, [e.constant(0)]) as loop:
            start, mask = lanes(loop.index)
            p = exp(e, b.fsub(loss.load(mask, e.at(source, start), MINUS_INFINITY), largest))
            e.store_lanes(mask, p, target, start)
            loop.carry([b.fadd(loop.values[0], p)])
        factor = b.fdiv(e.constant(1), e.splat(e.sum_lanes(loop.values[0])))
        with e.loop(vectors) as loop:
            start, mask = lanes(loop.index)
            e.store_lanes(mask, b.fmul(e.load_lanes(mask, target, start), factor), target, start)
        index, ignored, wrong = _label(loss, row)
        loss.fail_if(wrong)
        probability = b.select(ignored, FLOAT(1.0), b.load(e.at(target, index)))
        b.store(probability, e.at(loss.picked, row))
    finite.report(args.status)


@task_kernel(LossArguments)
def backward_rows(e: Emitter) -> None:
    """The gradient: (p - 1 at the label) · factor, 0 where the label is ignored."""
    loss, b = _Loss(e), e.builder
    args = loss.args
    given = b.load(loss.picked)
    with e.loop(args.count) as each:
        row = e.add(args.first, each.index)
        target, source = (e.at(at, e.multiply(row, args.classes)) for at in (loss.scores, loss.probabilities))
        index, ignored, _ = _label(loss, row)
        factor = b.fmul(given, b.select(ignored, FLOAT(0.0), FLOAT(1.0)))
        with e.loop(loss.vectors(args.classes)) as loop:
            start = e.multiply(loop.index, LANES)
            mask = e.first_lanes(b.sub(args.classes, start))
            e.store_lanes(mask, b.fmul(e.load_lanes(mask, source, start), e.splat(factor)), target, start)
        centred = b.fsub(b.load(e.at(source, index)), FLOAT(1.0))
        b.store(b.fmul(centred, factor), e.at(target, index))


@task_kernel(LossArguments)
def forward_positions(e: Emitter) -> None:
    """Probabilities and those of the labels, of positions that lie side by side."""
    loss, b, finite = _Loss(e), e.builder, Finite(e)
    for at in _positions(loss):
        with e.loop(loss.args.classes, [e.constant(MINUS_INFINITY)]) as loop:
            x = e.load_lanes(at.mask, at.scores, at.offset(loop.index))
            finite.check([x])
            loop.carry([_larger(e, x, loop.values[0])])
        largest = loop.values[0]
        with e.loop(loss.args.classes, [e.constant(0)]) as loop:
            offset = at.offset(loop.index)
            p = exp(e, b.fsub(e.load_lanes(at.mask, at.scores, offset), largest))
            e.store_lanes(at.mask, p, at.probabilities, offset)
            loop.carry([b.fadd(loop.values[0], p)])
        factor = b.fdiv(e.constant(1), loop.values[0])
        with e.loop(loss.args.classes, [e.constant(1)]) as loop:
            offset = at.offset(loop.index)
            p = b.fmul(e.load_lanes(at.mask, at.probabilities, offset), factor)
            e.store_lanes(at.mask, p, at.probabilities, offset)
            loop.carry([b.select(at.is_label(loop.index), p, loop.values[0])])
        e.store_lanes(at.mask, b.select(at.ignored, e.constant(1), loop.values[0]), loss.picked, at.position)
        loss.fail_if_any(b.and_(at.mask, at.wrong))
    finite.report(loss.args.status)


@task_kernel(LossArguments)
def backward_positions(e: Emitter) -> None:
    """The gradient: (p - 1 at the label) · factor, 0 where the label is ignored."""
    loss, b = _Loss(e), e.builder
    given = e.splat(b.load(loss.picked))
    for at in _positions(loss):
        factor = b.fmul(given, b.select(at.ignored, e.constant(0), e.constant(1)))
        with e.loop(loss.args.classes) as loop:
            offset = at.offset(loop.index)
            one = b.select(at.is_label(loop.index), e.constant(1), e.constant(0))
            p = e.load_lanes(at.mask, at.probabilities, offset)
            e.store_lanes(at.mask, b.fmul(b.fsub(p, one), factor), at.scores, offset)


@attrs.frozen
class _Positions:
    """A vector of neighbouring positions, as kernels see it.

    Attributes:
        loss: the kernel.
        position: the first one.
        mask: those that there are.
        scores, probabilities: their first class.
        labels: truncated to whole numbers.
        ignored, wrong: whose labels do not count, or are no indices.
    """

    loss: _Loss
    position: Value
    mask: Value
    scores: Value
    probabilities: Value
    labels: Value
    ignored: Value
    wrong: Value

    def offset(self, index: Value) -> Value:
        """The distance of a class from the first."""
        return self.loss.e.multiply(index, self.loss.args.inner)

    def is_label(self, index: Value) -> Value:
        """Whose label a class is."""
        e = self.loss.e
        return e.builder.fcmp_ordered("==", self.labels, e.splat(e.builder.sitofp(index, FLOAT)))


def _positions(loss: _Loss) -> Iterator[_Positions]:
    """The body of a loop over the vectors of a task's positions."""
    e, args = loss.e, loss.args
    with e.loop(loss.vectors(args.count)) as loop:
        start = e.multiply(loop.index, LANES)
        mask = e.first_lanes(e.builder.sub(args.count, start))
        first = e.add(args.first, start)
        position = e.add(e.multiply(args.row, args.inner), first)
        corner = e.add(e.multiply(args.row, args.classes, args.inner), first)
        labels, ignored, wrong = _examined(loss, e.load_lanes(mask, loss.labels, position))
        places = e.at(loss.scores, corner), e.at(loss.probabilities, corner)
        yield _Positions(loss, position, mask, *places, labels, ignored, wrong)


def _label(loss: _Loss, row: Value) -> tuple[Value, Value, Value]:
    """A position's label as an index that is within the classes, whether it is ignored, and whether it is wrong."""
    e, b = loss.e, loss.e.builder
    whole, ignored, wrong = (
        b.extract_element(each, LANE(0)) for each in _examined(loss, e.splat(b.load(e.at(loss.labels, row))))
    )
    return b.fptosi(b.select(b.or_(ignored, wrong), FLOAT(0.0), whole), INT), ignored, wrong


def _examined(loss: _Loss, labels: Value) -> tuple[Value, Value, Value]:
    """Labels as whole numbers, which of them are ignored, and which others are no indices."""
    e, b = loss.e, loss.e.builder
    whole = e.truncate(labels)
    ignored = b.fcmp_ordered("==", whole, e.splat(loss.args.ignored))
    above = b.fcmp_ordered(">", labels, e.constant(-1))
    inside = b.and_(above, b.fcmp_ordered("<", labels, e.splat(loss.classes)))
    return whole, ignored, b.not_(b.or_(ignored, inside))


def _larger(e: Emitter, left: Value, right: Value) -> Value:
    return e.builder.select(e.builder.fcmp_ordered(">", left, right), left, right)


def _largest(e: Emitter, value: Value) -> Value:
    """The largest of a vector's lanes, in all lanes."""
    width = LANES
    while width := width // 2:
        value = _larger(e, value, e.shuffle(value, value, [(lane + width) % LANES for lane in range(LANES)]))
    return value


@attrs.frozen
class Sizes:
    """Lengths of the axes of the scores."""

    outer: int
    classes: int
    inner: int

    def tasks(self, threads: int) -> Iterator[tuple[int, int, int]]:
        """Image, first position and number of positions of each task; with inner 1, all rows are of image 0."""
        images, positions, per_vector = (1, self.outer, 1) if self.inner == 1 else (self.outer, self.inner, LANES)
        vectors = self.outer * self.classes * self.inner // LANES
        parts = min(TASKS_PER_THREAD * threads, max(1, vectors // FEWEST_VECTORS))
        for image in range(images):
            for first, count in split(-(-positions // per_vector), -(-parts // images)):
                start = first * per_vector
                yield image, start, min(count * per_vector, positions - start)


def program(
    memory: Mapping[str, Bindable], sizes: Sizes, ignored: int | None, *, backward: bool, threads: int, scratch: Scratch
) -> Tasks:
    """The program of a pass; it has met what is not finite also where a label is no index.

    Args:
        memory: ``scores``, ``probabilities``, ``labels`` and ``picked``: see `LossArguments`.
        sizes: of the scores.
        ignored: the label that does not count, if there is one.
        backward: the direction.
        threads: how many to use.
        scratch: provider of scratch buffers.
    """
    rows, positions = (backward_rows, backward_positions) if backward else (forward_rows, forward_positions)
    kernel = rows() if sizes.inner == 1 else positions()
    cells, status = Cells(), np.zeros(1, np.int64)
    regions = {name: Region(cells.of(each)) for name, each in memory.items()}
    label = NOTHING_IGNORED if ignored is None else float(ignored)
    constants = {"classes": sizes.classes, "inner": sizes.inner, "ignored": label, "status": int(status.ctypes.data)}
    tasks = [
        [kernel.call(LossArguments(**regions, **constants, row=row, first=first, count=count))]
        for row, first, count in sizes.tasks(threads)
    ]
    used = min(threads, len(tasks))
    return Tasks(used, cells, scratch("softmax_loss.threads", threads), [tasks], not_finite=status)
