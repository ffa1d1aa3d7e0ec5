"""JAX beyond the conformance suite: users' functions, by name."""

from __future__ import annotations

import keyword
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cafx.conformance import layer_suite, run_layer
from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx.kernel import CafxError, Net, Phase, Solver, schema
from cafx_layer_jax.function import Function, options_text, parse_options

TestJAX = layer_suite("JAX")

SAMPLES = "cafx_layer_jax.samples"
CLOSE = 2e-6
USER_MODULE = """
import jax
import jax.numpy as jnp
import numpy as np
from cafx_layer_jax import facts

traces = []
kept = []

def counted(x, *, by=2.0):
    traces.append(x.shape)
    return by * x

def branches(x):
    return x if x.sum() > 0 else -x

def masked(x):
    return x[x > 0]

def plain_numpy(x):
    return np.exp(x)

def sized(x):
    return jnp.zeros(x.sum().astype(int))

def read(x):
    return x * float(x[0, 0])

def leaks(x):
    if kept:
        x = x + kept[0]
    kept.append(x)
    return x

def whole(x):
    return x.astype(int)

def complex_(x):
    return x + 1j

def half(x):
    return x.astype(jnp.float16)

def nothing(x):
    pass

def mapping(x):
    return {"y": x}

def two(x):
    return x, 2 * x

def fails(x):
    raise KeyError("no such thing")

def leaves(x):
    raise SystemExit(3)

def wants(x, *, gamma, delta=1.0):
    return gamma * delta * x

def without_facts(x, *, params):
    return x

@facts(parameters=lambda x: [(x[7],)])
def bad_rule(x, *, params):
    return x

@facts(parameters=lambda x, *, share: [(x[1],), (x[1],)], fillers=["xavier"])
def affine(x, *, params, share=True):
    scale, shift = params
    return x * scale + shift

@facts(integer_bottoms=[1])
def picked(x, index):
    return jnp.take_along_axis(x, index.astype(int)[:, None], 1)[:, 0]

def drawn(x, *, key, phase):
    return x + jax.random.uniform(key, x.shape, x.dtype) if phase.name == "TRAIN" else x

class Callable:
    pass
"""
HEAD = 'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


@pytest.fixture(autouse=True)
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "mine.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mine", None)


def text(function: str, options: str = "", more: str = "", top: str = 'top: "y"') -> str:
    """A net with one function, in text."""
    given = f'function: "{function}" options: "{options}"' if options else f'function: "{function}"'
    return f'{HEAD} layer {{ name: "f" type: "JAX" bottom: "x" {top} jax_param {{ {given} }} {more} }}'


def net(function: str, options: str = "", more: str = "", *, trust: bool = True, **settings: Any) -> Net:
    phase = settings.pop("phase", Phase.TEST)
    top = settings.pop("top", 'top: "y"')
    proto = schema().parse_text(text(function, options, more, top), "NetParameter")
    return Net(proto, phase, engine="numpy", trust=trust, **settings)


def module() -> Any:
    return sys.modules["mine"]


def test_a_function_of_the_working_directory_has_options_and_a_gradient() -> None:
    x = np.arange(6.0).reshape(2, 3)
    built = net("mine:counted", "by=3.0")
    np.testing.assert_array_equal(built.forward(x=x)["y"], 3 * x)
    np.testing.assert_array_equal(built.backward(y=x)["x"], 3 * x)


def test_a_function_of_jax_itself_is_a_layer() -> None:
    y = run_layer("JAX", [[-1.0, 2.0]], options={"function": "jax.nn:gelu", "options": "approximate=False"}).tops[0]
    expected = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in (-1.0, 2.0)]
    np.testing.assert_allclose(y, expected, rtol=CLOSE, atol=CLOSE)


def test_a_function_is_traced_once_per_pass_and_shape_also_for_other_nets() -> None:
    built = net("mine:counted")
    for _ in range(5):
        built.forward(x=np.ones((2, 3)))
        built.backward(y=np.ones((2, 3)))
    first = len(module().traces)
    assert first <= 3  # shapes, forward, backward
    other = net("mine:counted")
    other.forward(x=np.ones((2, 3)))
    other.backward(y=np.ones((2, 3)))
    assert len(module().traces) - first <= 1  # its shapes
    other.blobs["x"].reshape(4, 3)
    other.forward(x=np.ones((4, 3)))
    assert (4, 3) in module().traces


