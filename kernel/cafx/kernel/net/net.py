"""Net: from a prototxt to a program, and the passes over it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import Blob, numbers, shape_mismatch
from cafx.kernel.errors import CafxError, did_you_mean
from cafx.kernel.net import state, weights
from cafx.kernel.net.alone import Alone
from cafx.kernel.net.arena import Arena
from cafx.kernel.net.communicator import ALONE, Communicator
from cafx.kernel.net.context import Context
from cafx.kernel.net.definition import NetDefinition, NetState, Source, filter_layers, insert_splits, read_net
from cafx.kernel.net.engine import Engine, make_engine
from cafx.kernel.net.formats import LayerWeights
from cafx.kernel.net.gradients import decide_gradients, seed_loss_diffs
from cafx.kernel.net.graph import connect
from cafx.kernel.net.layer import Layer
from cafx.kernel.net.memory import MemoryPlan
from cafx.kernel.net.parameters import collect_parameters, learnable
from cafx.kernel.net.plan import NetPlan, kept_storages, set_up
from cafx.kernel.net.program import Observer, Program, Step
from cafx.kernel.net.random import Streams
from cafx.kernel.net.trust import check_trust
from cafx.kernel.registry import Registry, registry
from cafx.kernel.roles import SHOW_ROLE, advise, debug_observer, html_of
from cafx.kernel.schema import Phase, schema

TRAIN, TEST = Phase.TRAIN, Phase.TEST
log = logging.getLogger("cafx.net")
DTYPES = (np.float32, np.float64)
PROGRAMS = 8
"""Programs kept: of the present shapes and the ones before, such as those of a last, smaller batch."""


class Net:
    """A net built from a prototxt file, a NetParameter message or a NetSpec. One thread at a time may run it.

    Args:
        source: a path, a message, an object with ``to_proto()`` such as a NetSpec, or a NetDefinition.
        phase: TRAIN or TEST; by default what the file's ``state`` says, else TEST.
        weights: one or more weights files to copy from, by layer name.
        engine: name of an engine, or an engine; None for the one set, or the best installed.
        precision, threads, device: as for `Engine`.
        level, stages: replace the level of the net's ``state``, and add to its stages, which rules are matched against.
        dtype: numpy.float32, or float64 for gradient checks.
        seed: seed of the random streams; None for a fresh one.
        keep: "all" blobs keep their values after a pass; with "outputs", or a list of names, the others share memory:
            activations in TEST phase; in TRAIN phase gradients, and activations that the backward pass does not read.
        share: a net whose parameters this one uses, layer by layer name, instead of its own.
        trust: run the code that the definition names, such as Python layers; else they are an error.
        communicator: the processes that train this net together; by default, this one is alone.
        plugins: where plugins are found; by default the environment.

    Attributes:
        blobs: every blob by name, in order of creation.
        params: the parameter blobs of each layer that has any, by layer name.
        layers: the layers, in order; ``layer_names`` their names.
        inputs, outputs: names of the blobs fed from outside, and of those no layer reads.
        bottoms, tops: those of each layer.
        parameters: one record per parameter blob.
        program: what runs; compiled once per shape.

    Raises:
        CafxError: whatever is wrong with the definition, naming file, line and layer; a pass while another runs.

    Example:
        >>> from cafx.kernel import Net, schema
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
        ... layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }'''
        >>> net = Net(schema().parse_text(text, "NetParameter"), engine="numpy")
        >>> net.forward(x=[[-1, 0, 2]])["y"].tolist()
        [[0.0, 0.0, 2.0]]
    """

    def __init__(
        self,
        source: Source,
        phase: Phase | int | None = None,
        *,
        weights: str | Path | Sequence[str | Path] | None = None,
        engine: str | Engine | None = None,
        precision: str | None = None,
        threads: int | None = None,
        device: int = 0,
        level: int | None = None,
        stages: Sequence[str] = (),
        dtype: npt.DTypeLike = np.float32,
        seed: int | None = None,
        keep: str | Sequence[str] = "all",
        share: Net | None = None,
        trust: bool = False,
        communicator: Communicator = ALONE,
        plugins: Registry | None = None,
    ) -> None:
        self.plugins = plugins or registry()
        if np.dtype(dtype) not in DTYPES:
            raise CafxError("a net has no such dtype", found=np.dtype(dtype), expected="float32 or float64")
        definition = source if isinstance(source, NetDefinition) else read_net(source, self.plugins)
        stated = definition.proto.state
        self.phase = Phase(stated.phase if phase is None else phase)
        matched = NetState(self.phase, stated.level if level is None else level, (*stated.stage, *stages))
        definition = insert_splits(filter_layers(definition, matched), self.plugins)
        graph = connect(definition, self.plugins)
        advise(self.plugins, log, "of_definition", definition, self.plugins)
        check_trust(graph, trust=trust)
        self.definition = definition
        self.name = definition.name
        self.engine = make_engine(engine, self.plugins, precision=precision, threads=threads, device=device)
        streams = Streams(seed, communicator.rank)
        self.context = Context(
            self.phase,
            dtype,
            self.engine.place,
            self.engine.xp,
            streams,
            plugins=self.plugins,
            draws=self.engine.draws(streams),
            buffer_values=self.engine.buffer_values,
            staging=self.engine.staging,
            communicator=communicator,
        )
        planned = set_up(graph, self.context)
        self.layers: list[Layer] = [each.layer for each in planned]
        self.layer_names = [layer.name for layer in self.layers]
        self.parameters = collect_parameters(definition.layers, self.layers, schema(self.plugins)["ParamSpec"])
        self.params = {layer.name: layer.blobs for layer in self.layers if layer.blobs}
        self._layers = decide_gradients(planned, definition.proto.force_backward)
        self.blobs: dict[str, Blob] = {blob.name: blob for each in self._layers for blob in each.tops}
        self.bottoms = [list(each.bottoms) for each in self._layers]
        self.tops = [list(each.tops) for each in self._layers]
        self.inputs = [graph.blob_names[i] for i in graph.inputs]
        self.outputs = [graph.blob_names[i] for i in graph.outputs]
        self.keep = keep
        self._alone = Alone(self.name)
        self._loss: Any = self.context.xp.zeros((), np.float64)
        self._programs: OrderedDict[Any, Program] = OrderedDict()
        self.program: Program
        self.observer: Observer | None = None
        self.set_debug_info(definition.proto.debug_info)
        seed_loss_diffs(self._layers)
        if share is not None:
            self._share(share)
        self._compile()
        advise(self.plugins, log, "of_net", self)
        for path in [weights] if isinstance(weights, (str, Path)) else weights or ():
            self.copy_from(path)

    def _plan(self) -> NetPlan:
        """The net at its present shapes."""
        everything = self.keep == "all" or any(layer.dynamic_shape for layer in self.layers)
        kept = None
        if not everything:
            names = self.outputs if self.keep == "outputs" else self.keep
            blobs = [self._blob(name, list(self.blobs), "blob") for name in (*names, *self.inputs, *self.outputs)]
            kept = kept_storages(self._layers, self.parameters, blobs)
        has_backward = everything or self.phase is TRAIN
        arena = self.program.arena_if_made if self._programs else None
        return NetPlan(self._layers, self.parameters, kept, has_backward, arena, self._loss)

    def _compile(self, done: int = 0) -> None:
        """Take the program of the present shapes into use, compiled if it is not at hand."""
        plan, shapes = self._plan(), tuple(blob.shape for each in self._layers for blob in each.tops)
        left = self.program.release(done) if self._programs else ()
        known = self._programs.pop(shapes, None)
        stale = known is None or known.arena_if_made is not plan.arena
        self.program = self.engine.compile(plan) if known is None or stale else known
        self.program.attach()
        self.program.resume(left)
        self._programs[shapes] = self.program
        if len(self._programs) > PROGRAMS:
            self._programs.popitem(last=False)
        self._input_shapes = self._shapes_of_inputs()

    def _shapes_of_inputs(self) -> list[tuple[int, ...]]:
        return [blob.shape for each in self._layers if not each.bottoms for blob in each.tops]

    def forward(
        self, *, start: str | None = None, end: str | None = None, **inputs: npt.ArrayLike
    ) -> dict[str, npt.NDArray[Any]]:
        """Run the forward pass and return the outputs.

        Args:
            start, end: names of the first and the last layer to run; None for all.
            inputs: values for input blobs; another shape reshapes the net.

        Returns:
            Copies of the outputs by name; of the tops of ``end``, if that is given.
        """
        with self._alone:
            for name, values in inputs.items():
                self._feed(name, values)
            self.run_forward(start, end)
            self.context.checks.verify()
            names = [top.name for top in self.tops[self._layer(end)]] if end else self.outputs
            return {name: self.blobs[name].host() for name in names}

    def backward(
        self, *, start: str | None = None, end: str | None = None, **diffs: npt.ArrayLike
    ) -> dict[str, npt.NDArray[Any]]:
        """Run the backward pass and return the inputs' gradients.

        Args:
            start, end: names of the first and the last layer to run, ``start`` being the later one.
            diffs: gradients of the objective with respect to output blobs.

        Returns:
            Copies of the gradient of each input; of the bottoms of ``end``, if that is given.
        """
        with self._alone:
            for name, values in diffs.items():
                blob = self._blob(name, self.outputs, "output blob")
                array = numbers(values, name)
                if array.size != blob.count_:
                    raise shape_mismatch(name, array.shape, blob.shape)
                blob.mutable_diff[...] = self.context.xp.asarray(array.reshape(blob.shape), blob.dtype)
            self.run_backward(start, end)
            names = [bottom.name for bottom in self.bottoms[self._layer(end)]] if end else self.inputs
            return {name: self.blobs[name].host_diff() for name in names}

    def run_forward(self, start: str | None = None, end: str | None = None) -> None:
        """`forward` on the values in the input blobs, without copies in or out."""
        with self._alone:
            if self._input_shapes != self._shapes_of_inputs():
                self.reshape()
            first, last = self._range(start, end)
            done = self.program.forward(first, last, self.observer)
            while done < last:  # a dynamic layer's tops have changed
                self._reshape(done + 1)
                done = self.program.forward(done + 1, last, self.observer, resume=True)

    def run_backward(self, start: str | None = None, end: str | None = None) -> None:
        """`backward` without copies in or out."""
        with self._alone:
            first, last = self._range(end, start)
            self.program.backward(last, first, self.observer)

    def run_backward_by_step(self, done: Callable[[Step], object]) -> None:
        """`run_backward`, with a call after each step whose gradients are complete."""
        with self._alone:
            self.program.backward_by_step(done)

    def _range(self, first: str | None, last: str | None) -> tuple[int, int]:
        return self._layer(first) if first else 0, self._layer(last) if last else len(self.layers) - 1

    def reshape(self) -> None:
        """Carry changed input shapes through the net."""
        with self._alone:
            self._reshape(0)

    def _reshape(self, first: int) -> None:
        for planned in self._layers[first:]:
            planned.reshape()
        seed_loss_diffs(self._layers, scalars=False)
        self._compile(first)

    @property
    def loss(self) -> float:
        """The objective of the last forward pass; waits for a device, where a failed check raises CafxError."""
        self.engine.synchronize()
        self.context.checks.verify()
        return float(self._loss)

    @loss.setter
    def loss(self, value: float) -> None:
        self._loss[...] = value

    @property
    def loss_value(self) -> Any:
        """The same as one float64 in the engine's place, which the next forward pass overwrites."""
        return self._loss

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each blob in the objective, by name."""
        losses = {top.name: weight for each in self._layers for top, weight in each.losses}
        return dict.fromkeys(self.blobs, 0.0) | losses

    @property
    def memory(self) -> MemoryPlan:
        """Where blobs are kept and which share memory."""
        return self.program.memory

    @property
    def arena(self) -> Arena:
        """All learned parameters in one flat array, and their diffs in another."""
        return self.program.arena

    def clear_param_diffs(self) -> None:
        """Set the diff of every learned parameter to zero."""
        for parameter in learnable(self.parameters):
            parameter.blob.synced_diff.zero()

    def copy_from(self, source: str | Path | Net) -> weights.Copied:
        """Copy parameter values from a weights file or another net, by layer name.

        Args:
            source: a caffemodel, an HDF5 file, or a net.

        Raises:
            CafxError: a layer of that name has parameters of another number or shape; nothing is copied.
        """
        return weights.copy_from(source, self)

    def share_with(self, other: Net) -> None:
        """Use the parameters of another net's layers of the same names, now and as they change."""
        self._share(other)
        self.program.release()
        self._programs.clear()
        self._compile()

    def _share(self, other: Net) -> None:
        weights.share(other.layers, self.layers, other.name)

    def save(self, path: str | Path, *, diff: bool = False) -> None:
        """Write the parameters as a caffemodel, or in the format of the path's suffix (``.h5``).

        Args:
            path: the file to write.
            diff: write the gradients too.
        """
        weights.save(self, Path(path), diff)

    def weights(self, diff: bool = False) -> list[LayerWeights]:
        """Copies of every layer's parameters and, with ``diff``, their gradients."""
        return [weights.weights_of(layer, diff) for layer in self.layers]

    def summary(self) -> str:
        """A table of the layers: type, bottoms, shapes of the tops, parameters and multiply-adds."""
        return str(self.plugins.load("role", SHOW_ROLE).summary(self))

    def __repr__(self) -> str:
        size = sum(each.blob.count_ for each in learnable(self.parameters))
        return f"<Net '{self.name}' ({self.phase.name}): {len(self.layers)} layers, {size:,} parameters>"

    def _repr_html_(self) -> str | None:
        return html_of(self, self.plugins)

    def to_proto(self) -> Any:
        """The net as built (phase chosen, splits inserted) as a NetParameter, without values."""
        proto = schema(self.plugins)["NetParameter"](name=self.name)
        for layer in self.definition.layers:
            proto.layer.add().CopyFrom(layer.proto)
        return proto

    def state(self) -> dict[str, Any]:
        """Random streams and layers' own states, for an exact resume."""
        self.engine.synchronize()
        return state.of_net(self.layers, self.context.streams)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        state.restore(saved, self.layers, self.context.streams)

    def set_debug_info(self, on: bool) -> None:
        """Whether passes log the mean magnitude of every blob."""
        self.observer = debug_observer(self, self.plugins) if on else None

    def close(self) -> None:
        """Release layers' threads, files and databases, after a pass that another thread is in."""
        with self._alone.lock:
            for layer in self.layers:
                layer.close()

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _layer(self, name: str) -> int:
        return self._known(name, self.layer_names, "layer")

    def _blob(self, name: str, among: Sequence[str], kind: str) -> Blob:
        self._known(name, among, kind)
        return self.blobs[name]

    def _known(self, name: str, among: Sequence[str], kind: str) -> int:
        """The index of ``name`` in ``among``; CafxError if it is not there."""
        if not isinstance(name, str) or name not in among:
            known = "one of " + (", ".join(among) or "none")
            what = f"net '{self.name}' has no {kind} '{name}'"
            raise CafxError(what, expected=known, remedy=did_you_mean(str(name), among))
        return among.index(name)

    def _feed(self, name: str, values: npt.ArrayLike) -> None:
        blob = self._blob(name, self.inputs, "input blob")
        array = numbers(values, name)
        if array.shape != blob.shape:
            blob.reshape(*array.shape)
        blob.set_data(array)
