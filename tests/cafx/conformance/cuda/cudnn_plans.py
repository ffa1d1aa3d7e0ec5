"""Execution plans: which ones there are for a graph, which are deselected, which are built."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .cudnn_names import BehaviorNote, Code, DataType, HeurMode, NumericalNote, cudnnGraphNotSupportedError
from .cudnn_nodes import Node

SMALL_WORKSPACE, LARGE_WORKSPACE = 4 << 10, 64 << 10


@attrs.define
class Plan:
    """A plan.

    Attributes:
        name: engine and knobs.
        workspace: bytes it needs.
        numeric: what it does to numbers.
        behavior: what it needs.
        barred: whether it was deselected. It keeps its index, but cannot be built.
        built: whether it can run.
    """

    name: str
    workspace: int
    numeric: frozenset[Code] = frozenset()
    behavior: frozenset[Code] = frozenset()
    barred: bool = False
    built: bool = False


def propose(nodes: list[Node], modes: Iterable[HeurMode]) -> list[Plan]:
    """The plans that heuristics propose, those expected to be fastest first."""
    main = nodes[0]
    if main.operation == "conv_wgrad":
        kinds = {tensor.get_data_type() for tensor in main.inputs.values()}
        if kinds == {DataType.BFLOAT16} and main.output.get_data_type() is DataType.FLOAT:
            return [Plan("eng70", SMALL_WORKSPACE, frozenset({NumericalNote.TENSOR_CORE}))]
    compiled = frozenset({BehaviorNote.RUNTIME_COMPILATION} if len(nodes) > 1 else ())
    plain = Plan("eng0_k4=1", SMALL_WORKSPACE)
    if set(modes) <= {HeurMode.FALLBACK}:
        return [plain]
    return [
        Plan("eng1_k2=3", 0, frozenset({NumericalNote.TENSOR_CORE}), compiled),
        plain,
        Plan("eng6_k5=2", LARGE_WORKSPACE, frozenset({NumericalNote.NONDETERMINISTIC})),
    ]


@attrs.define
class PlanList:
    """The plans of a graph, by their index.

    Attributes:
        plans: all plans, deselected ones included.
        candidate: the index of the plan built last, which ``execute`` runs; None before one was.
    """

    plans: list[Plan] = attrs.field(factory=list)
    candidate: int | None = None

    def at(self, index: int) -> Plan:
        """The plan of that index; RuntimeError if there is none."""
        if not 0 <= index < len(self.plans):
            raise RuntimeError(f"Plan index {index} is invalid.")
        return self.plans[index]

    def chosen(self) -> int:
        """The candidate's index, -1 without one."""
        return -1 if self.candidate is None else self.candidate

    def executable(self, index: int) -> Plan:
        """The plan of that index; RuntimeError unless it is built."""
        plan = self.at(index)
        if not plan.built:
            raise RuntimeError(f"Plan index {index} did not build.")
        return plan

    def supported(self, index: int) -> Plan:
        """The plan of that index; cudnnGraphNotSupportedError if it was deselected."""
        plan = self.at(index)
        if plan.barred:
            raise cudnnGraphNotSupportedError("Deselecting execution plan")
        return plan

    def build(self, index: int) -> None:
        """Build a plan and make it the candidate."""
        self.supported(index).built = True
        self.candidate = index

    def selectable(self) -> list[int]:
        """The indices of plans that were not deselected; cudnnGraphNotSupportedError if there is none."""
        found = [index for index, plan in enumerate(self.plans) if not plan.barred]
        if not found:
            raise cudnnGraphNotSupportedError("[cudnn_frontend] Error: No execution plans support the graph.")
        return found

    def filter(self, notes: Iterable[Code], *, numeric: bool, keep: bool) -> None:
        """Deselect plans with one of the notes, or (``keep``) plans that lack one."""
        assert self.plans, "notes are selected before create_execution_plans, where it has no effect"
        for note in notes:
            for plan in self.plans:
                has = note in (plan.numeric if numeric else plan.behavior)
                plan.barred = plan.barred or has is not keep
