"""Graphs of cuDNN's frontend (``cudnn.pygraph``): checked like the real ones, computed by NumPy."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from .cudnn_execution import Execution, addresses
from .cudnn_handles import Handles
from .cudnn_names import BehaviorNote, BuildPlanPolicy, DataType, HeurMode, NumericalNote, cudnnGraphNotSupportedError
from .cudnn_nodes import CLASSES, check_pattern
from .cudnn_operations import Operations
from .cudnn_plans import PlanList, propose
from .cudnn_serialization import pack, unpack

MADE, VALID, LOWERED, PLANNED = range(4)
UNSET = DataType.NOT_SET
_numbers = itertools.count()


class PyGraph(Operations):
    """A graph of operations that one plan computes.

    The calls come in this order: operations, ``validate``, ``build_operation_graph``, ``create_execution_plans``,
    selection by notes, ``build_plan_at_index`` (or ``build_plans``), ``execute_plan_at_index`` (or ``execute``).
    """

    handles: ClassVar[Handles]

    def __init__(
        self,
        name: str = "test_graph",
        io_data_type: DataType = UNSET,
        intermediate_data_type: DataType = UNSET,
        compute_data_type: DataType = UNSET,
        handle: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self._types = {"io": io_data_type, "intermediate": intermediate_data_type, "compute": compute_data_type}
        self._handle = self.handles.create() if handle is None else handle
        self._plans = PlanList()
        self._stage = MADE
        self._restored = False
        self._number = next(_numbers)

    def validate(self) -> None:
        """Infer what was not set.

        Raises:
            ValueError: an attribute is missing.
            RuntimeError: two tensors have the same uid, or one that is stored has none. (The frontend would make one
                up, which a variant pack of numbers cannot know.)
        """
        self.handles.check(self._handle)
        assert self.nodes, "an empty graph"
        outputs = [node.output for node in self.nodes]
        for tensor in self.tensors:
            if not any(tensor is output for output in outputs):
                tensor.validate()
        for node in self.nodes:
            node.infer()
            node.compute = self._types["compute"] if node.compute is UNSET else node.compute
        for tensor in self.tensors:
            self._validate(tensor)
        uids = [tensor.uid for tensor in self.tensors if tensor.uid is not None]
        for uid in uids:
            if uids.count(uid) > 1:
                raise RuntimeError(f"uid {uid} has been already assigned to another tensor.")
        self._stage = max(self._stage, VALID)

    def _validate(self, tensor: Any) -> None:
        tensor.validate()
        if tensor.get_data_type() is UNSET:
            tensor.set_data_type(self._types["intermediate" if tensor.get_is_virtual() else "io"])
        if tensor.get_data_type() is UNSET:
            raise ValueError(f"Tensor '{tensor.get_name()}' has no data type.")
        if min(tensor.get_dim()) <= 0:
            raise RuntimeError(f"{tensor}: CUDNN_STATUS_BAD_PARAM: dims must be positive")
        if tensor.uid is None and not tensor.get_is_virtual():
            raise RuntimeError(f"{tensor} has no uid")

    def build_operation_graph(self) -> None:
        """Hand the graph to the backend.

        Raises:
            RuntimeError: shapes contradict each other.
            cudnnGraphNotSupportedError: no engine computes it.
        """
        self._require(VALID, "validate")
        check_pattern(self.nodes)
        for node in self.nodes:
            node.check()
        for tensor in self.tensors:
            if len(tensor.get_dim()) == 4 and not tensor.layouts():
                raise cudnnGraphNotSupportedError(f"{tensor} lies neither like NHWC nor like NCHW")
        self._stage = max(self._stage, LOWERED)

    def create_execution_plans(self, modes: Sequence[HeurMode]) -> None:
        """Ask heuristics for plans."""
        if self._stage < LOWERED:
            missing = "Empty operation graph provided. Did you forget to call graph.build_operation_graph()?"
            raise cudnnGraphNotSupportedError(missing)
        if not all(isinstance(mode, HeurMode) for mode in modes):
            raise TypeError(f"create_execution_plans(): incompatible function arguments: {modes!r}")
        self._plans = PlanList(propose(self.nodes, modes))
        self._stage = PLANNED

    def _require(self, stage: int, call: str) -> None:
        assert self._stage >= stage, f"the call of {call} is missing"

    def deselect_numeric_notes(self, notes: Sequence[NumericalNote]) -> None:
        """Deselect plans that have one of the notes. They keep their indices."""
        self._plans.filter(notes, numeric=True, keep=False)

    def select_numeric_notes(self, notes: Sequence[NumericalNote]) -> None:
        """Deselect plans that lack one of the notes."""
        self._plans.filter(notes, numeric=True, keep=True)

    def deselect_behavior_notes(self, notes: Sequence[BehaviorNote]) -> None:
        """Deselect plans that have one of the notes. They keep their indices."""
        self._plans.filter(notes, numeric=False, keep=False)

    def select_behavior_notes(self, notes: Sequence[BehaviorNote]) -> None:
        """Deselect plans that lack one of the notes."""
        self._plans.filter(notes, numeric=False, keep=True)

    def deselect_workspace_greater_than(self, size: int) -> None:
        """Deselect plans that need more workspace."""
        assert self._plans.plans, "a selection before create_execution_plans"
        for plan in self._plans.plans:
            plan.barred = plan.barred or plan.workspace > size

    def deselect_engines(self, names: Sequence[str]) -> None:
        """Deselect plans whose name contains one of the names."""
        assert self._plans.plans, "a selection before create_execution_plans"
        for plan in self._plans.plans:
            plan.barred = plan.barred or any(name in plan.name for name in names)

    def get_execution_plan_count(self) -> int:
        """How many plans there are, deselected ones included."""
        return len(self._plans.plans)

    def check_support(self) -> None:
        """Raise cudnnGraphNotSupportedError if all plans are deselected."""
        self._plans.selectable()

    def build_plan_at_index(self, index: int) -> None:
        """Build a plan; RuntimeError for no such plan, cudnnGraphNotSupportedError for a deselected one."""
        self._plans.build(index)

    def build_plans(self, policy: BuildPlanPolicy = BuildPlanPolicy.HEURISTICS_CHOICE) -> None:
        """Build the first plan that is not deselected, or all of them."""
        if self._plans.candidate is not None and policy is BuildPlanPolicy.HEURISTICS_CHOICE:
            return
        first, *others = self._plans.selectable()
        for index in reversed(others) if policy is BuildPlanPolicy.ALL else ():
            self._plans.build(index)
        self._plans.build(first)

    def build(self, modes: Iterable[HeurMode] = (HeurMode.A, HeurMode.FALLBACK)) -> None:
        """All steps up to a built plan."""
        self.validate()
        self.build_operation_graph()
        self.create_execution_plans(list(modes))
        self.check_support()
        self.build_plans()

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        """Bytes of workspace that a built plan needs."""
        return self._plans.executable(index).workspace

    def get_workspace_size(self) -> int:
        """Bytes of workspace that the plan built last needs."""
        return self._plans.executable(self._plans.chosen()).workspace

    def get_plan_name_at_index(self, index: int) -> str:
        """A plan's engine and knobs. (The real function reads past its list's end where this one raises.)"""
        assert not self._restored, "a deserialized graph has no plan names"
        assert 0 <= index < len(self._plans.plans), f"there is no plan {index}"
        return self._plans.plans[index].name

    def get_behavior_notes_for_plan_at_index(self, index: int) -> list[BehaviorNote]:
        """What a plan needs."""
        return sorted(self._plans.at(index).behavior, key=int)  # type: ignore[arg-type]

    def get_behavior_notes(self) -> list[BehaviorNote]:
        """What the plan built last needs."""
        if self._plans.candidate is None:
            raise RuntimeError("No candiate plan set for the graph.")
        return self.get_behavior_notes_for_plan_at_index(self._plans.candidate)

    def execute_plan_at_index(
        self, tensor_to_device_buffer: dict[Any, Any], workspace: Any, index: int, handle: int | None = None
    ) -> None:
        """Compute.

        Args:
            tensor_to_device_buffer: addresses (plain ints, or arrays) by uid or tensor.
            workspace: address of as much memory as the plan needs.
            index: which plan.
            handle: whose stream it runs on; the graph's own by default.

        Raises:
            RuntimeError: the plan does not exist or is not built.
            ValueError: the pack lacks a tensor.
            AssertionError: memory, stream or pack are such that the real library would compute something wrong.
        """
        plan = self._plans.executable(index)
        execution = Execution(self.nodes, self.tensors, plan, self.handles.runtime)
        found = addresses(tensor_to_device_buffer)
        self.handles.check_stream(self._handle if handle is None else handle)
        execution.submit(found, addresses({0: workspace})[0], ("cudnn", self._number, index))

    def execute(self, tensor_to_device_buffer: dict[Any, Any], workspace: Any, handle: int | None = None) -> None:
        """Compute by the plan built last; see ``execute_plan_at_index``."""
        self.execute_plan_at_index(tensor_to_device_buffer, workspace, self._plans.chosen(), handle)

    def serialize(self) -> list[int]:
        """The graph with the plan built last, as bytes' values."""
        assert self._plans.candidate is not None, "a graph without a built plan is serialized"
        return pack(self.nodes, self.tensors, self._plans.executable(self._plans.candidate))

    def deserialize(self, *arguments: Any) -> None:
        """Restore a graph into this empty one: ``deserialize(data)`` or ``deserialize(handle, data)``.

        The plan that was built last has index 0 then, and is built.

        Raises:
            RuntimeError: the data are not what ``serialize`` made.
        """
        *handle, data = arguments
        assert not self.tensors, "a graph is deserialized into one that is not empty"
        if handle and handle[0] is not None:
            self._handle = handle[0]
        self.handles.check(self._handle)
        self.nodes, self.tensors, plan = unpack(data, CLASSES)
        self._plans = PlanList([plan], 0)
        self._stage, self._restored = PLANNED, True
