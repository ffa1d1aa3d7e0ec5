"""HDF5 files from outside are read, or refused; files are written whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cafx.kernel import CafxError
from cafx_lib_hdf5 import Damaged, File, appending, reading, writing

ROWS = np.arange(60, dtype="<f4").reshape(20, 3)


def made(folder: Path, **datasets: Any) -> Path:
    path = folder / "made.h5"
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return path


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": ">i2"}, {"chunks": (7, 2), "compression": "gzip"}, {"chunks": (3, 3), "compression": "lzf"}],
)
def test_values_are_those_that_were_written(options: dict[str, Any], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("inner/rows", data=ROWS, **options)
        file["link"] = h5py.SoftLink("/inner/rows")
    with File(tmp_path / "x.h5") as file:
        rows = file.get("link")
        assert rows is not None
        assert (rows.name, rows.shape, file.groups, file.names) == ("inner/rows", (20, 3), ["inner"], ["inner", "link"])
        np.testing.assert_array_equal(file.read(rows), ROWS)
        for wanted in (4, [9, 2, 17]):
            target = np.empty((3, 3), np.float64)
            file.read_rows(rows, wanted, target)
            np.testing.assert_array_equal(target, ROWS[4:7] if wanted == 4 else ROWS[wanted])


def test_texts_and_single_values_are_read(tmp_path: Path) -> None:
    path = made(tmp_path, text="ünder", opaque=np.void(b"{1}"), one=np.float64(2.5), empty=h5py.Empty("f4"))
    with File(path) as file:
        assert file.read_bytes(file.datasets["text"]) == "ünder".encode()
        assert file.read_bytes(file.datasets["opaque"]) == b"{1}"
        assert file.read(file.datasets["one"]) == 2.5
        assert not file.datasets["empty"].is_numbers


def elsewhere(file: Any, kind: str, folder: Path) -> None:
    (folder / "secret.txt").write_bytes(b"secret values!!!")
    made(folder, values=ROWS)
    if kind == "link":
        file["x"] = h5py.ExternalLink("made.h5", "/values")
    elif kind == "virtual":
        layout = h5py.VirtualLayout((20, 3), "f4")
        layout[...] = h5py.VirtualSource(str(folder / "made.h5"), "values", (20, 3))
        file.create_virtual_dataset("x", layout)
    else:
        file.create_dataset("x", (4,), "f4", external=[(str(folder / "secret.txt"), 0, 16)])


@pytest.mark.parametrize("kind", ["link", "virtual", "external"])
def test_values_in_other_files_are_refused(kind: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        elsewhere(file, kind, tmp_path)
    with pytest.raises(Damaged, match=r"'x' (is a link to|are in) another file"):
        File(tmp_path / "x.h5")


def test_a_group_that_contains_itself_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("a")["b"] = file["/"]
    with pytest.raises(Damaged, match="'a/b' contains itself"):
        File(tmp_path / "x.h5")


@pytest.mark.parametrize("chunks", [None, (1 << 20,)])
def test_values_far_larger_than_the_file_are_refused(chunks: Any, tmp_path: Path, monkeypatch: Any) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (1 << 33,), "f4", chunks=chunks, compression=chunks and "gzip")
        file.create_dataset("small", (1000,), "f4", chunks=(100,))
    with File(tmp_path / "x.h5") as file:
        with pytest.raises(Damaged, match="34359738368 bytes of values"):
            file.read(file.datasets["x"])
        monkeypatch.setenv("CAFX_MAX_BYTES", "3999")
        with pytest.raises(Damaged, match="to read more than 3999"):
            file.read(file.datasets["small"])


def test_a_file_that_ends_early_and_other_things_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path, x=ROWS)
    with File(path) as file:
        os.truncate(path, file.datasets["x"].offset + 8)
        with pytest.raises(Damaged, match="ends within dataset 'x'"):
            file.read_rows(file.datasets["x"], 0, np.empty((20, 3), "f4"))
    with pytest.raises(Damaged, match="truncated"):
        File(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "none"):
        with pytest.raises(CafxError):
            File(tmp_path / name)


@pytest.mark.slow
def test_a_request_that_never_ends_ends_the_other_process() -> None:
    code = (
        "import time, cafx_lib_hdf5.helper as helper\n"
        "helper.SECONDS = 0.2\n"
        "helper.Server.open = lambda self, path: time.sleep(60)\n"
        "helper.main()"
    )
    request = json.dumps({"open": "x"}).encode() + b"\n"
    done = subprocess.run([sys.executable, "-c", code], input=request, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


@pytest.mark.slow
@pytest.mark.parametrize("has_ended", [True, False])
def test_the_death_of_the_other_process_is_an_error_and_another_takes_its_place(
    tmp_path: Path, has_ended: bool
) -> None:
    path = made(tmp_path, x=ROWS)
    with h5py.File(path, "a") as file:
        file.create_dataset("packed", data=ROWS, compression="gzip")
    with File(path) as file:
        file._helper._process.kill()
        if has_ended:
            file._helper._process.wait()
        with pytest.raises(Damaged, match="does not finish"):
            file.read(file.datasets["packed"])
    with File(path) as file:
        np.testing.assert_array_equal(file.read(file.datasets["packed"]), ROWS)


@pytest.mark.slow
def test_an_idle_process_serves_the_next_file(tmp_path: Path) -> None:
    path = made(tmp_path, x=ROWS)
    with File(path) as file:
        first = file._helper
    with File(path) as file:
        assert file._helper is first
        with File(path) as other:
            assert other._helper is not first
    assert reading._idle.take() is not None


FULL = """
import resource, signal
from pathlib import Path
import numpy as np
from cafx.kernel import CafxError
from cafx_lib_hdf5 import appending, writing
path = Path("out.h5")
with writing(path) as file:
    file.append("x", np.ones((10, 3), np.float32))
whole = path.read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for target, how in ((path, appending), (Path("new.h5"), writing), (path, writing)):
    try:
        with how(target) as file:
            for _ in range(50):
                file.append("x", np.zeros((100, 3), np.float32))
    except CafxError as error:
        print(error)
    assert path.read_bytes() == whole
"""


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("cannot be written: File too large") == 3
    assert [each.name for each in tmp_path.iterdir()] == ["out.h5"]


def test_rows_are_appended(tmp_path: Path) -> None:
    with writing(tmp_path / "x.h5") as file:
        file.append("x", ROWS)
        assert not (tmp_path / "x.h5").exists()
    for _ in range(3):
        with appending(tmp_path / "x.h5") as file:
            file.append("x", ROWS[:2])
            file.append("y", ROWS[0])
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["x"], np.concatenate([ROWS, *[ROWS[:2]] * 3]))
        assert file["y"].shape == (9,)
