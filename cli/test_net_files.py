"""What the command line says of a net.py: lines of errors, layers that it defines, options of third parties."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cafx.cli.changes import apply_changes
from cafx.cli.emit import emit
from cafx.cli.net import net
from cafx.dsl import SolverSpec
from cafx.kernel import CafxError, Message, Policy, message, option, registry

NET = """
import cafx.dsl
from cafx.dsl import NetSpec, SolverSpec, layers as L
from cafx.kernel import NeuronLayer

@cafx.dsl.layer
class Twice(NeuronLayer):
    '''y = 2 x.'''
    def forward(self, bottom, top):
        top[0].mutable_data[...] = 2 * bottom[0].data

net = NetSpec("local")
net.x = L.Input(shape=[2, 3])
net.y = L.Twice(net.x)
"""


@message("warmup_param", of="SolverParameter")
class WarmupParameter(Message):
    """Options of warmup."""

    warmup: int = option(1, "int32", 100, doc="iterations until base_lr is reached")


class Warmup(Policy):
    """rate = base_lr · min(1, (iteration + 1) / warmup)."""

    Parameter = WarmupParameter


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "net.py").write_text(NET)
    yield tmp_path / "net.py"
    registry().remove("layer", "Twice")


def test_emit_says_which_file_the_prototxt_needs(file: Path) -> None:
    result = CliRunner().invoke(emit, ["net.py"])
    assert result.exit_code == 0
    assert result.stderr.startswith("note: layer type 'Twice' is defined in net.py, which the prototxt needs")
    assert "note" not in result.stdout
    assert "cafx_place" not in result.stdout


def test_an_error_of_the_net_names_the_line(file: Path) -> None:
    file.write_text(NET + "net.bad = L.EuclideanLoss(net.x, L.Input(shape=[2, 4]))\n")
    line = len(NET.splitlines()) + 1
    with pytest.raises(CafxError, match=rf"^net\.py:{line}: layer 'bad' \(EuclideanLoss\)"):
        CliRunner().invoke(net, ["net.py", "--engine", "numpy"], catch_exceptions=False)


def test_an_option_of_a_policy_is_changed_with_and_without_its_message() -> None:
    registry().add("policy", "warmup", Warmup)
    try:
        solver = SolverSpec(lr_policy="warmup", warmup=5).to_proto()
        assert apply_changes(solver, ["warmup=7"]).warmup_param.warmup == 7
        assert apply_changes(solver, ["warmup_param.warmup=8"]).warmup_param.warmup == 8
        with pytest.raises(CafxError, match="the solver has no field 'warmip'"):
            apply_changes(solver, ["warmip=7"])
    finally:
        registry().remove("policy", "warmup")
