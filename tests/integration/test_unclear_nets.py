"""Nets and solvers that Caffe accepts in silence, or refuses without a reason, are explained."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cafx.conformance.nets import net_of_text
from cafx.kernel import CafxError, Net, schema
from cafx.kernel.training import Solver

DATA = 'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 3 } } }'
TARGET = 'layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: 4 dim: 2 } } }'
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "loss" }'


def product(param: str = "") -> str:
    return f"""layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "ip" {param}
      inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}"""


def solver_of(net: str, options: str = "base_lr: 0.1") -> Solver:
    text = f'{options} lr_policy: "fixed" max_iter: 1 snapshot_after_train: false net_param {{ {net} }}'
    return Solver(schema().parse_text(text, "SolverParameter"), engine="numpy")


PYTHON_LOSS = """layer { name: "mine" type: "Python" bottom: "ip" top: "mine"
  python_param { module: "cafx_layer_python" layer: "Times" } }"""
SUM = 'layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" }'


@pytest.mark.parametrize(
    ("net", "options", "reason"),
    [
        (DATA + TARGET + product("param { lr_mult: 0 } param { lr_mult: 0 }") + LOSS, "base_lr: 0.1", "lr_mult is 0"),
        (DATA + product() + PYTHON_LOSS, "base_lr: 0.1", "no loss; add a loss layer, or loss_weight: 1"),
        (DATA + product() + SUM, "base_lr: 0.1", "perhaps 'sum'"),
        (DATA + TARGET + product() + LOSS, "", "base_lr is not set"),
        (DATA + TARGET + product() + LOSS, "base_lr: 0", "base_lr is 0"),
        (DATA + TARGET + LOSS.replace('"ip"', '"t"'), "base_lr: 0.1", "no parameters"),
        (
            DATA
            + TARGET
            + product()
            + LOSS.replace("bottom:", "propagate_down: false propagate_down: false bottom:", 1),
            "base_lr: 0.1",
            "leads to the loss",
        ),
    ],
)
def test_one_warning_says_that_nothing_would_be_learned(
    net: str, options: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with solver_of(net, options) as solver:
        solver.step()
        solver.step()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("nothing will be learned: ")
    assert reason in warnings[0]


def test_no_warning_where_something_is_learned(caplog: pytest.LogCaptureFixture) -> None:
    with solver_of(DATA + TARGET + product("param { lr_mult: 0 }") + LOSS) as solver:
        solver.step()
    with solver_of(DATA + product() + PYTHON_LOSS.replace("python_param", "loss_weight: 1 python_param")) as solver:
        solver.step()
    assert caplog.records == []


def test_options_in_the_message_of_another_type_are_named(caplog: pytest.LogCaptureFixture) -> None:
    text = 'layer { name: "c" type: "Convolution" bottom: "x" top: "c" inner_product_param { num_output: 3 } }'
    with pytest.raises(CafxError):
        net_of_text(DATA + text)
    assert "layer 'c' (Convolution) does not read inner_product_param, only convolution_param" in caplog.text
    caplog.clear()
    net_of_text(DATA + product("transform_param { scale: 2 }")).close()
    assert caplog.text == ""


@pytest.mark.parametrize("fields", ['input: "data"', 'input: "other" input: "data"'])
def test_an_input_without_a_shape_is_told_so(fields: str) -> None:
    with pytest.raises(CafxError, match=r"unknown bottom blob 'data'.*input 'data' has no shape: write input_shape"):
        net_of_text(f'{fields} layer {{ name: "r" type: "ReLU" bottom: "data" top: "y" }}')


def test_eltwise_in_place_is_refused_with_the_reason() -> None:
    text = (
        TARGET + TARGET.replace('"t"', '"u"') + 'layer { name: "e" type: "Eltwise" bottom: "t" bottom: "u" top: "t" }'
    )
    with pytest.raises(CafxError, match=r"'e' \(Eltwise\): cannot work in place: .*ignores that bottom.*another name"):
        net_of_text(text)


def test_stepping_needs_no_folder_for_snapshots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").touch()
    net = DATA + TARGET + product() + LOSS
    text = f'base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "none/x" net_param {{ {net} }}'
    with Solver(schema().parse_text(text, "SolverParameter"), engine="numpy") as solver:
        solver.step(2)
        solver.net.save("mine.caffemodel")
        with pytest.raises(CafxError, match=r"cannot be written to 'none'"):
            solver.solve()
        assert solver.iter == 2
    with pytest.raises(CafxError, match=r"cannot be written to 'none'"):
        Solver(schema().parse_text("snapshot: 5 " + text, "SolverParameter"), engine="numpy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.caffemodel", "none"]


def test_the_folders_of_snapshots_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = DATA + TARGET + product() + LOSS
    for prefix, made in (
        ("new/deep/x", "new/deep/x_iter_1.caffemodel"),
        ("folder/", "folder/snapshot_iter_1.caffemodel"),
    ):
        text = (
            f'base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot: 1 snapshot_prefix: "{prefix}" net_param {{ {net} }}'
        )
        with Solver(schema().parse_text(text, "SolverParameter"), engine="numpy") as solver:
            solver.solve()
        assert (tmp_path / made).is_file()


CASES = {
    "016_h5_named_as_source": None,
    "019_missing_brace": "layer 'c' at line 2 seems not closed",
    "028_convolution_with_inner_product_param": "kernel_size",
    "031_windows_paths/a": "each backslash twice",
    "031_windows_paths/b": "a backslash begins an escape",
    "031_windows_paths/c": "separated by /",
}


@pytest.mark.parametrize(("case", "phrase"), CASES.items())
def test_the_shared_cases(shared: Path, case: str, phrase: str | None) -> None:
    path = shared / "cases" / (f"{case}.prototxt" if "/" in case else f"{case}/net.prototxt")
    if not path.is_file():
        pytest.skip(f"not there: {path}")
    with pytest.raises(CafxError, match=phrase):
        Net(path, engine="numpy")
