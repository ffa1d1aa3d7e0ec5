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

from cafx.conformance.golden import inside
from cafx.kernel import TEST, CafxError, Net, schema
from cafx_command_extract_features import extract_features
from cafx_lib_feed import samples
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader

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
