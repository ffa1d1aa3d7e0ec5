"""The checklist of engines.

Cases are optional: without any, three small nets are tried. That each layer runs as on numpy is checked by the items
``engines`` and ``not-finite`` of the layers' own checklist, which `cafx check` of a layer runs with every engine.

>>> from cafx.conformance import plugin_suite
>>> TestNumpy = plugin_suite("engine", "numpy")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.conformance.dynamic import BEFORE, difference
from cafx.conformance.kinds.common import common_checks
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import TEST, TRAIN, CafxError, Engine, Net, Phase, Solver, schema

KIND = "engine"
TOLERANCE, SEED, ITERATIONS = 2e-3, 3, 3
Results = dict[str, npt.NDArray[Any]]
FILLED = 'weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 }'
CONVOLUTIONS = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 4 dim: 3 dim: 8 dim: 8 }} }} }}
layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: 4 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {FILLED} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param {{ num_output: 5 {FILLED} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" include {{ phase: TRAIN }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc" top: "prob" include {{ phase: TEST }} }}
"""
BRANCHES = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 4 dim: 6 }} }} }}
layer {{ name: "one" type: "InnerProduct" bottom: "data" top: "one" inner_product_param {{ num_output: 5 {FILLED} }} }}
layer {{ name: "two" type: "InnerProduct" bottom: "data" top: "two" inner_product_param {{ num_output: 5 {FILLED} }} }}
layer {{ name: "sum" type: "Eltwise" bottom: "one" bottom: "two" top: "sum" }}
layer {{ name: "both" type: "Concat" bottom: "sum" bottom: "two" top: "both" }}
layer {{ name: "out" type: "TanH" bottom: "both" top: "out" }}
"""


@attrs.frozen
class EngineCase:
    """A net that an engine must run as numpy does.

    Args:
        name: a short name, unique among the engine's cases.
        net: the net, as prototxt; its inputs are drawn, those named ``label`` as classes 0 and 1.
        tolerance: relative to the largest value of each array.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    net: str
    tolerance: float = TOLERANCE
    skip: Mapping[str, str] = attrs.field(factory=dict)


DEFAULT = (EngineCase("convolutions", CONVOLUTIONS), EngineCase("branches", BRANCHES))
common_checks(KIND, Engine, needs_cases=False)


def cases(subject: Subject) -> Sequence[EngineCase]:
    """The engine's cases, and those that every engine must run."""
    return (*DEFAULT, *subject.cases)


