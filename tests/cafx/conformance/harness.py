"""Run a single layer, in a net of inputs and the layer, on drawn or given values."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.conformance.cases import Bottom, Case, values
from cafx.conformance.device import DeviceArray
from cafx.conformance.strict import strict
from cafx.kernel import Engine, Net, Phase, Registry, registry, schema
from cafx.kernel.blob import HOST, SyncedArray
from cafx.kernel.schema import Message, complete, declared_by

SUBJECT = "subject"
INPUT_TYPE = "Input"
SEED = 1701
Array = npt.NDArray[Any]


def fill_layer(proto: Any, type_name: str, case: Case, plugins: Registry) -> Any:
    """Write the layer of a case into a LayerParameter."""
    proto.name, proto.type = SUBJECT, type_name
    declarations = [complete(each, plugins) for each in declared_by(plugins.load("layer", type_name))]
    given: dict[type[Message], dict[str, Any]] = {}
    for name, value in case.options.items():
        owner = next((each for each in declarations if name in each.__options__), None)
        owner = owner or declarations[0]  # raises the error for an unknown option
        given.setdefault(owner, {})[name] = value
    fields = dict(case.layer)
    for declared, options in given.items():
        assert declared.__extends__ is not None
        declared(**options).fill(getattr(proto, declared.__extends__.field))
    layer = schema(plugins).declarations["LayerParameter"]
    messages = schema(plugins).fields_of("LayerParameter")
    for name in [name for name in fields if name in messages]:
        messages[name](**fields.pop(name)).fill(getattr(proto, name))
    layer(**fields).fill(proto)
    return proto


def net_of(type_name: str, case: Case, plugins: Registry, in_place: bool = False) -> Any:
    """The NetParameter of a case: one input per bottom, then the layer."""
    net = schema(plugins)["NetParameter"](name=f"{type_name}.{case.name}", force_backward=True)
    for index, bottom in enumerate(case.bottoms):
        layer = net.layer.add(name=f"bottom{index}", type=INPUT_TYPE, top=[f"bottom{index}"])
        layer.input_param.shape.add().dim.extend(bottom.shape)
    layer = net.layer.add()
    layer.bottom.extend(f"bottom{index}" for index in range(len(case.bottoms)))
    shared = len(case.bottoms) if in_place else 0
    layer.top.extend(f"bottom{i}" if i < shared else f"top{i}" for i in range(case.tops))
    fill_layer(layer, type_name, case, plugins)
    return net


class Trial:
    """One case of one layer: the built net and the values to feed.

    Args:
        type_name: the layer's type.
        case: the case to build.
        dtype: the net's floating-point type.
        engine: the engine that runs it.
        in_place: whether tops are the bottoms.
        plugins: the registry that provides the layer (default: all installed plugins).

    Attributes:
        net: the net.
        layer: the layer.
        bottom, top: the layer's blobs.
        fed: the values of the bottoms.
        params: the initial values of the parameters.
    """

    def __init__(
        self,
        type_name: str,
        case: Case,
        *,
        dtype: npt.DTypeLike = np.float32,
        engine: str | Engine = "numpy",
        in_place: bool = False,
        plugins: Registry | None = None,
    ) -> None:
        self.case = case
        self.plugins = plugins or registry()
        self.net = Net(
            net_of(type_name, case, self.plugins, in_place),
            case.phase,
            engine=engine,
            dtype=dtype,
            seed=SEED,
            trust=True,
            plugins=self.plugins,
        )
        self.layer = self.net.layers[-1]
        self.bottom, self.top = self.net.bottoms[-1], self.net.tops[-1]
        self.rng = np.random.default_rng(zlib.crc32(f"{type_name}.{case.name}".encode()))
        for index, draw in case.params.items():
            self.layer.blobs[index].set_data(draw(self.rng, self.layer.blobs[index].shape))
        self.fed = [bottom.draw(self.rng, bottom.shape) for bottom in case.bottoms]
        self.start = copy.deepcopy(self.net.state())
        self.params = [blob.host() for blob in self.layer.blobs]

    def rewind(self) -> None:
        """Restore the initial state: random streams, the layer's state and its parameters."""
        self.net.restore(copy.deepcopy(self.start))
        for blob, array in zip(self.layer.blobs, self.params, strict=True):
            blob.set_data(array)

    def forward(self) -> list[Array]:
        """Feed the bottoms and run a forward pass; returns the tops."""
        for blob, array in zip(self.bottom, self.fed, strict=True):
            if blob.shape != array.shape:
                blob.reshape(*array.shape)
            blob.set_data(array)
        self.net.run_forward()
        return [top.host() for top in self.top]

    def seeds(self) -> list[Array]:
        """One gradient per top, the same in each call; zero for tops whose gradient the layer ignores."""
        rng = np.random.default_rng(SEED)
        drawn = [rng.standard_normal(top.shape).astype(top.dtype) for top in self.top]
        return [0 * each if i in self.layer.constant_tops else each for i, each in enumerate(drawn)]

    def backward(self, diffs: Sequence[npt.ArrayLike] | None = None) -> list[Array]:
        """Clear parameter gradients, set the tops' and run a backward pass; returns the bottoms' gradients."""
        self.net.clear_param_diffs()
        for top, diff in zip(self.top, self.seeds() if diffs is None else diffs, strict=True):
            write(top.synced_diff, np.asarray(diff, top.dtype))
        self.net.run_backward()
        return [blob.host_diff() for blob in self.bottom]

    @property
    def param_diffs(self) -> list[Array]:
        """The parameter gradients."""
        return [blob.host_diff() for blob in self.layer.blobs]

    @property
    def differentiable(self) -> list[int]:
        """The indices of the bottoms that receive a gradient."""
        planned = self.net.program.plan.layers[-1]
        needed = planned.propagate_down if planned.needs_backward else ()
        return [index for index, each in enumerate(needed) if each]