def test_float64_is_the_net_s_alone() -> None:
    import jax
    import jax.numpy as jnp

    x = np.random.default_rng(1).standard_normal((2, 3))
    double = net("mine:counted", "by=3.0", dtype=np.float64)
    assert double.forward(x=x)["y"].dtype == np.float64
    assert (double.forward(x=x)["y"] == 3 * x).all()
    assert net("mine:counted", "by=3.0").forward(x=x)["y"].dtype == np.float32
    assert jnp.ones(1).dtype == np.float32
    with jax.enable_x64(True):
        assert net("mine:counted", "by=3.0").forward(x=x)["y"].dtype == np.float32


def test_the_gradient_of_a_bottom_of_labels_is_not_asked_for() -> None:
    x, index = np.arange(6.0).reshape(2, 3), np.array([2.0, 0.0])
    run = run_layer("JAX", [x, index], options={"function": "mine:picked"}, top_diffs=[np.array([1.0, 2.0])])
    assert run.tops[0].tolist() == [2, 3]
    assert run.bottom_diffs[0].tolist() == [[0, 0, 1], [2, 0, 0]]
    n = NetSpec()
    n.x, n.index = L.Input(shape=[[2, 3], [2]], ntop=2)
    n.y = L.JAX(n.x, n.index, function="mine:picked")
    proto = n.to_proto()
    proto.force_backward = True
    built = Net(proto, trust=True)
    assert built.program.plan.layers[-1].propagate_down == (True, False)


def test_the_focal_loss_without_focus_is_the_softmax_loss() -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.standard_normal((6, 5)), rng.integers(0, 5, 6).astype(float)
    options = {"function": f"{SAMPLES}:focal_loss", "options": "gamma=0.0"}
    diffs = [np.array(1.0)]
    ours = run_layer("JAX", [scores, labels], options=options, top_diffs=diffs)
    caffe = run_layer("SoftmaxWithLoss", [scores, labels], top_diffs=diffs)
    np.testing.assert_allclose(ours.tops[0], caffe.tops[0], rtol=CLOSE)
    np.testing.assert_allclose(ours.bottom_diffs[0], caffe.bottom_diffs[0], rtol=1e-4, atol=1e-6)


