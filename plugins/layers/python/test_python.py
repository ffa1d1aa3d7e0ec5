"""Python beyond the conformance suite: users' classes."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Net, Phase, Registry, schema
from cafx_layer_python.reporting import Reporting

TestPython = layer_suite("Python")

USER_MODULE = """
import numpy as np
from cafx_layer_python import UserLayer

class Scaled(UserLayer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data[0] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += (top[0].diff * bottom[0].data).sum()
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data[0] * top[0].diff

class Positive(UserLayer):
    def reshape(self, bottom, top):
        top[0].reshape(max(1, int((bottom[0].data > 0).sum())))

    def forward(self, bottom, top):
        top[0].data[...] = 0
        positive = bottom[0].data[bottom[0].data > 0]
        top[0].data[: len(positive)] = positive

class PhaseAndShape(UserLayer):
    def reshape(self, bottom, top):
        top[0].reshape(7)

    def forward(self, bottom, top):
        x = bottom[0]
        top[0].data[...] = self.phase, x.num, x.channels, x.height, x.width, x.count, len(x.shape)

class Broken(UserLayer):
    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        raise KeyError("nothing here")

class Stopped(Broken):
    def forward(self, bottom, top):
        raise StopIteration

class Exits(Broken):
    def forward(self, bottom, top):
        raise SystemExit(3)

class Interrupted(Broken):
    def forward(self, bottom, top):
        raise KeyboardInterrupt

class Plain:
    pass

def factory(spec):
    open("CALLED", "w").close()
    return Scaled(spec)
"""


@pytest.fixture(autouse=True)
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_layers.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_layers", None)


def net(layer: str, module: str = "my_layers", text: str = "", *, trust: bool = True) -> Net:
    prototxt = f"""
        force_backward: true
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
        layer {{ name: "user" type: "Python" bottom: "x" top: "y"
                 python_param {{ module: "{module}" layer: "{layer}" param_str: "{text}" }} }}
        layer {{ name: "sink" type: "Split" bottom: "y" top: "z" }}
    """
    return Net(schema().parse_text(prototxt, "NetParameter"), Phase.TEST, engine="numpy", trust=trust)


def test_a_class_from_the_working_directory_has_parameters_and_gradients() -> None:
    x = np.arange(6.0).reshape(2, 3)
    built = net("Scaled", text="3")
    np.testing.assert_array_equal(built.forward(x=x)["z"], 3 * x)
    np.testing.assert_array_equal(built.backward(z=np.ones((2, 3)))["x"], np.full((2, 3), 3.0))
    assert built.params["user"][0].diff == [15]


def test_shapes_may_depend_on_values() -> None:
    built = net("Positive")
    assert built.forward(x=np.array([[1, -1, 2], [3, -4, -5]]))["z"].tolist() == [1, 2, 3]
    assert built.forward(x=np.array([[-1, -1, 2], [-3, -4, 5]]))["z"].tolist() == [2, 5]


def test_the_class_knows_its_phase_and_the_lengths_of_four_axes() -> None:
    assert net("PhaseAndShape").forward(x=np.zeros((2, 3)))["z"].tolist() == [1, 2, 3, 1, 1, 6, 2]


def test_an_error_in_the_class_names_layer_and_line_and_keeps_its_traceback() -> None:
    with pytest.raises(CafxError, match=r"layer 'user' \(Python\).*KeyError.*my_layers\.py:\d+") as caught:
        net("Broken").forward(x=np.zeros((2, 3)))
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__cause__.__traceback__ is not None


def test_an_error_in_setup_keeps_its_cause() -> None:
    with pytest.raises(CafxError, match="could not convert") as caught:
        net("Scaled", text="three")
    assert isinstance(caught.value.__cause__, ValueError)


def test_stop_iteration_is_an_error_too() -> None:
    with pytest.raises(CafxError, match=r"layer 'user' \(Python\): forward of .*Stopped failed: StopIter"):
        net("Stopped").forward(x=np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("my_layers.py", 'write module: "my_layers"$'),
        ("./my_layers", 'write module: "my_layers"$'),
        ("parts/my_layers.py", 'write module: "parts.my_layers"$'),
        ("../parts/my_layers.py", "write module: \"my_layers\", and add '../parts' to PYTHONPATH"),
        ("/srv/parts/my_layers.py", "write module: \"my_layers\", and add '/srv/parts' to PYTHONPATH"),
    ],
)
def test_a_path_in_place_of_a_module_is_told(module: str, remedy: str) -> None:
    with pytest.raises(CafxError, match=f"without folder and .py: got .*; {remedy}"):
        net("Scaled", module)


@pytest.mark.parametrize("setting", [None, "0", ""])
def test_without_trust_the_module_is_not_imported(setting: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAFX_TRUST", raising=False)
    if setting is not None:
        monkeypatch.setenv("CAFX_TRUST", setting)
    Path("my_layers.py").write_text("open('IMPORTED', 'w').close()")
    told = r"layer 'user' \(Python\): not loaded: Python layer 'my_layers.Scaled' \(use --trust, trust=True or CAFX_T"
    with pytest.raises(CafxError, match=told):
        net("Scaled", trust=False)
    assert "my_layers" not in sys.modules
    assert not Path("IMPORTED").exists()


def test_the_environment_may_say_that_nets_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFX_TRUST", "1")
    assert net("Scaled", text="3", trust=False).forward(x=np.ones((2, 3)))["z"].tolist() == [[3.0] * 3] * 2


def test_an_exit_of_the_class_or_its_module_is_an_error() -> None:
    with pytest.raises(CafxError, match=r"forward of my_layers\.Exits failed: SystemExit: 3 \(.*my_layers\.py:\d+"):
        net("Exits").forward(x=np.zeros((2, 3)))
    Path("leaving.py").write_text("import sys\nsys.exit('no more')")
    with pytest.raises(CafxError, match=r"import of leaving\.Exits failed: SystemExit: no more"):
        net("Exits", "leaving")


def test_ctrl_c_in_the_class_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        net("Interrupted").forward(x=np.zeros((2, 3)))


@pytest.mark.parametrize(("module", "name"), [("my_layers", "factory"), ("os", "abort"), ("builtins", "dict")])
def test_nothing_but_a_layer_class_is_called(module: str, name: str) -> None:
    with pytest.raises(CafxError, match=f"'{name}' of module '{module}' is not a layer"):
        net(name, module)
    assert not Path("CALLED").exists()


def test_a_class_that_is_no_layer_is_told() -> None:
    with pytest.raises(CafxError, match=r"'Plain' of module 'my_layers' is not a layer: expected a subclass of caffe"):
        net("Plain")
    with pytest.raises(CafxError, match=r"no such class: got layer: 'scaled'.*Scaled.*did you mean 'Scaled'"):
        net("scaled")


@pytest.mark.parametrize(("layer", "module"), [("Nothing", "my_layers"), ("Scaled", "no_such_module")])
def test_an_unknown_class_or_module_is_refused(layer: str, module: str) -> None:
    with pytest.raises(CafxError, match=f"{module}.*|{layer}"):
        net(layer, module)


def test_the_example_class_multiplies() -> None:
    options = {"module": "cafx_layer_python", "layer": "Times", "param_str": "2"}
    run = run_layer("Python", [np.ones((2, 2))], options=options, top_diffs=[np.ones((2, 2))])
    np.testing.assert_array_equal(run.tops[0], np.full((2, 2), 2))
    np.testing.assert_array_equal(run.bottom_diffs[0], np.full((2, 2), 2))


@pytest.mark.parametrize(
    ("hint", "remedy"),
    [(None, "or install no_such_module"), ("pip install x", "or let layers of cafx replace it: pip install x")],
)
def test_a_missing_module_is_told_with_what_replaces_it(
    monkeypatch: pytest.MonkeyPatch, hint: str | None, remedy: str
) -> None:
    class Hints:
        def remedy(self, kind: str, name: str, known: object) -> str | None:
            assert (kind, name) == ("module", "no_such_module")
            return hint

    monkeypatch.setattr(Registry, "hints", lambda _: Hints())
    with pytest.raises(CafxError) as caught, Reporting("layer 'a'", "import of no_such_module.A"):
        importlib.import_module("no_such_module")
    assert str(caught.value).endswith(f"put 'no_such_module' in the working directory or on PYTHONPATH, {remedy}")