def write(array: SyncedArray, plain: Array) -> None:
    """Write NumPy values into a synced array."""
    array.discard()
    array.write(HOST)[...] = plain.reshape(-1)


@attrs.frozen(eq=False)
class Run:
    """Results of `run_layer`.

    Attributes:
        net: the net.
        layer: the layer.
        tops: values of the tops.
        bottom_diffs: gradients of the bottoms; empty without ``top_diffs``.
        param_diffs: gradients of the parameters.
    """

    net: Net
    layer: Any
    tops: list[Array]
    bottom_diffs: list[Array]
    param_diffs: list[Array]


def run_layer(
    type_name: str,
    bottoms: Sequence[npt.ArrayLike | Bottom],
    *,
    options: Mapping[str, Any] | None = None,
    layer: Mapping[str, Any] | None = None,
    tops: int = 1,
    phase: Phase = Phase.TRAIN,
    params: Sequence[npt.ArrayLike] | None = None,
    top_diffs: Sequence[npt.ArrayLike] | None = None,
    dtype: npt.DTypeLike = np.float32,
    engine: str | Engine = "numpy",
    plugins: Registry | None = None,
) -> Run:
    """Build one layer and run a forward pass and, given ``top_diffs``, a backward pass.

    Args:
        type_name: the layer's type.
        bottoms: the values of each bottom, or `Bottom`s to draw.
        options: the layer's options, as in the DSL.
        layer: other fields of LayerParameter.
        tops: the number of tops.
        phase: TRAIN or TEST.
        params: values of the parameters, in place of the fillers'.
        top_diffs: the gradient of each top.
        dtype: the net's floating-point type.
        engine: the engine that runs it.
        plugins: the registry that provides the layer (default: all installed plugins).

    >>> run_layer("ReLU", [[-1.0, 2.0]]).tops[0].tolist()
    [0.0, 2.0]
    """
    given = [each if isinstance(each, Bottom) else values(each) for each in bottoms]
    case = Case("run", *given, options=options, layer=layer, tops=tops, phase=phase)
    trial = Trial(type_name, case, dtype=dtype, engine=engine, plugins=plugins)
    for blob, value in zip(trial.layer.blobs, params or (), strict=False):
        blob.set_data(value)
    results = trial.forward()
    diffs = trial.backward(top_diffs) if top_diffs is not None else []
    return Run(trial.net, trial.layer, results, diffs, trial.param_diffs)


def run_rule(
    type_name: str, gradients: npt.ArrayLike, rate: float = 0.1, *, device: bool = False, **options: Any
) -> list[Array]:
    """Apply a solver's update rule to one gradient after another, starting from an empty history.

    Args:
        type_name: the solver's type.
        gradients: one gradient per row.
        rate: the learning rate.
        device: run on arrays of the stand-in device, which refuse to mix with NumPy arrays, in a strict pass.
        options: fields of SolverParameter.

    Returns:
        The update of each iteration.
    """
    plugins = registry()
    fields = {"type": type_name, "base_lr": rate, "lr_policy": "fixed", **options}
    rule = plugins.load("solver", type_name)(schema(plugins)["SolverParameter"](**fields))
    place = DeviceArray if device else np.asarray
    passes = strict(f"update by solver type {type_name}") if device else nullcontext()
    updates = [row.copy() for row in np.asarray(gradients)]
    history = [place(np.zeros_like(updates[0])) for _ in range(rule.slots)]
    with passes:
        for iteration, update in enumerate(updates):
            rule.update(place(update), history, rate, iteration)  # in place
    return updates