def test_swish_equals_the_layer_of_the_catalogue() -> None:
    x, dy = (np.random.default_rng(seed).standard_normal((4, 5)) for seed in (1, 2))
    ours = run_layer("JAX", [x], options={"function": f"{SAMPLES}:swish", "options": "beta=2.0"}, top_diffs=[dy])
    caffe = run_layer("Swish", [x], options={"beta": 2}, top_diffs=[dy])
    np.testing.assert_allclose(ours.tops[0], caffe.tops[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.bottom_diffs[0], caffe.bottom_diffs[0], rtol=1e-5, atol=1e-6)


def test_parameters_have_shapes_fillers_and_multipliers() -> None:
    proto = schema().parse_text(text("mine:affine", more="param { lr_mult: 0 } param { lr_mult: 2 }"), "NetParameter")
    proto.force_backward = False
    proto.layer[1].loss_weight.append(1)
    built = Net(proto, Phase.TRAIN, engine="numpy", trust=True)
    scale, shift = built.params["f"]
    assert scale.shape == shift.shape == (3,)
    assert scale.data.any()
    assert not shift.data.any()
    built.forward(x=np.ones((2, 3)))
    built.backward()
    assert shift.diff.tolist() == [2, 2, 2]
    assert not scale.diff.any()


def test_fillers_of_the_net_replace_those_of_the_function() -> None:
    proto = schema().parse_text(text("mine:affine"), "NetParameter")
    proto.layer[1].jax_param.filler.add(type="constant", value=5)
    assert Net(proto, Phase.TEST, engine="numpy", trust=True).params["f"][0].data.tolist() == [5, 5, 5]
    for _ in range(2):
        proto.layer[1].jax_param.filler.add()
    with pytest.raises(CafxError, match=r"layer 'f' \(JAX\): more fillers than parameters: got 3, expected at most 2"):
        Net(proto, Phase.TEST, engine="numpy", trust=True)


def test_the_phase_and_a_key_are_given_to_functions_that_name_them() -> None:
    x = np.zeros((2, 3))
    assert not net("mine:drawn", phase=Phase.TEST).forward(x=x)["y"].any()
    built, again = (net("mine:drawn", phase=Phase.TRAIN, seed=7) for _ in range(2))
    first, second = (built.forward(x=x)["y"].copy() for _ in range(2))
    assert (first != second).all()
    assert (again.forward(x=x)["y"] == first).all()
    assert (net("mine:drawn", phase=Phase.TRAIN, seed=8).forward(x=x)["y"] != first).all()


def test_a_net_in_python_takes_the_function_s_options_as_keywords() -> None:
    n = NetSpec()
    n.x, n.labels = L.Input(shape=[[4, 5], [4]], ntop=2)
    n.loss = L.JAX(n.x, n.labels, function=f"{SAMPLES}:focal_loss", gamma=0.5, loss_weight=3)
    layer = n.to_proto().layer[-1]
    assert (layer.jax_param.function, layer.jax_param.options) == (f"{SAMPLES}:focal_loss", "gamma=0.5")
    assert list(layer.loss_weight) == [3]
    both = L.JAX(n.x, function="mine:wants", options={"delta": 2}, gamma=np.float32(0.5)).to_proto().layer[-1]
    assert both.jax_param.options == "delta=2, gamma=0.5"
    assert L.JAX(n.x, function="mine:wants", options="gamma=1").to_proto().layer[-1].jax_param.options == "gamma=1"
    with pytest.raises(
        CafxError, match=r"test_jax\.py:\d+: L\.JAX: an option of the function is given twice: got gamma"
    ):
        L.JAX(n.x, function="mine:wants", options={"gamma": 2}, gamma=1)
    with pytest.raises(CafxError, match=r"options of a function: got .*nan"):
        L.JAX(n.x, function="mine:wants", gamma=math.nan)


def test_a_net_of_functions_is_trained() -> None:
    n = NetSpec()
    n.x, n.labels = L.Input(shape=[[32, 6], [32]], ntop=2)
    n.hidden = L.JAX(n.x, function=f"{SAMPLES}:low_rank", rank=3, num_output=8)
    n.swish = L.JAX(n.hidden, function=f"{SAMPLES}:swish")
    n.scores = L.InnerProduct(n.swish, num_output=2, weight_filler="xavier")
    n.loss = L.JAX(n.scores, n.labels, function=f"{SAMPLES}:focal_loss", gamma=1.0, loss_weight=1)
    solver = Solver(SolverSpec(net=n, base_lr=0.3, lr_policy="fixed", momentum=0.9, random_seed=1))
    x = np.random.default_rng(1).standard_normal((32, 6))
    solver.net.blobs["x"].set_data(x)
    solver.net.blobs["labels"].set_data((x[:, 0] * x[:, 1] > 0).astype(float))
    losses = [float(solver.step(1)) for _ in range(150)]
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize("setting", [None, "0"])
def test_without_trust_the_module_is_not_imported(setting: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAFX_TRUST", raising=False)
    if setting is not None:
        monkeypatch.setenv("CAFX_TRUST", setting)
    Path("mine.py").write_text("open('IMPORTED', 'w').close()")
    told = r"layer 'f' \(JAX\): not loaded: JAX function 'mine:counted' \(use --trust, trust=True or CAFX_TRUST=1\)"
    with pytest.raises(CafxError, match=told):
        net("mine:counted", trust=False)
    assert "mine" not in sys.modules
    assert not Path("IMPORTED").exists()


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("branches", r"layer 'f' \(JAX\): mine\.branches failed: TracerBool.*mine\.py:\d+\); jax\.numpy\.where"),
        ("masked", r"mine\.masked failed: NonConcreteBoolean.*mine\.py:\d+\); x\[mask\] has no fixed shape"),
        ("plain_numpy", r"mine\.plain_numpy failed: TracerArray.*mine\.py:\d+\); import jax\.numpy as jnp"),
        ("sized", r"mine\.sized failed: .*mine\.py:\d+\)"),
        ("read", r"mine\.read failed: Concretization.*mine\.py:\d+\); float\(\), int\(\) and \.item\(\)"),
        ("whole", r"result 0 of mine\.whole has another type: got int32, expected float32; convert it: y\.astype"),
        ("complex_", r"has another type: got complex64, expected float32"),
        ("half", r"has another type: got float16, expected float32"),
        ("nothing", r"mine\.nothing returns no array: got NoneType, expected an array, or a tuple of arrays"),
        ("mapping", r"mine\.mapping returns no array: got dict"),
        ("two", r"mine\.two returns 2 arrays: expected 1, one per top; set the number of tops with ntop"),
        ("fails", r"mine\.fails failed: KeyError: 'no such thing' \(.*mine\.py:\d+\)"),
        ("leaves", r"mine\.leaves failed: SystemExit: 3 \(.*mine\.py:\d+\)"),
        ("wants", r"mine\.wants cannot be called: missing a required .*'gamma': got 1 bottom$"),
        ("without_facts", r"must both name params and state their shapes; decorate it: @cafx_layer_jax\.facts"),
        ("bad_rule", r"mine\.bad_rule: parameters failed: tuple index out of range"),
        ("count", r"'count' of module 'mine' does not exist: expected a function .*did you mean 'counted'"),
        ("Callable", r"'Callable' of module 'mine' is not a function"),
        ("traces", r"'traces' of module 'mine' is not a function"),
    ],
)
def test_what_a_function_does_wrong_is_told(function: str, told: str) -> None:
    with pytest.raises(CafxError, match=told):
        net(f"mine:{function}")


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (
            "wants",
            "gama=1.0",
            r"layer 'f' \(JAX\): 'gama' is not an option of mine\.wants: expected one of gamma, delta; ",
        ),
        ("wants", "gamma=1.0, key=2", r"'key' is passed by the layer"),
        ("counted", "by=", r'options are not valid: got "by=", expected literals by name'),
        ("counted", "2.0", "options are not valid"),
        ("counted", "by=open('x')", "options are not valid"),
        ("counted", "**{'by': 2}", "options are not valid"),
        ("counted", "by=1)(by=2", "options are not valid"),
        ("counted", "by=1, by=2", "options are not valid"),
        ("counted", "by=" + 3000 * "[", "options are not valid"),
        ("counted", "by=" + 10_000 * "1", "options are too long: got 10003 characters, expected at most 10000"),
    ],
)
def test_what_is_wrong_with_options_is_told(function: str, options: str, told: str) -> None:
    with pytest.raises(CafxError, match=told):
        net(f"mine:{function}", options)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", r"layer 'f' \(JAX\): function is missing: expected jax_param"),
        ("mine", r'function is not the name of one: got "mine", expected a module and a function'),
        ("mine.counted", "function is not the name of one"),
        ("./mine.py:counted", "function is not the name of one"),
        ("mine:counted()", "function is not the name of one"),
        (
            "no_such_module:f",
            r"import of no_such_module:f failed: ModuleNotFoundError.*put 'no_such_module' in the work",
        ),
    ],
)
def test_a_name_that_names_no_function_is_told(name: str, told: str) -> None:
    with pytest.raises(CafxError, match=told):
        net(name)


