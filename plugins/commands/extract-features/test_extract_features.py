"""extract-features: databases equal to Caffe's, and HDF5 files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.conformance.golden import inside
from cafx.kernel import TEST, CafxError, Net, schema
from cafx_command_extract_features import extract_features
from cafx_lib_feed import samples
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader

TestExtractFeatures = plugin_suite("command", "extract-features")

FORMATS = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[4] / "shared")) / "golden/formats"
NET = ("features/net.caffemodel", "features/net.prototxt")
WRAPPING = """
layer {{ name: "d" type: "{type}" top: "data" top: "label" {options} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 2 }} }}
"""
needs_golden = pytest.mark.skipif(not FORMATS.is_dir(), reason=f"no golden data in {FORMATS}")


def run(*arguments: Any, folder: Path = FORMATS) -> str:
    with inside(folder):
        result = CliRunner().invoke(extract_features, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def contents(path: Path) -> dict[bytes, Any]:
    reader = DatumReader()
    with open_database(path) as database:
        return {key: reader.read(key, value).pixels.copy() for key, value in database.items()}


@needs_golden
@pytest.mark.parametrize(("backend", "names", "batches"), [("lmdb", ("conv1", "fc"), 3), ("leveldb", ("fc",), 2)])
def test_features_equal_those_of_caffe(backend: str, names: tuple[str, ...], batches: int, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}_{backend}" for name in names]
    run(*NET, ",".join(names), ",".join(map(str, paths)), batches, "--backend", backend)
    for path in paths:
        actual, expected = contents(path), contents(FORMATS / "features" / path.name)
        assert list(actual) == list(expected)
        for key, values in expected.items():
            np.testing.assert_allclose(actual[key], values, rtol=1e-4, atol=1e-5)


@needs_golden
def test_the_dataset_in_hdf5_is_named_after_the_blob(tmp_path: Path) -> None:
    run(*NET, "fc", tmp_path / "fc.h5", 2, "--backend", "hdf5")
    with h5py.File(tmp_path / "fc.h5") as file:
        assert file["fc"].shape == (8, 5)


@needs_golden
def test_an_unknown_blob_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="no blob 'none'"):
        run(*NET, "none", tmp_path / "out", 1)


@needs_golden
@pytest.mark.parametrize("backend", ["lmdb", "leveldb", "hdf5"])
def test_an_error_leaves_no_partial_output(backend: str, tmp_path: Path, monkeypatch: Any) -> None:
    batches = iter(range(2))

    def forward(net: Net) -> dict[str, float]:
        if next(batches, None) is None:
            raise CafxError("the disk is gone")
        return original(net)

    original = Net.run_forward
    monkeypatch.setattr(Net, "run_forward", forward)
    with pytest.raises(CafxError, match="the disk is gone"):
        run(*NET, "fc", tmp_path / "out", 5, "--backend", backend)
    assert not (tmp_path / "out").exists()


KILLED = """
import os
from cafx.kernel import Net
from cafx_command_extract_features import extract_features
forward, passes = Net.run_forward, iter(range(2))
def killed(net):
    if next(passes, None) is None:
        os.kill(os.getpid(), 9)
    return forward(net)
