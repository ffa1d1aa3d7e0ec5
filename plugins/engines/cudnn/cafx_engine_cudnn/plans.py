"""Plans: for each problem the fastest of cuDNN's ways to compute it, found once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import attrs

from cafx.kernel import Unsupported
from cafx_engine_cudnn.problems import Problem, graph_of
from cafx_engine_cupy.session import Session
from cafx_lib_cache import Cache, default_folder

log = logging.getLogger("cafx.cuda")

TRIES = 8
"""Plans that are timed, in the order in which cuDNN's heuristics propose them."""
SECONDS = 4.0
"""Time for one problem after which no further plan is tried."""
REPEATS = 3
LARGEST_WORKSPACE = 512 << 20
FORMAT = "cafx cudnn plan 1"


class Plan:
    """A way to compute one problem.

    Args:
        handle: cuDNN's handle on this stream.
        graph: the built graph.
        index: which of its plans; None for the only plan of a graph from the disk.
        workspace: bytes it needs.
        milliseconds: how long it took when it was timed.
        name: cuDNN's name for it.
    """

    def __init__(
        self, handle: int, graph: Any, index: int | None, *, workspace: int, milliseconds: float, name: str
    ) -> None:
        self._handle, self._graph, self._index = handle, graph, index
        self.workspace, self.milliseconds, self.name = workspace, milliseconds, name

    def __call__(self, addresses: Mapping[int, int], workspace: int) -> None:
        """Run it.

        Args:
            addresses: the tensors' addresses by uid.
            workspace: the workspace's address.
        """
        if self._index is None:
            self._graph.execute(dict(addresses), workspace, handle=self._handle)
        else:
            self._graph.execute_plan_at_index(dict(addresses), workspace, self._index, handle=self._handle)


@attrs.frozen
class Rules:
    """Which plans may be used.

    Attributes:
        strict: none that rounds operands or transforms them: no tensor cores, FFT or Winograd.
        deterministic: none whose results differ from run to run.
    """

    strict: bool
    deterministic: bool

    def refused(self) -> list[Any]:
        """cuDNN's notes of the plans that may not be used."""
        import cudnn

        note = cudnn.numerical_note
        inexact = [
            *(note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS, note.REDUCED_PRECISION_REDUCTION, note.FFT, note.WINOGRAD),
            *(note.WINOGRAD_TILE_4x4, note.WINOGRAD_TILE_6x6, note.WINOGRAD_TILE_13x13),
        ]
        return [*(inexact if self.strict else []), *([note.NONDETERMINISTIC] if self.deterministic else [])]


class Plans:
    """cuDNN on one stream.

    Args:
        session: the GPU and the stream.
        rules: which plans may be used.
    """

    def __init__(self, session: Session, rules: Rules) -> None:
        import cudnn

        self._session, self._rules = session, rules
        session.use()
        self._handle: int = cudnn.create_handle()
        cudnn.set_stream(handle=self._handle, stream=session.stream.ptr)
        self._cache = Cache(default_folder("cudnn"))
        # what is fastest may differ from run to run, unless it is kept
        self._tries = 1 if rules.deterministic and self._cache.folder is None else TRIES
        self._card = f"{cudnn.backend_version()} {session.device.compute_capability} {session.multiprocessors}"
        self._chosen: dict[Problem, Plan | Unsupported] = {}

    def choose(self, problem: Problem) -> Plan:
        """The fastest plan; found out by trying when a problem is new, on this machine as well.

        Raises:
            Unsupported: cuDNN has none.
        """
        if problem not in self._chosen:
            try:
                self._chosen[problem] = self._load(problem) or self._find(problem)
            except Unsupported as reason:
                self._chosen[problem] = reason
        found = self._chosen[problem]
        if isinstance(found, Unsupported):
            raise found
        return found

    def _key(self, problem: Problem) -> str:
        text = f"{FORMAT} {self._card} {self._rules} {problem}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _load(self, problem: Problem) -> Plan | None:
        """The plan from the disk; None where there is none that can be used."""
        import cudnn

        entry = self._cache.get(self._key(problem))
        if entry is None:
            return None
        try:
            header, _, code = entry.partition(b"\n")
            facts = json.loads(header)
            graph = cudnn.pygraph(handle=self._handle)
            graph.deserialize(self._handle, list(code))
            return Plan(self._handle, graph, None, **facts)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is made anew
            log.debug("a plan on disk cannot be used: %s", error)
            return None

    def _find(self, problem: Problem) -> Plan:
        """Try plans, and keep the fastest on disk."""
        graph = self._planned(problem)
        best = min(self._timed(problem, graph), key=lambda plan: plan.milliseconds, default=None)
        if best is None:
            raise Unsupported(f"cuDNN has no plan for this {problem.kind} product")
        self._store(problem, best)
        return best

    def _planned(self, problem: Problem) -> Any:
        import cudnn

        graph = graph_of(problem, self._handle)
        try:
            graph.validate()
            graph.build_operation_graph()
            graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
            refused = self._rules.refused()
            if refused:
                graph.deselect_numeric_notes(refused)
        except Exception as error:
            raise Unsupported(f"cuDNN: {error}") from error
        return graph

    def _timed(self, problem: Problem, graph: Any) -> Iterator[Plan]:
        """The plans that work, timed, as long as there is time."""
        cupy = self._session.cupy
        started, tried = time.perf_counter(), 0
        arrays = {uid: cupy.zeros(tensor.nbytes, "uint8") for uid, tensor in problem.tensors.items()}
        addresses = {uid: array.data.ptr for uid, array in arrays.items()}
        for index in range(graph.get_execution_plan_count()):
            if tried == self._tries or (tried and time.perf_counter() - started > SECONDS):
                return
            try:
                graph.build_plan_at_index(index)
                workspace = graph.get_workspace_size_plan_at_index(index)
                if workspace > LARGEST_WORKSPACE:
                    continue
                scratch = cupy.empty(max(1, workspace), "uint8")
                run = partial(graph.execute_plan_at_index, addresses, scratch.data.ptr, index, handle=self._handle)
                milliseconds = self._time(run)
            except Exception as error:  # noqa: BLE001 - cuDNN proposes plans that it then refuses
                log.debug("plan %d of %s: %s", index, problem, error)
                continue
            tried += 1
            name = str(graph.get_plan_name_at_index(index))
            yield Plan(self._handle, graph, index, workspace=workspace, milliseconds=milliseconds, name=name)

    def _time(self, run: Any) -> float:
        """Milliseconds of a call on the GPU."""
        cupy, stream = self._session.cupy, self._session.stream
        run()
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        for _ in range(REPEATS):
            run()
        end.record(stream)
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / REPEATS

    def _store(self, problem: Problem, plan: Plan) -> None:
        """Keep a plan on disk: a graph in which it alone is built."""
        facts = {"workspace": plan.workspace, "milliseconds": plan.milliseconds, "name": plan.name}
        try:
            graph = self._planned(problem)
            graph.build_plan_at_index(plan._index)
            code = bytes(graph.serialize())
        except Exception as error:  # noqa: BLE001 - some plans cannot be written down
            log.debug("the plan %s cannot be kept: %s", plan.name, error)
            return
        self._cache.put(self._key(problem), json.dumps(facts).encode() + b"\n" + code)
