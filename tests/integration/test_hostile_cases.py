"""Inputs that once ended the process, hung it or were believed: each works or is refused with one clear error.

The inputs are the folders of ``cases_hostile`` in the reference data; the file HOW in each says what it did.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import caffe
import h5py
import numpy as np
import pytest

from cafx.conformance.golden import inside
from cafx.kernel import CafxError, Net, Phase, Solver, schema

REPLAY = Path(__file__).parents[1] / "hostile" / "run.py"
SEEDS = Path(__file__).parents[1] / "hostile" / "seeds.py"
CASES = "cases_hostile"
SECONDS = 60
MEMORY = 4 << 30
BLOCK = 512
"""Bytes of the unit in which a shell limits files."""
SMALL_FILE = 100_000
"""Bytes to which files are limited, in place of a full disk."""
SHAPES_SEEN, GROWTH = 4, 16
"""Thousands of shapes, and megabytes: at 21 KB for each shape it was 63."""
STATUSES = (0, 1, 2)
REPLAYED = {"state": "State", "statestep": "State", "state_h5": "StateHDF5", "weights_h5": "WeightsHDF5"}
ROWS = ("formats/data_layers/a.h5", "formats/data_layers/int.h5")
SMALL_NET = """
layer { name: "i" type: "DummyData" top: "d" top: "l" dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "l" top: "loss" }
"""
RELU = """
layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "r" type: "ReLU" bottom: "i" top: "r" }
"""
FEATURES = """
layer { name: "d" type: "DummyData" top: "features" dummy_data_param { shape { dim: 100 dim: 50 } } }
"""
STRANGER = """
from cafx.kernel import registry
print([str(registry().error(each)) for each in registry().plugins("layer") if each.name == "Stranger"])
"""

pytestmark = pytest.mark.slow


def case(number: str, shared: Path) -> Path:
    """The folder of a case."""
    found = sorted((shared / CASES).glob(f"{number}_*"))
    if not found:
        pytest.skip(f"no case {number} in {shared / CASES}")
    return found[0]


def limited(*command: str | Path, files: int | None = None) -> list[str]:
    """A command with limits on its memory, and on the size in bytes of the files that it writes.

    A shell sets them: code of Python's between fork and exec could wait for a lock of a thread that is gone.
    """
    of_files = f"ulimit -f {files // BLOCK}" if files else ":"
    script = f'ulimit -v {MEMORY >> 10} && ulimit -c 0 && {of_files} && exec "$@"'
    return ["sh", "-c", script, "sh", *map(str, command)]


def cafx(*arguments: str | Path, files: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command: it ends in time, with an exit status of its own and without a traceback."""
    command = limited(sys.executable, "-m", "cafx.cli", *arguments, files=files)
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=SECONDS, check=False)
    told = done.stdout + done.stderr
    assert done.returncode in STATUSES, f"{done.returncode}: {told}"
    assert "Traceback" not in told, told
    assert "this is a bug" not in told, told
    assert done.returncode == 0 or done.stderr.strip(), "it failed without a word"
    return done


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """An empty folder as the working folder."""
    with inside(tmp_path):
        yield tmp_path


@cache
def _replay(target: str, files: tuple[Path, ...]) -> dict[Path, str]:
    command = limited(sys.executable, REPLAY, "--replay", target, *files)
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(told) == len(files), done.stderr
    return {Path(each["path"]): each["outcome"] for each in told}


def _target(how: Path) -> str:
    _, _, command = how.read_text().partition("fuzz.py --file ")
    return command.split()[0] if command else ""


@pytest.mark.shared_files(f"{CASES}/*/HOW")
def test_states_and_weights_are_restored_or_refused(shared_file: Path) -> None:
    target = REPLAYED.get(_target(shared_file))
    if target is None:
        pytest.skip("tried by a test of its own")
    hows = [how for how in sorted(shared_file.parents[1].glob("*/HOW")) if REPLAYED.get(_target(how)) == target]
    outcomes = _replay(target, tuple((how.parent / "input").resolve() for how in hows))
    assert outcomes[shared_file.parent.resolve() / "input"] in ("works", "refused")


def test_every_case_is_tried(shared: Path) -> None:
    tried = set(Path(__file__).read_text().split('"'))
    folders = [each for each in (shared / CASES).iterdir() if _target(each / "HOW") not in REPLAYED]
    assert {each.name for each in folders if each.name[:3] not in tried} == set()


def test_lrn_over_one_channel_behind_a_blocked_layer(shared: Path) -> None:
    net = case("001", shared) / "net.prototxt"
    assert cafx("time", net, "--iterations", "1", "--engine", "onednn").returncode == 0


