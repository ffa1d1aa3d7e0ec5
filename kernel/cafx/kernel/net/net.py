"""Net: from a prototxt to a schedule, and the passes over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import Blob
from cafx.kernel.errors import CafxError, did_you_mean
from cafx.kernel.net import schedule
from cafx.kernel.net import weights as transfer
from cafx.kernel.net.definition import NetState, Source, filter_layers, insert_splits, read_net
from cafx.kernel.net.engine import Engine, make_engine
from cafx.kernel.net.formats import DEFAULT_FORMAT, LayerWeights, format_named, read_weights
from cafx.kernel.net.gradients import collect_parameters, decide_gradients, loss_weights, seed_loss_diffs
from cafx.kernel.net.graph import connect
from cafx.kernel.net.layer import Context, Layer
from cafx.kernel.net.memory import Arena, Plan
from cafx.kernel.net.random import Streams
from cafx.kernel.net.step import Step
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema import Phase, schema

TRAIN, TEST = Phase.TRAIN, Phase.TEST
DEBUG_ROLE = "debug_info"


class Observer(Protocol):
    """Who looks on while a net runs, step by step: set as ``net.observer``."""

    def forward(self, step: Step) -> None:
        """A step's forward is done."""

    def backward(self, step: Step) -> None:
        """A step's backward is done."""

    def update(self) -> None:
        """The parameters are about to be updated."""