def test_too_many_bottoms_are_told() -> None:
    with pytest.raises(
        CafxError, match=r"mine\.counted cannot be called: too many positional arguments: got 2 bottoms"
    ):
        run_layer("JAX", [np.ones(3), np.ones(3)], options={"function": "mine:counted"})


LITERALS = st.recursive(
    st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text("abcdefgh_", min_size=1, max_size=5).filter(lambda name: not keyword.iskeyword(name))


@given(st.dictionaries(NAMES, LITERALS, max_size=4))
def test_options_survive_their_text(options: dict[str, Any]) -> None:
    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list) else value

    assert parse_options(options_text(options)) == {name: tuples(value) for name, value in options.items()}


@given(st.text(max_size=40))
def test_no_text_of_options_does_more_than_be_refused(given_text: str) -> None:
    try:
        found = parse_options(given_text)
    except CafxError:
        return
    assert all(isinstance(each, str) for each in found)


def test_equal_functions_are_equal_whatever_made_them() -> None:
    def function(x: Any, *, by: float = 1.0) -> Any:
        return x

    assert Function(function, "by=2", Phase.TEST) == Function(function, "by=2", Phase.TEST)
    assert Function(function, "by=2", Phase.TEST) != Function(function, "by=2", Phase.TRAIN)


def test_jax_is_imported_by_nets_that_use_it_only() -> None:
    code = (
        "import sys, cafx_layer_jax\n"
        "from cafx.kernel import Net, registry, schema\n"
        "registry().load('layer', 'JAX'); schema()\n"
        "assert 'jax' not in sys.modules\n"
        "n = schema().parse_text(sys.argv[1], 'NetParameter')\n"
        "y = Net(n, trust=True).forward(x=[[0, 1, 2]] * 2)['y']\n"
        "assert 'jax' in sys.modules\n"
        "print(y.tolist())"
    )
    command = [sys.executable, "-c", code, text("mine:counted")]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[[0.0, 2.0, 4.0], [0.0, 2.0, 4.0]]\n"


def test_the_command_line_says_what_is_wrong_without_a_traceback() -> None:
    Path("net.prototxt").write_text(text("mine:branches"))
    command = [sys.executable, "-m", "cafx.cli", "net", "net.prototxt", "--trust"]
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "layer 'f' (JAX): mine.branches failed" in " ".join(done.stderr.split())
