"""Whole nets in tests: build them from prototxt text, feed them, run them and compare the results.

>>> net = net_of_text('''
...     layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
...     layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }
... ''', engine="numpy")
>>> feed(net)
>>> run_passes(net)
>>> sorted(param_gradients(net))
['fc.0 diff', 'fc.1 diff']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from cafx.kernel import Net, Phase, Registry, Routine, Solver, registry, schema

LABEL = "label"
SMALLEST_SCALE = 1e-2
"""Arrays with smaller values are compared as if this were their largest value."""
Array = npt.NDArray[Any]


def net_of_text(text: str, phase: Phase = Phase.TRAIN, *, plugins: Registry | None = None, **settings: Any) -> Net:
    """Build a net from prototxt text.

    Args:
        text: the net as prototxt.
        phase: TRAIN or TEST.
        plugins: the registry that provides layers and schema (default: all installed plugins).
        settings: further arguments of `Net`, such as ``engine``, ``seed`` or ``keep``.

    Raises:
        CafxError: the net is invalid.
    """
    plugins = plugins or registry()
    return Net(schema(plugins).parse_text(text, "NetParameter"), phase, plugins=plugins, **settings)


def solver_of_text(net: str, options: str, **settings: Any) -> Solver:
    """Build a solver that trains the net of one prototxt text with the options of another.

    Args:
        net: the net as prototxt.
        options: the solver's options as prototxt, without ``net``.
        settings: further arguments of `Solver`, such as ``engine``, ``seed`` or ``threads``.

    Raises:
        CafxError: the net or an option is invalid.
    """
    message = schema().parse_text(options, "SolverParameter")
    message.net_param.CopyFrom(schema().parse_text(net, "NetParameter"))
    return Solver(message, **settings)


def feed(net: Net, seed: int = 0, classes: int = 5) -> None:
    """Fill a net's inputs: the input ``label`` with classes, all others with normally distributed values.

    Args:
        net: the net.
        seed: the same seed gives the same values.
        classes: the number of classes that labels are drawn from.
    """
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        blob = net.blobs[name]
        is_label = name == LABEL
        blob.set_data(rng.integers(0, classes, blob.shape) if is_label else rng.standard_normal(blob.shape, np.float32))


def run_passes(net: Net, times: int = 1, *, accumulate: bool = False) -> None:
    """Run forward and backward passes.

    Args:
        net: the net.
        times: the number of passes in each direction.
        accumulate: add up parameter gradients instead of clearing them before each pass.
    """
    for _ in range(times):
        if not accumulate:
            net.clear_param_diffs()
        net.run_forward()
        net.run_backward()


def param_gradients(net: Net) -> dict[str, Array]:
    """Copies of all parameter gradients, by ``layer.index diff``."""
    return {
        f"{layer}.{index} diff": blob.host_diff()
        for layer, blobs in net.params.items()
        for index, blob in enumerate(blobs)
    }


def param_values(net: Net) -> dict[str, Array]:
    """Copies of all parameters, by ``layer.index``."""
    return {f"{layer}.{index}": blob.host() for layer, blobs in net.params.items() for index, blob in enumerate(blobs)}


def assert_near(result: Any, expected: Any, tolerance: float, what: str = "") -> None:
    """Assert that arrays agree within ``tolerance`` times the largest expected value.

    Args:
        result, expected: arrays of the same shape.
        tolerance: relative to the largest absolute value of ``expected``.
        what: what is compared, for the message.

    Raises:
        AssertionError: shapes or values differ.
    """
    allowed = tolerance * np.abs(expected).max(initial=SMALLEST_SCALE)
    np.testing.assert_allclose(result, expected, rtol=0, atol=allowed, err_msg=what)


def assert_all_near(results: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> None:
    """Assert that two mappings from names to arrays agree; see `assert_near`."""
    assert results.keys() == expected.keys()
    for name, values in expected.items():
        assert_near(results[name], values, tolerance, name)


class Call(NamedTuple):
    """One pass of a routine: the layer's name and type, and ``"forward"`` or ``"backward"``."""

    layer: str
    type: str
    direction: str


def record_calls(monkeypatch: pytest.MonkeyPatch, routine: type[Routine]) -> set[Call]:
    """Record which layers an engine's routines run, until the test ends.

    Args:
        monkeypatch: pytest's fixture.
        routine: the base class of the routines.

    Returns:
        The calls; the set grows while nets run.
    """
    calls: set[Call] = set()
    for direction in ("forward", "backward"):
        original = getattr(routine, direction)

        def recorded(self: Routine, original: Any = original, direction: str = direction) -> None:
            calls.add(Call(self.layer.name, self.layer.type, direction))
            original(self)

        monkeypatch.setattr(routine, direction, recorded)
    return calls
