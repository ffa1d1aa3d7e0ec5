"""Names that no file can have, too long or with a NUL: refused wherever a file, list or message gives one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cafx.conformance.golden import inside
from cafx.kernel import CafxError, Net, Phase, Solver, schema

NAMES = ["A" * 300, "A" * 5000, "a/" * 3000 + "b", "a\0b", "a\0/b"]
SMALL_NET = """
layer { name: "i" type: "DummyData" top: "d" top: "l" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "l" top: "loss" }
"""
OUTPUT = """
layer { name: "i" type: "DummyData" top: "d" top: "l" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "o" type: "HDF5Output" bottom: "d" bottom: "l" hdf5_output_param { file_name: "NAME" } }
"""
SOURCES = {
    "Data": 'data_param { source: "NAME" backend: LMDB batch_size: 2 }',
    "ImageData": 'image_data_param { source: "NAME" batch_size: 2 }',
    "WindowData": 'window_data_param { source: "NAME" batch_size: 2 } transform_param { crop_size: 6 }',
    "HDF5Data": 'hdf5_data_param { source: "NAME" batch_size: 2 }',
    "RoIData": 'top: "c" roi_data_param { source: "NAME" num_classes: 3 scale: 3 has_rpn: true }',
    "AnnotatedData": 'data_param { source: "NAME" batch_size: 2 }',
}
LISTS = {
    "ImageData": 'image_data_param { source: "list" root_folder: "images" batch_size: 2 }',
    "WindowData": 'window_data_param { source: "list" batch_size: 2 } transform_param { crop_size: 6 }',
    "HDF5Data": 'hdf5_data_param { source: "list" batch_size: 2 }',
}
LINES = {"ImageData": "NAME 1\n", "WindowData": "# 0\nNAME\n3\n16\n20\n1\n3 0.9 2 1 14 12\n", "HDF5Data": "NAME\n"}
SOLVER = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot: 1 '
FIELDS = {
    "net": 'net: "NAME"',
    "weights": 'net: "net.prototxt" weights: "NAME"',
    "snapshot_prefix": 'net: "net.prototxt" snapshot_prefix: "NAME"',
}

pytestmark = pytest.mark.parametrize("name", NAMES, ids=["long", "longer", "deep", "NUL", "NUL in a folder"])


def written(text: str, name: str) -> str:
    """A text that gives a name."""
    return text.replace("NAME", name.replace("\0", "\\000"))


def run(text: str) -> None:
    with Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="numpy") as net:
        net.forward()


@pytest.mark.parametrize(("kind", "options"), SOURCES.items())
def test_sources(kind: str, options: str, name: str) -> None:
    with pytest.raises(CafxError):
        run(written(f'layer {{ name: "x" type: "{kind}" top: "a" top: "b" {options} }}', name))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), LISTS.items())
def test_lists(kind: str, options: str, name: str, tmp_path: Path) -> None:
    with inside(tmp_path):
        Path("list").write_text(LINES[kind].replace("NAME", name))
        with pytest.raises(CafxError):
            run(f'layer {{ name: "x" type: "{kind}" top: "a" top: "b" {options} }}')


def test_outputs(name: str) -> None:
    with pytest.raises(CafxError):
        run(written(OUTPUT, name))


@pytest.mark.parametrize("field", FIELDS)
def test_solvers(field: str, name: str, tmp_path: Path) -> None:
    with inside(tmp_path):
        Path("net.prototxt").write_text(SMALL_NET)
        Path("solver.prototxt").write_text(SOLVER + written(FIELDS[field], name))
        with pytest.raises(CafxError), Solver.load("solver.prototxt", engine="numpy") as solver:
            solver.solve()


def test_weights_of_a_state(name: str, tmp_path: Path) -> None:
    with inside(tmp_path):
        Path("net.prototxt").write_text(SMALL_NET)
        Path("solver.prototxt").write_text(SOLVER + 'net: "net.prototxt"')
        state = schema()["SolverState"](iter=1, learned_net=name)
        Path("x.solverstate").write_bytes(state.SerializeToString())
        with Solver.load("solver.prototxt", engine="numpy") as solver, pytest.raises(CafxError):
            solver.restore("x.solverstate")


def test_nets_and_solvers(name: str) -> None:
    with pytest.raises(CafxError):
        Net(name, Phase.TEST)
    with pytest.raises(CafxError):
        Solver.load(name)