Net.run_forward = killed
extract_features({arguments!r})
"""


@pytest.mark.slow
@needs_golden
@pytest.mark.parametrize("backend", ["lmdb", "leveldb", "hdf5"])
def test_a_run_that_is_killed_leaves_nothing_under_the_output_s_name(backend: str, tmp_path: Path) -> None:
    code = KILLED.format(arguments=[*NET, "fc", str(tmp_path / "out"), "5", "--backend", backend])
    done = subprocess.run([sys.executable, "-c", code], cwd=FORMATS, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [each.suffix for each in tmp_path.iterdir()] == [".part"]


FULL = """
import resource, signal, sys
from cafx.cli.main import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(run(["extract-features", *{arguments!r}]))
"""


@pytest.mark.slow
@needs_golden
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    code = FULL.format(arguments=[*NET, "conv1", str(tmp_path / "out.h5"), "3", "--backend", "hdf5"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FORMATS, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "out.h5: cannot be written: File too large" in done.stderr
    assert not list(tmp_path.iterdir())


SOURCES = [
    ("Data", 'data_param {{ source: "{}" batch_size: 2 backend: LMDB }}', samples.database),
    ("ImageData", 'image_data_param {{ source: "{0}" root_folder: "{0}/../" batch_size: 2 }}', samples.image_list),
]


@pytest.mark.parametrize("backend", ["lmdb", "hdf5"])
@pytest.mark.parametrize(("kind", "options", "source"), SOURCES, ids=["Data", "ImageData"])
@pytest.mark.parametrize(("batches", "wraps"), [(2, False), (3, True)])
def test_a_source_that_begins_again_is_told(
    kind: str, options: str, source: Any, batches: int, wraps: bool, backend: str, tmp_path: Path
) -> None:
    path = source()
    text = options.format(path).replace(f"{path}/../", str(Path(path).parent) + "/")
    (tmp_path / "net.prototxt").write_text(WRAPPING.format(type=kind, options=text))
    with Net(schema().read_text(tmp_path / "net.prototxt", "NetParameter"), TEST) as net:
        net.save(tmp_path / "w.caffemodel")
    output = run("w.caffemodel", "net.prototxt", "ip", "out", batches, backend, folder=tmp_path)
    assert f"out: {2 * batches} rows of 'ip'" in output
    told = "layer 'd' read 6 items, but its source has 5: it began again" in output
    assert told is wraps
    assert ("3 batches of 2 cover all items" in output) is wraps


BRANCHES = """
layer {{ name: "d" type: "Data" top: "data" top: "label" data_param {{ source: "{source}" batch_size: 2 backend: LMDB }}
  transform_param {{ crop_size: 5 mirror: true }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 3 kernel_size: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "{name}" type: "{kind}" bottom: "conv" {more} top: "last" {options} }}
"""
LAST = {"name": "ip", "kind": "InnerProduct", "more": "", "options": "inner_product_param { num_output: 2 }"}
JOB = ("--executor", "local", "--workers", "1")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(BRANCHES.format(source=samples.database(), **LAST))
    with Net(schema().read_text(tmp_path / "net.prototxt", "NetParameter"), TEST, seed=1) as built:
        built.save(tmp_path / "w.caffemodel")
    return tmp_path


@pytest.mark.parametrize("backend", ["lmdb", "leveldb", "hdf5"])
def test_a_job_gives_the_same_features(backend: str, net: Path) -> None:
    common = ("w.caffemodel", "net.prototxt", "conv,last")
    serial = run(*common, "a,b", 11, backend, folder=net)
    job = run(*common, "c,d", 11, backend, *JOB, folder=net)
    assert "d: 22 rows of 'last'" in job
    assert "layer 'd' read 22 items, but its source has 5: it began again" in serial
    assert "layer 'd' read 22 items, but its source has 5: it began again" in job
    for one, other, name in (("a", "c", "conv"), ("b", "d", "last")):
        if backend == "hdf5":
            with h5py.File(net / one) as first, h5py.File(net / other) as second:
                np.testing.assert_array_equal(first[name][:], second[name][:])
        else:
            first, second = contents(net / one), contents(net / other)
            assert list(first) == list(second)
            assert all((first[key] == second[key]).all() for key in first)
    assert not list(net.glob("*.job"))


def test_a_job_refuses_what_exists_before_it_runs(net: Path) -> None:
    (net / "out").mkdir()
    with pytest.raises(CafxError, match="out: already exists"):
        run("w.caffemodel", "net.prototxt", "last", "out", 3, *JOB, folder=net)


def test_a_net_with_a_memory_is_not_divided(net: Path) -> None:
    recurrent = {"name": "rnn", "kind": "RNN", "more": 'bottom: "label"', "options": ""}
    recurrent["options"] = "recurrent_param { num_output: 2 }"
    text = BRANCHES.format(source=samples.database(), **recurrent).replace('bottom: "label"', 'bottom: "cont"')
    shape = 'layer { name: "x" type: "DummyData" top: "cont" dummy_data_param { shape { dim: 2 dim: 3 } } }'
    (net / "net.prototxt").write_text(text + shape)
    lines = text.split('layer { name: "rnn"')
    (net / "net.prototxt").write_text(lines[0] + shape + '\nlayer { name: "rnn"' + lines[1])
    with pytest.raises(CafxError, match=r"layer '.*' .*may depend on the batches before.*; run without --executor"):
        run("w.caffemodel", "net.prototxt", "last", "out", 3, *JOB, folder=net)
    assert not list(net.glob("out*"))


@pytest.mark.slow
def test_a_job_of_two_processes_is_the_serial_run(net: Path) -> None:
    for more, name in (("--threads", "1"), "one"), (("--workers", "2", "--threads", "1"), "two"):
        command = [sys.executable, "-m", "cafx.cli", "extract-features", "w.caffemodel", "net.prototxt", "last", name]
        done = subprocess.run([*command, "9", *more], cwd=net, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    one, two = contents(net / "one"), contents(net / "two")
    assert list(one) == list(two)
    assert all((one[key] == two[key]).all() for key in one)
