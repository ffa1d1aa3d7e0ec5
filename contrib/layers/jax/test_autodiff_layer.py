"""autodiff_layer: layer types from functions, in a net.py and in a distribution."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import pytest

import cafx.dsl
from cafx.conformance import run_layer
from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx.kernel import CafxError, Net, registry
from cafx_layer_jax import autodiff_layer

PYPROJECT = """
[project]
name = "cafx-loss-huber"
version = "0.1.0"
description = "Huber loss"
requires-python = ">=3.11"
dependencies = ["cafx-kernel>=0.1,<0.2", "cafx-layer-jax>=0.1,<0.2"]
[project.entry-points."cafx.losses"]
Huber = "cafx_loss_huber:Huber"
[build-system]
requires = ["flit_core>=3.12"]
build-backend = "flit_core.buildapi"
"""
HUBER = '''
"""Huber loss."""

import jax.numpy as jnp
from cafx.conformance import Case
from cafx_layer_jax import autodiff_layer


@autodiff_layer(
    loss=True,
    cases=lambda: [Case("wide", (4, 3), (4, 3), options={"delta": 5}), Case("line", (6,), (6,), options={"delta": 9})],
)
def Huber(prediction, target, *, delta: float = 1.0):
    """Huber loss: the mean of h(x - y); h(d) = d²/2 below delta, and delta (|d| - delta/2) above.

    Bottoms: predictions and targets of one shape. Top: a scalar.

    Args:
        delta: where the parabola ends.
    """
    if prediction.shape != target.shape:
        raise ValueError("predictions and targets differ in shape")
    distance = jnp.abs(prediction - target)
    values = jnp.where(distance < delta, distance**2 / 2, delta * (distance - delta / 2))
    return values.sum() / max(1, values.size)
'''


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    yield
    for name in ("Scaled", "Mixture", "Odd"):
        if name in registry().names("layer"):
            registry().remove("layer", name)


def scaled(x: Any, *, by: float = 2.0, power: int = 1, mode: Literal["plain", "signed"] = "plain") -> Any:
    """y = by xᵖ.

    Args:
        by: factor,
            on two lines.
        power: p.
        mode: what happens to signs.
    """
    assert isinstance(power, int)
    raised = x**power
    return by * (raised if mode == "plain" else jnp.sign(x) * jnp.abs(raised))


def test_a_function_becomes_a_layer_type_with_options_of_its_own() -> None:
    layer = cafx.dsl.layer(autodiff_layer(scaled, name="Scaled"))
    options = layer.Parameter.__options__
    assert layer.Parameter.__extends__.field == "scaled_param"
    assert {name: (each.kind, each.default, each.doc) for name, each in options.items()} == {
        "by": ("double", 2.0, "factor, on two lines."),
        "power": ("int64", 1, "p."),
        "mode": ("string", "plain", "what happens to signs."),
    }
    assert (layer.bottoms, layer.tops, layer.deterministic) == (1, 1, True)
    run = run_layer("Scaled", [[[1.0, -2.0]]], options={"by": 3, "power": 2, "mode": "signed"}, top_diffs=[[[1, 1]]])
    assert run.tops[0].tolist() == [[3, -12]]
    assert run.bottom_diffs[0].tolist() == [[6, 12]]


def test_its_options_are_checked_like_any_layer_s() -> None:
    cafx.dsl.layer(autodiff_layer(scaled, name="Scaled"))
    n = NetSpec()
    n.x = L.Input(shape=[2])
    for wrong, told in (
        ({"bye": 1}, "did you mean 'by'"),
        ({"mode": "odd"}, "plain, signed"),
        ({"power": 0.5}, "power"),
    ):
        with pytest.raises(CafxError, match=told):
            L.Scaled(n.x, **wrong)


def test_a_net_in_text_holds_all_of_it_and_needs_no_trust() -> None:
    cafx.dsl.layer(autodiff_layer(scaled, name="Scaled"))
    n = NetSpec()
    n.x = L.Input(shape=[2])
    n.y = L.Scaled(n.x, by=5)
    assert "scaled_param {\n    by: 5\n  }" in str(n.to_proto())
    assert Net(n).forward(x=[1, 2])["y"].tolist() == [5, 10]


def test_parameters_tops_keys_and_lists_are_declared() -> None:
    def rule(*bottoms: tuple[int, ...], sizes: Sequence[int] = (1,)) -> list[tuple[int, ...]]:
        return [(bottoms[0][1],) for _ in sizes]

    @autodiff_layer(name="Mixture", tops=2, parameters=rule, fillers=[{"type": "constant", "value": 2}])
    def mixture(*bottoms: Any, params: Any, key: Any, sizes: Sequence[int] = ()) -> Any:
        """Bottoms times parameters."""
        return sum(bottoms) * params[0], key is not None and sum(bottoms) + len(sizes)

    assert (mixture.bottoms, mixture.tops, mixture.deterministic) == ((0, None), 2, False)
    cafx.dsl.layer(mixture)
    run = run_layer("Mixture", [[[1.0, 2.0]], [[3.0, 4.0]]], options={"sizes": [4, 5]}, tops=2)
    assert [each.tolist() for each in run.tops] == [[[8, 12]], [[6, 8]]]
    filled = {"filler": ["constant"]}
    n = NetSpec()
    n.x = L.Input(shape=[[1, 2]])
    n.y, n.z = L.Mixture(n.x, ntop=2, sizes=3, **filled)
    assert not Net(n).params["y"][0].data.any()


@pytest.mark.parametrize("default", [None, {}, object(), 1j])
def test_an_option_that_a_file_cannot_hold_is_told(default: Any) -> None:
    def odd(x: Any, *, option=default) -> Any:  # type: ignore[no-untyped-def]
        return x

    with pytest.raises(CafxError, match="option 'option' of odd has no type that a net's file holds"):
        autodiff_layer(odd, name="Odd")


def test_a_net_py_defines_its_own_layer(tmp_path: Path) -> None:
    program = (
        "import cafx.dsl, jax.numpy as jnp\n"
        "from cafx.dsl import NetSpec, layers as L\n"
        "from cafx_layer_jax import autodiff_layer\n\n"
        "@cafx.dsl.layer\n@autodiff_layer\n"
        "def Cubed(x, *, by: float = 1.0):\n    '''y = by x³, of bottom x and top y.'''\n    return by * x**3\n\n"
        "n = NetSpec()\nn.x = L.Input(shape=[2, 3])\nn.y = L.Cubed(n.x, by=2)\n"
    )
    (tmp_path / "net.py").write_text(program)
    command = [sys.executable, "-m", "cafx.cli", "net", "net.py"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Cubed" in done.stdout


@pytest.mark.slow
def test_a_distribution_provides_one_and_passes_the_conformance_suite(tmp_path: Path) -> None:
    folder = tmp_path / "huber"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "cafx_loss_huber.py").write_text(HUBER)
    command = [sys.executable, "-m", "cafx.cli", "check", str(folder)]
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False, env=settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gradient-bottoms" in done.stdout
