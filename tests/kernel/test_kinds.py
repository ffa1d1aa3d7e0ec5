"""A file of another kind is recognised by its content, wherever it stands."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import CafxError, Net, UnknownNameError, registry, schema
from cafx.kernel.files import kind_of_file, sniff
from cafx.kernel.net import format_of, read_weights
from cafx.kernel.training import Solver
from cafx_format_binaryproto import read_binaryproto, write_binaryproto
from cafx_lib_feed.database import open_database

NET_TEXT = """name: "tiny"  # a net with a solver's word: base_lr: 1
layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 4 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" }
"""


def _numpy(save: object, array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    save(buffer, array)  # type: ignore[operator]
    return buffer.getvalue()


def _torch() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", b"")
    return buffer.getvalue()


ONNX = b"\x08\x07\x12\x07pytorch\x1a\x031.9:\x05\n\x03abc"
OTHERS = {
    "a label map": b'item {\n  name: "none_of_the_above"\n  label: 0\n}\n',
    "a web page": b"\n\n<!DOCTYPE html>\n<html></html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "a file of NumPy arrays": _numpy(np.save, np.zeros((3, 2))),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "an ONNX model": ONNX,
    "a file of PyTorch": _torch(),
    "a Python pickle": pickle.dumps({"weight": 1}),
    "a compressed archive": b"\x1f\x8b\x08\0" + bytes(20),
    "a Python file": b"import caffe\n\nnet = caffe.Net()\n",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each kind that training makes, and the others."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "net.prototxt").write_text(NET_TEXT)
    net = folder / "net.prototxt"
    solver = folder / "solver.prototxt"
    solver.write_text(f'# trains\nnet: "{net}" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot: 1\n')
    with Solver.load(solver, engine="numpy") as training:
        training.solve()
    write_binaryproto(folder / "mean.binaryproto", np.ones((1, 3, 2, 2), np.float32))
    for name, content in OTHERS.items():
        (folder / name).write_bytes(content)
    (folder / "lmdb").mkdir()
    (folder / "lmdb" / "data.mdb").touch()
    return folder


STEM = "solver_iter_1"
NAMES = {
    "net.prototxt": "the prototxt of a net",
    "solver.prototxt": "the prototxt of a solver",
    f"{STEM}.caffemodel": "a caffemodel",
    f"{STEM}.solverstate": "a solverstate",
    "mean.binaryproto": "a binaryproto",
    "lmdb": "an LMDB database",
} | {name: name for name in OTHERS}


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_content_is_recognised(files: Path, name: str, kind: str) -> None:
    found = kind_of_file(files / name)
    assert found is not None
    assert found.name.startswith(kind)


@pytest.mark.parametrize("text", ["", "images/a.png 1\nBMW.png 2\n", "a plain text: with colons\n", "{'a': 1}"])
def test_other_texts_are_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "text").write_text(text)
    found = kind_of_file(tmp_path / "text")
    assert found is None or found.name == "an empty file"


def test_a_long_file_of_a_solver_with_its_net_inside_is_a_solver() -> None:
    inner = 'net_param {\n layer { name: "a" }\n' + ' layer { name: "b" }\n' * 500
    assert sniff(inner.encode()[:4096]) == sniff(b"base_lr: 1") == "the prototxt of a solver"


WANTED = {
    "weights": (lambda path: read_weights(path, registry()), {"a caffemodel", "an HDF5 file"}),
    "state": (lambda path: format_of(path, registry()).read_state(path), {"a solverstate", "an HDF5 file"}),
    "mean": (read_binaryproto, {"a binaryproto"}),
    "net": (lambda path: Net(path, engine="numpy"), {"the prototxt of a net"}),
    "solver": (Solver.load, {"the prototxt of a solver"}),
    "database": (open_database, {"an LMDB database"}),
}


@pytest.mark.parametrize("place", WANTED)
@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_the_error_names_what_stands_there(files: Path, name: str, kind: str, place: str) -> None:
    read, right = WANTED[place]
    if kind in right or (name == "lmdb" and place in ("weights", "state", "mean", "net", "solver")):
        return
    with pytest.raises(CafxError) as caught:
        read(files / name)
    assert str(files / name) in str(caught.value)
    assert f"got {kind}" in str(caught.value)
    assert caught.value.remedy or name == "a Python file"


def test_a_snapshot_s_other_file_is_named(files: Path) -> None:
    weights, state = files / f"{STEM}.caffemodel", files / f"{STEM}.solverstate"
    with pytest.raises(CafxError, match=f"name a solverstate, such as {state}$"):
        format_of(weights, registry()).read_state(weights)
    with pytest.raises(CafxError, match=f"name a caffemodel, such as {weights}$"):
        read_weights(state, registry())


def test_a_net_in_place_of_a_solver_is_told_apart_from_a_misspelt_field(files: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="is not the prototxt of a solver: got the prototxt of a net"):
        Solver.load(files / "net.prototxt")
    misspelt = tmp_path / "solver.prototxt"
    misspelt.write_text("base_lr: 0.1 momentun: 0.9")
    with pytest.raises(UnknownNameError, match="no field 'momentun'; did you mean 'momentum'"):
        Solver.load(misspelt)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_skipped(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "net.prototxt").write_text(NET_TEXT, encoding)
    with Net(tmp_path / "net.prototxt", engine="numpy") as net:
        assert net.layer_names == ["d", "ip", "ip_ip_0_split", "loss"]


@pytest.mark.parametrize(
    ("path", "shown", "remedy"),
    [
        ("D:\new\train.prototxt", r"D:\new\train.prototxt", "a backslash begins an escape"),
        ("D:\\data\\net.prototxt", r"D:\data\net.prototxt", "separated by /"),
        ("none.prototxt", "none.prototxt", "check the path"),
    ],
)
def test_backslashes_of_a_path_are_explained(path: str, shown: str, remedy: str) -> None:
    for read in (lambda: schema().read_text(path, "NetParameter"), lambda: open_database(path)):
        with pytest.raises(CafxError) as caught:
            read()
        assert shown in str(caught.value)
        assert "\n" not in str(caught.value)
        assert remedy in str(caught.value)
