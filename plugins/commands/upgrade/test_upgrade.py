"""``cafx upgrade`` on text and binary, nets and solvers."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, Net, registry, schema
from cafx_command_upgrade import upgrade
from cafx_command_upgrade.bvlc import caffe_schema

TestUpgrade = plugin_suite("command", "upgrade")

OLD_NET = """
name: "old"
input: "data" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "relu" type: RELU bottom: "data" top: "relu" }
"""


def test_a_net_is_printed(tmp_path: Path) -> None:
    (tmp_path / "old.prototxt").write_text(OLD_NET)
    result = CliRunner().invoke(upgrade, [str(tmp_path / "old.prototxt")], catch_exceptions=False)
    net = schema().parse_text(result.stdout, "NetParameter")
    assert [layer.type for layer in net.layer] == ["Input", "ReLU"]
    assert not net.layers
    assert "upgraded" in result.stderr


def test_a_current_net_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "new.prototxt").write_text('# a comment: here\nname: "new"\nlayer { name: "a" type: "ReLU" }')
    out = tmp_path / "out.prototxt"
    result = CliRunner().invoke(upgrade, [str(tmp_path / "new.prototxt"), str(out)], catch_exceptions=False)
    assert schema().read_text(out, "NetParameter").layer[0].type == "ReLU"
    assert "already" in result.stderr


def test_the_type_of_a_solver_is_upgraded(tmp_path: Path) -> None:
    (tmp_path / "solver.prototxt").write_text('# old\nnet: "x.prototxt"\nsolver_type: ADAGRAD\n')
    out = tmp_path / "out.prototxt"
    CliRunner().invoke(upgrade, [str(tmp_path / "solver.prototxt"), str(out)], catch_exceptions=False)
    assert schema().read_text(out, "SolverParameter").type == "AdaGrad"


def test_binary_stays_binary(tmp_path: Path) -> None:
    old = schema().parse_text(OLD_NET, "NetParameter")
    old.layers[0].blobs.add(data=[1, 2])
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    out = tmp_path / "new.caffemodel"
    CliRunner().invoke(upgrade, [str(tmp_path / "old.caffemodel"), str(out)], catch_exceptions=False)
    new = schema().parse_bytes(out.read_bytes(), "NetParameter")
    assert list(new.layer[1].blobs[0].data) == [1, 2]


def test_binary_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "old.caffemodel").write_bytes(schema().parse_text(OLD_NET, "NetParameter").SerializeToString())
    result = CliRunner().invoke(upgrade, [str(tmp_path / "old.caffemodel")])
    assert result.exit_code == 2
    assert "name an output file" in result.output


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"<html>not found</html>", b"version https://git-lfs"])
def test_other_files_are_refused_without_output(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd").write_bytes(content)
    result = CliRunner().invoke(upgrade, [str(tmp_path / "odd"), str(tmp_path / "out")])
    assert isinstance(result.exception, CafxError)
    assert not (tmp_path / "out").exists()


V0_NET = 'layers { layer { name: "abcde" type: "relu0" } bottom: "data0" top: "top00" }'
NEW_NET = 'name: "net00" layer { name: "abcde" type: "ReLU0" bottom: "data0" top: "top00" }'


@pytest.mark.parametrize(
    ("net", "text"),
    [
        *((V0_NET, text) for text in ("abcde", "relu0", "data0", "top00")),
        *((NEW_NET, text) for text in ("net00", "abcde", "ReLU0", "data0", "top00")),
        (OLD_NET.replace('"relu"', '"relu0"'), "relu0"),
    ],
)
def test_a_binary_whose_text_is_not_utf_8_is_refused(tmp_path: Path, net: str, text: str) -> None:
    content = schema().parse_text(net, "NetParameter").SerializeToString()
    damaged = text.encode()[:1] + b"\xe4" + text.encode()[2:]
    assert text.encode() in content
    (tmp_path / "old.caffemodel").write_bytes(content.replace(text.encode(), damaged))
    result = CliRunner().invoke(upgrade, [str(tmp_path / "old.caffemodel"), str(tmp_path / "new.caffemodel")])
    assert isinstance(result.exception, CafxError)
    assert f"not UTF-8: got {damaged!r}" in str(result.exception)
    assert not (tmp_path / "new.caffemodel").exists()


FORK = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 9 dim: 9 } } }
layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { kernel_size: 2 stride: 2 ceil_mode: false } }
layer { name: "d" type: "ConvolutionDepthwise" bottom: "p" top: "d"
  convolution_param { num_output: 7 kernel_size: 3 pad: 1 stride: 1 } }
layer { name: "r" type: "ReLU6" bottom: "d" top: "d" }
"""


@pytest.fixture
def forked(tmp_path: Path) -> Path:
    """A net of forks' fields and layers, if these are installed."""
    missing = {"ConvolutionDepthwise", "ReLU6"} - set(registry().names("layer"))
    if missing or "common" not in registry().names("dialect"):
        pytest.skip("needs the layers of forks")
    path = tmp_path / "fork.prototxt"
    path.write_text(FORK)
    return path


@pytest.mark.slow
def test_a_fork_s_net_becomes_bvlc_s(forked: Path) -> None:
    out = forked.with_name("plain.prototxt")
    result = CliRunner().invoke(upgrade, ["--to", "bvlc", str(forked), str(out)], catch_exceptions=False)
    assert "upgraded" in result.stderr
    plain = caffe_schema().read_text(out, "NetParameter")
    assert [layer.type for layer in plain.layer] == ["Input", "Pooling", "Convolution", "Clip"]
    assert plain.layer[1].pooling_param.round_mode == 1
    assert (plain.layer[2].convolution_param.num_output, plain.layer[2].convolution_param.group) == (4, 4)
    values = np.random.default_rng(0).normal(size=(1, 4, 9, 9))
    with Net(forked, seed=1) as old, Net(out, seed=1) as new:
        new.copy_from(old)
        np.testing.assert_allclose(old.forward(x=values)["d"], new.forward(x=values)["d"], rtol=1e-5)


def test_what_bvlc_lacks_is_listed_and_nothing_is_written(forked: Path) -> None:
    forked.write_text(
        FORK
        + 'layer { name: "s" type: "ReLU6" bottom: "d" top: "s" relu6_param { negative_slope: 0.1 } }'
        + 'layer { name: "m" type: "Dropout" bottom: "s" top: "m" dropout_param { sample_weights_test: true } }'
    )
    out = forked.with_name("plain.prototxt")
    with pytest.raises(CafxError) as caught:
        CliRunner().invoke(upgrade, ["--to", "bvlc", str(forked), str(out)], catch_exceptions=False)
    for phrase in ("layer 's': ReLU6 with a negative slope", "DropoutParameter has no field 'sample_weights_test'"):
        assert phrase in str(caught.value)
    assert not out.exists()


def test_a_dialect_that_is_not_installed_is_refused(forked: Path) -> None:
    with pytest.raises(CafxError, match="comon"):
        CliRunner().invoke(upgrade, ["--dialect", "comon", str(forked)], catch_exceptions=False)
