"""HDF5 files written by Caffe are read, and written identically."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import h5py
import numpy as np
import pytest

from cafx.conformance import Subject, load_checks, plugin_suite
from cafx.kernel import CafxError, registry, schema
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, TrainingState, format_of, read_weights

TestHDF5 = plugin_suite("format", "HDF5")


@pytest.mark.long
@pytest.mark.parametrize("check", ["truncated", "changed"])
def test_no_byte_of_a_file_is_left_out(check: str) -> None:
    subject = Subject.of("HDF5", kind="format")
    load_checks("format")[check].run(subject, attrs.evolve(subject.cases[0], positions=1 << 20))


@pytest.fixture
def models(shared: Path) -> Path:
    """The folder of Caffe's own weights and states."""
    return shared / "golden" / "formats" / "models"


def writer() -> Any:
    return registry().load("format", "HDF5")(registry())


def contents(path: Path) -> dict[str, Any]:
    items: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, each: items.update({name: each[()] if isinstance(each, h5py.Dataset) else None}))
    return items


def require_same(actual: Path, expected: Path) -> None:
    one, two = contents(actual), contents(expected)
    assert one.keys() == two.keys()
    for name, value in two.items():
        assert getattr(one[name], "dtype", None) == getattr(value, "dtype", None), name
        np.testing.assert_array_equal(one[name], value)


@pytest.mark.parametrize("name", ["net", "sgd_hdf5_iter_3", "adam_hdf5_iter_3", "adadelta_hdf5_iter_3"])
def test_writing_caffes_weights_again_gives_the_same_file(name: str, models: Path, tmp_path: Path) -> None:
    path = models / f"{name}.caffemodel.h5"
    layers = read_weights(path, registry())
    net = schema(registry())["NetParameter"]()
    for layer in layers:
        net.layer.add(name=layer.name)
    writer().write_weights(tmp_path / "copy.h5", net, layers)
    require_same(tmp_path / "copy.h5", path)
    if name == "net":
        with np.load(models / "net.npz") as arrays:
            for layer in layers:
                for index, blob in enumerate(layer.blobs):
                    expected = arrays[f"param/{layer.name}/{index}"]
                    np.testing.assert_array_equal(blob.data.reshape(blob.shape), expected)


def test_writing_caffes_states_again_gives_the_same_files(models: Path, tmp_path: Path) -> None:
    paths = sorted(models.glob("*.solverstate.h5"))
    assert paths
    for path in paths:
        state = format_of(path, registry()).read_state(path)
        assert state.iter == 3
        writer().write_state(tmp_path / path.name, state)
        require_same(tmp_path / path.name, path)


def test_a_shared_parameter_is_stored_once_and_names_may_have_slashes(tmp_path: Path) -> None:
    net = schema(registry())["NetParameter"]()
    layers = []
    for name in ("a/one", "a/two", "a", "last"):
        proto = net.layer.add(name=name)
        proto.param.add(name="w")
        proto.param.add()
        blobs = [BlobValues((2, 3), np.arange(6, dtype="f4")), BlobValues((2,), np.ones(2, "f4"), np.zeros(2, "f4"))]
        layers.append(LayerWeights(name, blobs if name != "last" else []))
    writer().write_weights(tmp_path / "w.h5", net, layers)
    read = {layer.name: [blob.shape for blob in layer.blobs] for layer in read_weights(tmp_path / "w.h5", registry())}
    assert read == {"a/one": [(2, 3), (2,)], "a/two": [ABSENT, (2,)], "a": [ABSENT, (2,)], "last": []}


def test_an_exact_state_survives_a_round_trip(tmp_path: Path) -> None:
    exact = {"losses": [1.5], "nets": [{"streams": {"seed": 2**62, "streams": {}}, "layers": {}}]}
    state = TrainingState(7, "ünder/way.caffemodel.h5", [BlobValues((2,), np.ones(2, "f4"))], 2, exact)
    writer().write_state(tmp_path / "s.h5", state)
    read = writer().read_state(tmp_path / "s.h5")
    assert (read.iter, read.learned_net, read.current_step, read.exact) == (7, state.learned_net, 2, exact)


def test_truncated_files_and_other_files_are_rejected(tmp_path: Path) -> None:
    complete = tmp_path / "w.h5"
    net = schema(registry())["NetParameter"]()
    net.layer.add(name="a")
    writer().write_weights(complete, net, [LayerWeights("a", [BlobValues((900,), np.ones(900, "f4"))])])
    data = complete.read_bytes()
    for size in (8, 100, 1000, len(data) - 10):
        truncated = tmp_path / "truncated.h5"
        truncated.write_bytes(data[:size])
        with pytest.raises(CafxError, match="not a complete"):
            writer().read_weights(truncated)
        with pytest.raises(CafxError, match="not a complete"):
            writer().read_state(truncated)
    with pytest.raises(CafxError, match="is not a solverstate: got a caffemodel"):
        writer().read_state(complete)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from cafx.kernel import CafxError, registry
from cafx.kernel.net import BlobValues, TrainingState
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
state = TrainingState(3, "net", [BlobValues((5000,), np.zeros(5000, np.float32))] * 3)
try:
    registry().load("format", "HDF5")(registry()).write_state(Path("state.h5"), state)
except CafxError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_reported_and_leaves_no_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("state.h5: cannot be written: File too large")
    assert not list(tmp_path.iterdir())