@pytest.mark.parametrize("number", ["002", "004", "005"])
def test_a_damaged_lmdb_is_refused(number: str, shared: Path, here: Path) -> None:
    (here / "x").mkdir()
    (here / "x/data.mdb").write_bytes((case(number, shared) / "data.mdb").read_bytes())
    assert "damaged" in cafx("db", "inspect", "x").stderr


@pytest.mark.parametrize("number", ["007", "085"])
def test_hdf5_weights_that_never_end_or_fill_the_memory_are_refused(number: str, shared: Path) -> None:
    assert cafx("weights", case(number, shared) / "x.caffemodel.h5").returncode == 1


@pytest.mark.parametrize("name", ["x", "link", "vds"])
def test_hdf5_files_do_not_lead_elsewhere(name: str, shared: Path, here: Path) -> None:
    for secret in ("secret.txt", "other.h5", "secret.h5"):
        (here / secret).write_bytes(bytes(range(256)) * 100)
    (here / "w.caffemodel.h5").write_bytes((case("084", shared) / f"{name}.caffemodel.h5").read_bytes())
    assert cafx("weights", "w.caffemodel.h5").returncode == 1


@pytest.mark.parametrize("number", ["067", "068"])
def test_rows_in_hdf5_are_read_or_refused(number: str, shared: Path, here: Path) -> None:
    content = (case(number, shared) / "input").read_bytes()
    with h5py.File(shared / "golden" / ROWS[content[0]]) as file:
        tops = " ".join(f'top: "{name}"' for name in list(file)[:3])
    (here / "x.h5").write_bytes(content[1:])
    (here / "x.txt").write_text("x.h5\n")
    layer = f'layer {{ name: "d" type: "HDF5Data" {tops} hdf5_data_param {{ source: "x.txt" batch_size: 3 }} }}'
    _build_and_run(layer)


@pytest.mark.parametrize(
    ("number", "kind", "param"), [("070", "Image", "image_data"), ("071", "Window", "window_data")]
)
def test_lists_of_images_are_read_or_refused(number: str, kind: str, param: str, shared: Path, here: Path) -> None:
    (here / "x.txt").write_bytes((case(number, shared) / "input").read_bytes()[1:])
    options = f'source: "x.txt" root_folder: "{shared}/golden/formats/images/" batch_size: 2'
    layer = f'layer {{ name: "d" type: "{kind}Data" top: "a" top: "b" {param}_param {{ {options} }} '
    _build_and_run(layer + "transform_param { crop_size: 6 } }")


def _build_and_run(text: str) -> None:
    """Two passes of a net, which may be refused."""
    net = None
    try:
        net = Net(_parsed(text), Phase.TRAIN, engine="numpy", seed=1)
        net.forward()
        net.forward()
    except CafxError as error:
        assert str(error)  # noqa: PT017 - works or CafxError
    finally:
        if net is not None:
            net.close()


def _parsed(text: str) -> Any:
    return schema().parse_text(text, "NetParameter")


@pytest.mark.parametrize("number", ["073", "074"])
def test_a_solver_works_or_is_refused(number: str, shared: Path, here: Path) -> None:
    (here / "net.prototxt").write_text(SMALL_NET)
    (here / "solver.prototxt").write_bytes((case(number, shared) / "input").read_bytes())
    with pytest.raises(CafxError), Solver.load("solver.prototxt", engine="numpy") as solver:
        solver.solve()


@pytest.mark.parametrize("number", ["076", "077"])
def test_upgrading_a_binary_with_damaged_text_is_refused(number: str, shared: Path, here: Path) -> None:
    (here / "old.caffemodel").write_bytes((case(number, shared) / "input").read_bytes())
    status = cafx("upgrade", "old.caffemodel", "new.caffemodel").returncode
    assert (here / "new.caffemodel").exists() == (status == 0)


@pytest.mark.parametrize("number", ["079", "080"])
def test_pycaffe_refuses_a_datum_without_its_pixels(number: str, shared: Path) -> None:
    datum = caffe.proto.caffe_pb2.Datum()
    datum.ParseFromString((case(number, shared) / "input").read_bytes()[1:])
    with pytest.raises(CafxError):
        caffe.io.datum_to_array(datum)


def test_nan_passes_through_relu_on_every_engine(shared: Path) -> None:
    case("081", shared)
    values = np.linspace(-2, 2, 96).reshape(2, 3, 4, 4).astype(np.float32)
    values[0, 1, 2, 1], values[1, 0, 0, 0] = np.nan, -np.inf
    for engine in ("numpy", "onednn"):
        top = Net(_parsed(RELU), Phase.TRAIN, engine=engine).forward(i=values)["r"]
        np.testing.assert_array_equal(top, np.where(np.isnan(values), values, np.maximum(values, 0)))