def available(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies where the engine can run."""
    reason: str | None = subject.thing.unavailable()
    return reason


def net_on(engine: str | Engine, subject: Subject, case: EngineCase, phase: Phase) -> Net:
    """The net of a case on an engine."""
    proto = schema(subject.plugins).parse_text(case.net + "force_backward: true", "NetParameter", case.name)
    return Net(proto, phase, engine=engine, seed=SEED, plugins=subject.plugins)


def inputs(net: Net, batch: int | None = None) -> dict[str, Any]:
    """Values for the inputs of a net, the same in each call."""
    found: dict[str, Any] = {}
    rng = np.random.default_rng(SEED)
    for name in net.inputs:
        shape = (batch or net.blobs[name].shape[0], *net.blobs[name].shape[1:])
        values = rng.integers(0, 2, shape) if name == "label" else rng.normal(size=shape)
        found[name] = values.astype(np.float32)
    return found


def passes(net: Net, batch: int | None = None) -> Results:
    """All blobs and gradients after one pass forward and backward."""
    given = inputs(net, batch)
    net.clear_param_diffs()
    outputs = net.forward(**given)
    found = {f"output {name}": values.copy() for name, values in outputs.items()}
    diffs: dict[str, Any] = {
        name: np.linspace(-1, 1, values.size, dtype=np.float32).reshape(values.shape)
        for name, values in outputs.items()
        if name not in ("loss", "label")
    }
    gradients = net.backward(**diffs)
    found |= {f"gradient of {name}": values.copy() for name, values in gradients.items() if name != "label"}
    for name, blobs in net.params.items():
        found |= {f"gradient of {name}.{index}": blob.host_diff() for index, blob in enumerate(blobs)}
    return found


def require_same(found: Results, expected: Results, tolerance: float, what: str) -> None:
    """Raise CheckFailure where results differ."""
    for name, values in expected.items():
        other = np.asarray(found[name])
        allowed = tolerance * max(1e-6, float(np.abs(values).max(initial=0)))
        if other.shape != values.shape or not np.allclose(other, values, rtol=tolerance, atol=allowed):
            raise CheckFailure(f"{what}: {name} differs from numpy's")


def made(subject: Subject, **settings: Any) -> Engine:
    """A new engine."""
    engine: Engine = subject.thing(subject.plugins, **settings)
    return engine


@check("name", "name is that of the entry point; priority is a whole number of its own", kind=KIND, per_case=False)
def name(subject: Subject) -> None:
    engine = subject.thing
    if engine.name != subject.type:
        raise CheckFailure(f"the class has name = {engine.name!r}, its entry point is called {subject.type!r}")
    if not isinstance(engine.priority, int):
        raise CheckFailure(f"priority is {engine.priority!r}, not a whole number")
    for plugin, other in subject.plugins.usable("engine"):
        if other is not engine and other.priority == engine.priority and plugin.name != subject.type:
            raise CheckFailure(
                f"engine '{plugin.name}' has priority {engine.priority}, too: the default is a matter of chance"
            )


@check("unavailable", "unavailable() returns None or the reason, and never raises", kind=KIND, per_case=False)
def unavailable(subject: Subject) -> None:
    try:
        reasons = [subject.thing.unavailable() for _ in range(2)]
    except Exception as error:
        raise CheckFailure(f"unavailable() raises {type(error).__name__}: {error}") from error
    if reasons[0] != reasons[1] or not (reasons[0] is None or (isinstance(reasons[0], str) and reasons[0].strip())):
        raise CheckFailure(
            f"unavailable() returns {reasons[0]!r}, then {reasons[1]!r}; expected None, or why it cannot run"
        )


@check(
    "precision",
    "float32 is among the precisions, and others than these are refused",
    kind=KIND,
    per_case=False,
    applies=available,
)
def precision(subject: Subject) -> None:
    if "float32" not in subject.thing.precisions:
        raise CheckFailure(f"precisions are {subject.thing.precisions}; float32 must be one")
    try:
        made(subject, precision="float7")
    except CafxError as error:
        if "float7" not in str(error):
            raise CheckFailure(f"the error for an unknown precision does not name it: {error}") from None
    else:
        raise CheckFailure("an unknown precision is accepted: call Engine.__init__")


@check("threads", "the number of threads is the one that is asked for", kind=KIND, per_case=False, applies=available)
def threads(subject: Subject) -> None:
    for count in (1, 2):
        found = made(subject, threads=count).threads
        if found != count:
            raise CheckFailure(f"with threads={count}, the engine has threads = {found}")
    if made(subject).threads < 1:
        raise CheckFailure(f"by default, the engine has threads = {made(subject).threads}")


@check("devices", "a GPU engine lists its devices; another one has none", kind=KIND, per_case=False, applies=available)
def devices(subject: Subject) -> None:
    found = list(subject.thing.devices())
    if subject.thing.gpu != bool(found):
        raise CheckFailure(f"gpu is {subject.thing.gpu}, and devices() lists {len(found)}")


@check("agrees", "small nets give what numpy computes, in both phases", kind=KIND, per_case=False, applies=available)
def agrees(subject: Subject) -> None:
    for case in cases(subject):
        require_as_numpy(subject, subject.thing, case)


def require_as_numpy(subject: Subject, engine: type[Engine], case: EngineCase) -> None:
    """Raise CheckFailure unless a net gives on an engine what it gives on numpy, in both phases and two passes."""
    for phase in (TRAIN, TEST):
        on_engine = net_on(engine(subject.plugins), subject, case, phase)
        with on_engine as net, net_on("numpy", subject, case, phase) as numpy:
            for _ in range(2):
                require_same(passes(net), passes(numpy), case.tolerance, f"{case.name} in {phase.name}")


def combinations(subject: Subject) -> Iterator[tuple[EngineCase, Phase]]:
    """All cases in both phases."""
    return ((case, phase) for case in cases(subject) for phase in (TRAIN, TEST))


@check("reshape", "after a change of batch size, results are numpy's", kind=KIND, per_case=False, applies=available)
def reshape(subject: Subject) -> None:
    for case in cases(subject):
        with net_on(made(subject), subject, case, TRAIN) as net, net_on("numpy", subject, case, TRAIN) as numpy:
            for batch in (7, 1, 4):
                require_same(passes(net, batch), passes(numpy, batch), case.tolerance, f"{case.name}, batch of {batch}")


@check(
    "shapes-in-pass",
    "gradients are numpy's where a layer changes shapes in the middle of a pass",
    kind=KIND,
    per_case=False,
    applies=available,
)
def shapes_in_pass(subject: Subject) -> None:
    for name_, before in BEFORE.items():
        wrong = difference(before, made(subject), subject.plugins, tolerance=TOLERANCE)
        if wrong:
            reason = "what forward has left for backward is lost when shapes change"
            raise CheckFailure(f"{name_}: {wrong} is not numpy's: {reason}; hand it over by Routine.left and take")


@check("ranges", "a pass over a range of layers gives numpy's blobs", kind=KIND, per_case=False, applies=available)
def ranges(subject: Subject) -> None:
    for case in cases(subject):
        with net_on(made(subject), subject, case, TEST) as net, net_on("numpy", subject, case, TEST) as numpy:
            middle = net.layer_names[len(net.layers) // 2]
            for each in (net, numpy):
                each.forward(**inputs(each), end=middle)
            tops = net.tops[net.layer_names.index(middle)]
            found, expected = ({blob.name: each.blobs[blob.name].host() for blob in tops} for each in (net, numpy))
            require_same(found, expected, case.tolerance, f"{case.name} up to layer '{middle}'")


@check("plan", "compiling changes nothing about the net", kind=KIND, per_case=False, applies=available)
def plan(subject: Subject) -> None:
    for case, phase in combinations(subject):
        with net_on(made(subject), subject, case, phase) as net, net_on("numpy", subject, case, phase) as numpy:
            for what in ("layer_names", "inputs", "outputs"):
                if getattr(net, what) != getattr(numpy, what):
                    raise CheckFailure(f"{case.name}: net.{what} is {getattr(net, what)}, not {getattr(numpy, what)}")
            one, two = ({name: blob.shape for name, blob in each.blobs.items()} for each in (net, numpy))
            if one != two:
                raise CheckFailure(f"{case.name}: blobs differ from those on numpy")


@check("training", "three iterations of training give numpy's parameters", kind=KIND, per_case=False, applies=available)
def training(subject: Subject) -> None:
    found = [trained(subject, engine) for engine in (made(subject), "numpy")]
    require_same(found[0], found[1], TOLERANCE, f"after {ITERATIONS} iterations")


def trained(subject: Subject, engine: str | Engine) -> Results:
    """The parameters after a few iterations on one batch."""
    parameter = schema(subject.plugins)["SolverParameter"](
        type="SGD", base_lr=0.05, lr_policy="fixed", momentum=0.9, weight_decay=0.01, max_iter=ITERATIONS
    )
    parameter.net_param.CopyFrom(schema(subject.plugins).parse_text(CONVOLUTIONS, "NetParameter"))
    solver = Solver(parameter, engine=engine, seed=SEED, plugins=subject.plugins)
    with solver.net as net:
        for name_, values in inputs(net).items():
            net.blobs[name_].set_data(values)
        solver.step(ITERATIONS)
        return {f"{layer}.{i}": blob.host() for layer, blobs in net.params.items() for i, blob in enumerate(blobs)}
