"""``cafx upgrade`` on text and binary, nets and solvers."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cafx.kernel import CafxError, schema
from cafx_command_upgrade import upgrade

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
