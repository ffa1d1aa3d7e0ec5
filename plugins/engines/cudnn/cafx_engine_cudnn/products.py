"""Products: convolutions run by the fastest of their plans, whole or group by group."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from cafx.kernel import Unsupported
from cafx_engine_cudnn.build import Build
from cafx_engine_cudnn.plans import Plan
from cafx_engine_cudnn.problems import BIAS, FILTERS, IMAGE, RESULT, Problem

BYTES_PER_MILLISECOND = 2.2e9
"""Memory traffic of a kernel that works value by value, to compare plans with and without one."""


@attrs.frozen
class Way:
    """One way to compute a product.

    Attributes:
        problem: the problem of one call.
        plan: its plan.
        calls: how many calls, one per group.
    """

    problem: Problem
    plan: Plan
    calls: int

    @property
    def milliseconds(self) -> float:
        """Time of all calls."""
        return self.plan.milliseconds * self.calls


class Product:
    """A convolution's product, or that of its gradients.

    Args:
        build: the net's plans and scratch buffers.
        problem: the product.
        groups: of the convolution.

    Attributes:
        milliseconds: how long it takes.

    Raises:
        Unsupported: there is no plan.
    """

    def __init__(self, build: Build, problem: Problem, groups: int) -> None:
        self._build = build
        ways = [way for way in (_way(build, problem, 1), _way(build, problem, groups)) if way is not None]
        if not ways:
            raise Unsupported(f"cuDNN has no plan for this {problem.kind} product")
        self._way = min(ways, key=lambda way: way.milliseconds)
        self.milliseconds = self._way.milliseconds

    def __call__(self, addresses: Mapping[int, int]) -> None:
        """Compute it.

        Args:
            addresses: of the tensors, by uid.
        """
        way = self._way
        workspace = self._build.scratch("cudnn workspace", way.plan.workspace, "uint8").data.ptr
        steps = _bytes_per_group(way.problem)
        for group in range(way.calls):
            way.plan({uid: address + group * steps[uid] for uid, address in addresses.items()}, workspace)


def _way(build: Build, problem: Problem, groups: int) -> Way | None:
    """The product in so many calls; None without a plan."""
    part = problem if groups == 1 else _one_group(problem, groups)
    try:
        return Way(part, build.plans.choose(part), groups)
    except Unsupported:
        return None


def _one_group(problem: Problem, groups: int) -> Problem:
    """The product of one group: slices of the channels."""
    n, c, h, w = problem.image.dims
    m, k, p, q = problem.result.dims
    filters, *window = problem.filters.dims
    return attrs.evolve(
        problem,
        image=attrs.evolve(problem.image, dims=(n, c // groups, h, w)),
        result=attrs.evolve(problem.result, dims=(m, k // groups, p, q)),
        filters=attrs.evolve(problem.filters, dims=(filters // groups, *window)),
    )


def _bytes_per_group(problem: Problem) -> dict[int, int]:
    """From group to group, in each tensor of a call."""
    size = {uid: 2 if tensor.bf16 else 4 for uid, tensor in problem.tensors.items()}
    result, filters = problem.result.dims[1], problem.filters
    per_filter = filters.dims[2] * filters.dims[3] * filters.pitch
    return {
        IMAGE: problem.image.dims[1] * size[IMAGE],
        FILTERS: filters.dims[0] * per_filter * size[FILTERS],
        RESULT: result * size[RESULT],
        BIAS: result * 4,
    }


def pointwise_milliseconds(nbytes: int) -> float:
    """About how long a kernel takes that reads and writes so many bytes."""
    return nbytes / BYTES_PER_MILLISECOND
