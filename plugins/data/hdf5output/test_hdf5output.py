"""HDF5Output: its files equal Caffe's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite
from cafx.kernel import TEST, CafxError, Net, registry, schema

TestEpochsOfHDF5Output = plugin_suite("data", "HDF5Output")

TestHDF5Output = layer_suite("HDF5Output")


def build(path: Path, rows: int = 3) -> Net:
    text = f"""
        layer {{ name: "i" type: "Input" top: "y" top: "label"
          input_param {{ shape {{ dim: {rows} dim: 2 dim: 3 }} shape {{ dim: 3 }} }} }}
        layer {{ name: "o" type: "HDF5Output" bottom: "y" bottom: "label"
          hdf5_output_param {{ file_name: "{path}" }} }}"""
    return Net(schema(registry()).parse_text(text, "NetParameter"), TEST, engine="numpy")


def test_the_file_equals_caffes(shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden/formats/data_layers"
    with h5py.File(golden / "a.h5") as source, h5py.File(golden / "hdf5_output.h5") as expected:
        build(tmp_path / "out.h5").forward(y=source["data"][:3] * 2 + 1, label=source["label"][:3])
        with h5py.File(tmp_path / "out.h5") as actual:
            assert set(actual) == set(expected)
            for name in expected:
                assert (actual[name].dtype, actual[name].shape) == (expected[name].dtype, expected[name].shape)
                np.testing.assert_allclose(actual[name][()], expected[name][()], rtol=1e-6)


def test_each_forward_appends_rows_and_a_new_net_overwrites_the_file(tmp_path: Path) -> None:
    for _ in range(2):
        net = build(tmp_path / "out.h5")
        for step in range(3):
            net.forward(y=np.full((3, 2, 3), step), label=np.full(3, step))
        with h5py.File(tmp_path / "out.h5") as file:
            assert file["label"][()].reshape(-1).tolist() == [0] * 3 + [1] * 3 + [2] * 3
            assert file["data"].shape == (9, 2, 3, 1)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="cannot be written"):
        build(tmp_path / "none" / "out.h5")


def test_a_net_that_is_only_built_leaves_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "out.h5").write_text("precious")
    build(tmp_path / "out.h5")
    assert (tmp_path / "out.h5").read_text() == "precious"


FULL = """
import resource, signal, sys
sys.path.insert(0, {here!r})
from pathlib import Path
import numpy as np
from cafx.kernel import CafxError
from test_hdf5output import build
net = build(Path("out.h5"))
net.forward(y=np.ones((3, 2, 3)), label=np.ones(3))
whole = Path("out.h5").read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 500, len(whole) + 500))
try:
    for _ in range(1000):
        whole = Path("out.h5").read_bytes()
        net.forward(y=np.ones((3, 2, 3)), label=np.ones(3))
except CafxError as error:
    print(error)
assert Path("out.h5").read_bytes() == whole
"""


@pytest.mark.slow
def test_a_pass_on_a_full_disk_adds_nothing(tmp_path: Path) -> None:
    code = FULL.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "'out.h5' cannot be written: File too large" in done.stdout
    assert [each.name for each in tmp_path.iterdir()] == ["out.h5"]


def test_bottoms_must_have_the_same_batch_size(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="differ in batch size"):
        build(tmp_path / "out.h5", rows=2)