@pytest.mark.parametrize("name", ["net.prototxt", "net30000.prototxt"])
def test_a_window_much_larger_than_its_image_is_counted_at_once(name: str, shared: Path) -> None:
    cafx("net", case("082", shared) / name)


def test_inspecting_a_net_does_not_write(shared: Path, here: Path) -> None:
    (here / "victim.txt").write_text("precious")
    (here / "net.prototxt").write_bytes((case("083", shared) / "net.prototxt").read_bytes())
    for command, *more in (("net",), ("draw", "-o", "net.dot"), ("upgrade", "new.prototxt")):
        cafx(command, "net.prototxt", *more)
        assert (here / "victim.txt").read_text() == "precious"


def test_a_text_of_backslashes_is_read_in_linear_time(shared: Path) -> None:
    assert cafx("net", case("087", shared) / "x.prototxt").returncode == 0


def test_features_that_do_not_fit_on_the_disk_leave_no_file(shared: Path, here: Path) -> None:
    case("089", shared)
    (here / "net.prototxt").write_text(FEATURES)
    (here / "w.caffemodel").write_bytes(b"")
    subprocess.run([sys.executable, str(SEEDS)], check=True, timeout=SECONDS)
    command = ("extract-features", "snap_BINARYPROTO_iter_3.caffemodel", "net.prototxt", "features", "f.h5", "200")
    assert cafx(*command, "-b", "hdf5", files=SMALL_FILE).returncode == 1
    assert [each.name for each in here.iterdir() if "f.h5" in each.name] == []


def test_a_closed_output_ends_the_command_in_silence(shared: Path) -> None:
    case("090", shared)
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "cafx.cli", "plugins"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 141)


def test_names_are_shown_without_control_characters(shared: Path) -> None:
    done = cafx("net", case("092", shared) / "net.prototxt")
    assert "\033]" not in done.stdout + done.stderr


def test_memory_does_not_grow_with_the_shapes_seen(shared: Path) -> None:
    command = limited(sys.executable, case("093", shared) / "x.py")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        alarm = threading.Timer(3 * SECONDS, process.kill)
        alarm.start()
        assert process.stdout is not None
        sizes = [int(process.stdout.readline().split()[1]) for _ in range(SHAPES_SEEN)]
        alarm.cancel()
        process.kill()
    assert sizes[-1] - sizes[0] <= GROWTH, sizes


def test_a_net_used_by_several_threads_is_an_error_and_no_deadlock(shared: Path, here: Path) -> None:
    folder = _made(here / "seeds")
    subprocess.run([sys.executable, str(SEEDS)], check=True, timeout=SECONDS, cwd=folder)
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("raw_lmdb", "seeds/raw_lmdb"))
    command = limited(sys.executable, case("094", shared) / "x.py")
    for kind in ("one", "closed"):
        done = subprocess.run([*command, kind], capture_output=True, text=True, timeout=SECONDS, check=False, cwd=here)
        assert done.returncode in STATUSES[:1], done.stdout + done.stderr


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_bound_counts_however_the_kernel_s_name_is_written(shared: Path, here: Path) -> None:
    case("095", shared)
    about = _made(here / "cafx_layer_stranger-1.dist-info")
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: cafx-layer-stranger\nVersion: 1\nRequires-Dist: cafx_kernel>=9\n"
    )
    (about / "entry_points.txt").write_text("[cafx.layers]\nStranger = cafx_layer_stranger:Stranger\n")
    (here / "cafx_layer_stranger.py").write_text("class Stranger: ...\n")
    settings = {**os.environ, "PYTHONPATH": str(here)}
    command = [sys.executable, "-c", STRANGER]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert ">=9" in done.stdout, done.stdout


def test_a_device_stays_a_device(shared: Path, here: Path) -> None:
    case("097", shared)
    try:
        os.mknod(here / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (here / "null").write_bytes(b"")
    except PermissionError:
        pytest.skip("devices can be made by root alone")
    cafx("compute-image-mean", shared / "golden/formats/db/raw_lmdb", "null")
    assert (here / "null").is_char_device()


def test_a_state_with_changed_json_is_refused(shared: Path, here: Path) -> None:
    subprocess.run([sys.executable, str(SEEDS)], check=True, timeout=SECONDS)
    state = case("098", shared) / "y.solverstate"
    (here / state.name).write_bytes(state.read_bytes())
    cafx("train", "--solver", "solver_BINARYPROTO.prototxt", "--snapshot", state.name)