class Net:
    """A net built from a prototxt file or a NetParameter message.

    Args:
        source: path, or NetParameter message.
        phase: TRAIN or TEST; default what the file's ``state`` says, else TEST.
        weights: a weights file, or several, to copy from by layer name.
        engine: name of an engine, or an engine; None for the one set, or the best installed.
        precision, threads, device: as for `Engine`.
        level, stages: the rest of the state that include and exclude rules are held against.
        dtype: numpy.float32, or float64 for gradient checks.
        seed: of the random streams; None for a fresh one.
        keep: "all" blobs hold their values after a pass; "outputs" lets the others share memory
            (activations in TEST phase; in TRAIN phase gradients, and activations that no layer
            reads on the way back); or a list of names to keep.
        plugins: where plugins are found; default the environment.

    Attributes:
        blobs: every blob by name, in the order they are made.
        params: the parameter blobs of each layer that has any, by layer name.
        layers: the layers, in order; ``layer_names`` their names.
        inputs, outputs: names of the blobs fed from outside, and of those nobody reads.
        loss: the objective of the last forward.

    Raises:
        CafxError: whatever is wrong with the definition, naming file, line and layer.
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
        level: int = 0,
        stages: Sequence[str] = (),
        dtype: npt.DTypeLike = np.float32,
        seed: int | None = None,
        keep: str | Sequence[str] = "all",
        plugins: Registry | None = None,
    ) -> None:
        self.plugins = plugins or registry()
        definition = read_net(source, self.plugins)
        stated = definition.proto.state
        self.phase = Phase(stated.phase if phase is None else phase)
        state = NetState(self.phase, level or stated.level, (*stated.stage, *stages))
        definition = insert_splits(filter_layers(definition, state), self.plugins)
        graph = connect(definition, self.plugins)
        self.definition = definition
        self.name = definition.name
        self.engine = make_engine(engine, self.plugins, precision=precision, threads=threads, device=device)
        self.context = Context(
            self.phase, dtype, self.engine.place, self.engine.xp, Streams(seed), plugins=self.plugins
        )
        self._built = schedule.build(graph, self.context)
        self.layers: list[Layer] = self._built.layers
        self.layer_names = [layer.name for layer in self.layers]
        self.blobs: dict[str, Blob] = dict(zip(graph.blob_names, self._built.blobs, strict=True))
        self.inputs = [graph.blob_names[i] for i in graph.inputs]
        self.outputs = [graph.blob_names[i] for i in graph.outputs]
        weighed = [loss_weights(node) for node in graph.nodes]
        self.top_loss_weights = weighed
        self.parameters = collect_parameters(graph, self.layers, schema(self.plugins)["ParamSpec"])
        self.params = {layer.name: layer.blobs for layer in self.layers if layer.blobs}
        self.needs = decide_gradients(graph, self.layers, weighed, definition.proto.force_backward)
        self._losses = seed_loss_diffs(graph, self._built.blobs, weighed)
        self.keep = keep
        self.memory = Plan([], 0, 0)
        self.loss = 0.0
        self._arena: Arena | None = None
        self._dynamic = any(layer.dynamic_shape for layer in self.layers)
        self.observer: Observer | None = None
        self.set_debug_info(definition.proto.debug_info)
        self._prepare()
        for path in [weights] if isinstance(weights, (str, Path)) else weights or ():
            self.copy_from(path)

    def _prepare(self) -> None:
        """Plan memory and make the schedule for the present shapes."""
        self._shapes = self._input_shapes()
        self._share_memory()
        self.plain_steps, self.steps = schedule.make_steps(self._built, self.needs, self.engine)
        losses: dict[int, list[tuple[Blob, float]]] = {}
        for index, top, weight in self._losses:
            losses.setdefault(index, []).append((top, weight))
        for step in {*self.plain_steps, *self.steps}:
            tops = [each for i in range(step.first, step.last + 1) for each in losses.get(i, ())]
            if tops or step.layer.dynamic_shape:
                step.forward = self._watched(step, step.forward, tops)
        self._forward = [step.forward for step in self.steps]
        self._backward = [step.backward for step in reversed(self.steps) if step.needs_backward]

    def _share_memory(self) -> None:
        """Let blobs nobody asked to keep share memory, where no shape can change on the way."""
        names = self.outputs if self.keep in ("all", "outputs") else self.keep
        kept = [self._blob(name, list(self.blobs), "blob") for name in (*names, *self.inputs, *self.outputs)]
        if self.keep == "all" or self._dynamic:
            self.engine.retain(None, backward=True)
            return
        kept += [top for _, top, _ in self._losses]
        kept += [top for i, tops in enumerate(self._built.tops) if not self._built.bottoms[i] for top in tops]
        self.engine.retain(kept, backward=self.phase is TRAIN)
        if self.phase is TEST:
            self.memory = schedule.share_activations(self._built, kept)
        else:
            self.memory = schedule.share_gradients(self._built, self.needs, kept)

    def _watched(self, step: Step, run: Callable[[], None], tops: list[tuple[Blob, float]]) -> Callable[[], None]:
        """``run``, then add up its losses, and reshape what follows where its shapes changed."""
        dynamic = step.layer.dynamic_shape

        def watched() -> None:
            before = [top.shape for top in step.top] if dynamic else None
            run()
            for top, weight in tops:
                self.loss += weight * float(top.data.sum())
            if before is not None and before != [top.shape for top in step.top]:
                schedule.reshape(self._built, step.last + 1)
                self._reseed_losses()
                self._prepare()  # routines are made for one shape

        return watched

    def _reseed_losses(self) -> None:
        for _, top, weight in self._losses:
            if top.count_ != 1:
                top.mutable_diff[...] = weight

    def _input_shapes(self) -> list[tuple[int, ...]]:
        return [blob.shape for i, tops in enumerate(self._built.tops) if not self._built.bottoms[i] for blob in tops]

    def forward(
        self, *, start: str | None = None, end: str | None = None, **inputs: npt.ArrayLike
    ) -> dict[str, npt.NDArray[Any]]:
        """Run forward, from layer ``start`` to layer ``end`` if named; return the outputs.

        Args:
            inputs: values for input blobs; one of another shape reshapes the net.

        Returns:
            The outputs by name (the tops of ``end``, if named), as copies.
        """
        for name, values in inputs.items():
            self._feed(name, values)
        self.run_forward(start, end)
        names = [top.name for top in self._built.tops[self._layer(end)]] if end else self.outputs
        return {name: self.blobs[name].host() for name in names}

    def backward(
        self, *, start: str | None = None, end: str | None = None, **diffs: npt.ArrayLike
    ) -> dict[str, npt.NDArray[Any]]:
        """Run backward, from layer ``start`` down to layer ``end``; return the inputs' gradients.

        Args:
            diffs: gradients of the objective with respect to output blobs.

        Returns:
            The gradient of each input (of the bottoms of ``end``, if named), as copies.
        """
        for name, values in diffs.items():
            blob = self._blob(name, self.outputs, "output blob")
            array = np.asarray(values, blob.dtype)
            blob.mutable_diff[...] = self.context.xp.asarray(array.reshape(blob.shape))
        self.run_backward(start, end)
        names = [b.name for b in self._built.bottoms[self._layer(end)]] if end else self.inputs
        return {name: self.blobs[name].host_diff() for name in names}

    def run_forward(self, start: str | None = None, end: str | None = None) -> None:
        """`forward` without copies in or out: what was set in the inputs, what lies in the blobs."""
        if self._shapes != self._input_shapes():
            self.reshape()
        self.loss = 0.0
        if start is None and end is None and self.observer is None and not self._dynamic:
            for run in self._forward:
                run()
            return
        for step in self._live(start, end):
            step.forward()
            if self.observer:
                self.observer.forward(step)

    def run_backward(self, start: str | None = None, end: str | None = None) -> None:
        """`backward` without copies in or out."""
        if start is None and end is None and self.observer is None:
            for run in self._backward:
                run()
            return
        for step in reversed(self._between(end, start)):
            if step.needs_backward:
                step.backward()
                if self.observer:
                    self.observer.backward(step)

    def reshape(self) -> None:
        """Carry changed input shapes through the net, and plan and schedule anew."""
        schedule.reshape(self._built)
        self._reseed_losses()
        self._prepare()

    def copy_from(self, source: str | Path | Net) -> transfer.Copied:
        """Take parameter values from a weights file or another net, by layer name.

        Raises:
            CafxError: a layer of that name whose parameters have another number or shape; then
                nothing is copied.
        """
        if isinstance(source, Net):
            return transfer.copy(source.weights(), self.layers, source.name)
        return transfer.copy(read_weights(source, self.plugins), self.layers, str(source))

    def share_with(self, other: Net) -> None:
        """Use the very parameters of another net's layers of the same names."""
        transfer.share(other.layers, self.layers, other.name)
        self._prepare()

    def save(self, path: str | Path, *, diff: bool = False) -> None:
        """Write the parameters as a caffemodel, or in the format of ``path``'s ending (``.h5``)."""
        suffix = Path(path).suffix
        name = {p.name for p, f in self.plugins.usable("format") if suffix and f.suffix == suffix}
        writer = format_named(min(name) if name else DEFAULT_FORMAT, self.plugins)
        writer.write_weights(Path(path), self.to_proto(), self.weights(diff))

    def to_proto(self) -> Any:
        """The net as built (phase chosen, splits in place) as a NetParameter, without values."""
        proto = schema(self.plugins)["NetParameter"](name=self.name)
        for node in self._built.graph.nodes:
            proto.layer.add().CopyFrom(node.proto)
        return proto

    def weights(self, diff: bool = False) -> list[LayerWeights]:
        """Copies of every layer's parameters, for a file."""
        return [transfer.weights_of(layer, diff) for layer in self.layers]

    def clear_param_diffs(self) -> None:
        """Set the diff of every learned parameter to zero."""
        for blob in self.parameters.learnable_blobs:
            blob.synced_diff.clear()

    @property
    def arena(self) -> Arena:
        """All learned parameters in one flat array, and their diffs in another."""
        if self._arena is None:
            table = self.parameters
            blobs = table.learnable_blobs
            layouts = [self.engine.layout(blob) for blob in blobs]
            self._arena = Arena(blobs, table.lr_mult, table.decay_mult, layouts)
            self._prepare()
        return self._arena

    def set_debug_info(self, on: bool) -> None:
        """Whether passes log the mean magnitude of every blob."""
        self.observer = self.plugins.load("role", DEBUG_ROLE)(self) if on else None

    def state(self) -> dict[str, Any]:
        """Random streams and layers' own states, for an exact resume."""
        states = {layer.name: layer.state() for layer in self.layers}
        return {"streams": self.context.streams.state(), "layers": {k: v for k, v in states.items() if v}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` returned."""
        self.context.streams.restore(state["streams"])
        for layer in self.layers:
            if layer.name in state["layers"]:
                layer.restore(state["layers"][layer.name])

    def close(self) -> None:
        """Release layers' threads, files and databases."""
        for layer in self.layers:
            layer.close()
        self.engine.close()

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def loss_weights(self) -> dict[str, float]:
        """What each blob counts in the objective, by name."""
        weighted = zip(self._built.tops, self.top_loss_weights, strict=True)
        return {top.name: weight for tops, weights in weighted for top, weight in zip(tops, weights, strict=True)}

    @property
    def bottoms(self) -> list[list[Blob]]:
        """The bottoms of each layer."""
        return self._built.bottoms

    @property
    def tops(self) -> list[list[Blob]]:
        """The tops of each layer."""
        return self._built.tops

    def first_not_finite(self) -> tuple[str, Blob] | None:
        """The first layer, in the order of forward, with a NaN or infinity, and the blob it is in."""
        for layer, tops in zip(self.layers, self.tops, strict=True):
            for blob in (*layer.blobs, *tops):
                if not np.isfinite(blob.host()).all():
                    return layer.name, blob
        return None

    def _live(self, start: str | None, end: str | None) -> Iterator[Step]:
        """`_between`, looked up again where a dynamic layer had the schedule made anew on the way."""
        scheduled, waiting = self.steps, self._between(start, end)
        while waiting:
            step = waiting.pop(0)
            yield step
            if self.steps is not scheduled:
                scheduled = self.steps
                waiting = [later for later in self._between(start, end) if later.first > step.last]

    def _between(self, start: str | None, end: str | None) -> list[Step]:
        """The steps from layer ``start`` to ``end``; a fusion cut by either runs as its parts."""
        low = self._layer(start) if start else 0
        high = self._layer(end) if end else len(self.layers) - 1
        whole = [step for step in self.steps if low <= step.first and step.last <= high]
        covered = {i for step in whole for i in range(step.first, step.last + 1)}
        cut = [s for s in self.plain_steps if low <= s.index <= high and s.index not in covered]
        return sorted(whole + cut, key=lambda step: step.first)

    def _layer(self, name: str) -> int:
        return self._known(name, self.layer_names, "layer")

    def _blob(self, name: str, among: Sequence[str], kind: str) -> Blob:
        self._known(name, among, kind)
        return self.blobs[name]

    def _known(self, name: str, among: Sequence[str], kind: str) -> int:
        """The place of ``name`` in ``among``; CafxError where it is not there."""
        if name not in among:
            known = "one of " + (", ".join(among) or "none")
            what = f"net '{self.name}' has no {kind} '{name}'"
            raise CafxError(what, expected=known, remedy=did_you_mean(name, among))
        return among.index(name)

    def _feed(self, name: str, values: npt.ArrayLike) -> None:
        blob = self._blob(name, self.inputs, "input blob")
        array = np.asarray(values)
        if array.shape != blob.shape:
            blob.reshape(*array.shape)
        blob.set_data(array)
