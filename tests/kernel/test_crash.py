"""An exception in a plugin's code becomes an error that names layer, plugin and distribution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cafx.kernel import TRAIN, CafxError, Filler, Layer, Net, PluginError, Policy, Solver, UpdateRule, registry, schema
from cafx.kernel.crash import converted_crashes

NET = """name: "n"
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "FILLER" } } }
layer { name: "odd" type: "Odd" bottom: "ip" top: "odd" loss_weight: 1 }
"""


class Odd(Layer):
    """y = x; fails in one of its methods."""

    fails = ""
    error: Exception = ZeroDivisionError("division by zero")

    def _maybe_fail(self, method: str) -> None:
        if self.fails == method:
            raise self.error

    def setup(self, bottom: Any, top: Any) -> None:
        self._maybe_fail("setup")

    def reshape(self, bottom: Any, top: Any) -> None:
        self._maybe_fail("reshape")
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        self._maybe_fail("forward")
        top[0].mutable_data[...] = bottom[0].data

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        self._maybe_fail("backward")
        bottom[0].mutable_diff[...] = top[0].diff


class OddFiller(Filler):
    """Fails."""

    def fill(self, shape: Any, rng: Any) -> Any:
        raise KeyError("std")


class OddPolicy(Policy):
    """Fails."""

    def rate(self, iteration: int) -> float:
        return 1 / iteration


class OddRule(UpdateRule):
    """Fails."""

    slots = 0

    def update(self, diff: Any, history: Any, rate: float, iteration: int) -> None:
        raise IndexError


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    added = {
        ("layer", "Odd"): Odd,
        ("filler", "odd"): OddFiller,
        ("policy", "odd"): OddPolicy,
        ("solver", "Odd"): OddRule,
    }
    for (kind, name), thing in added.items():
        registry().add(kind, name, thing)
    with converted_crashes(True):
        yield
    for kind, name in added:
        registry().remove(kind, name)


def build(filler: str = "constant") -> Net:
    return Net(schema().parse_text(NET.replace("FILLER", filler), "NetParameter"), TRAIN, engine="numpy")


def build_and_run() -> None:
    net = build()
    net.forward()
    net.backward()


@pytest.mark.parametrize("method", ["setup", "reshape", "forward", "backward"])
def test_a_layer(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "fails", method)
    where, bug = r"net 'n': layer 'odd' \(Odd\)", r"this is a bug in Odd, test_crash\.py:\d+; --debug shows where"
    told = rf"^{where}: ZeroDivisionError: division by zero \({bug}\)$"
    with pytest.raises(CafxError, match=told) as caught:
        build_and_run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "out.h5"), MemoryError(), KeyboardInterrupt()]
)
def test_what_is_no_mistake_of_a_plugin_is_raised_as_it_is(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Odd, "fails", "forward")
    monkeypatch.setattr(Odd, "error", error)
    net = build()
    with pytest.raises(type(error)) as caught:
        net.forward()
    assert caught.value is error


def test_an_error_that_is_meant_gets_the_location(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "fails", "forward")
    monkeypatch.setattr(Odd, "error", CafxError("too small", where="layer 'odd' (Odd)"))
    with pytest.raises(CafxError, match=r"^net 'n': layer 'odd' \(Odd\): too small$"):
        build().forward()


def test_an_installed_plugin_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry().load("layer", "InnerProduct"), "forward", lambda *_: 1 / 0)
    with pytest.raises(CafxError, match=r"layer 'ip' .*: ZeroDiv.* bug in cafx-layer-innerproduct \d\S+; --debug"):
        build().forward()


def test_a_filler() -> None:
    with pytest.raises(CafxError, match=r"^net 'n': layer 'ip' .*: KeyError: 'std' \(this is a bug in odd, test_crash"):
        build("odd")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('lr_policy: "odd"', r"^solver: ZeroDivisionError: .* bug in odd, test_crash\.py:\d+; "),
        ('lr_policy: "fixed" type: "Odd"', r"^solver: IndexError \(this is a bug in Odd, test_crash\.py:\d+; "),
    ],
)
def test_a_policy_and_an_update_rule(options: str, told: str) -> None:
    text = f"base_lr: 1 max_iter: 1 {options} net_param {{ {NET.replace('FILLER', 'constant')} }}"
    solver = Solver(schema().parse_text(text, "SolverParameter"), engine="numpy")
    with solver, pytest.raises(CafxError, match=told):
        solver.step()


def test_tests_tell_crashes_from_errors_that_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "fails", "forward")
    with pytest.raises(PluginError):
        build().forward()
    with converted_crashes(False), pytest.raises(ZeroDivisionError):
        build().forward()
