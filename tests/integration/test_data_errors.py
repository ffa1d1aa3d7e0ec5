"""Invalid data and failing, killed or closed readers lead to one clear error and never to a hang."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance.nets import net_of_text
from cafx.kernel import TEST, TRAIN, CafxError, Net, Phase, registry
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_feed.images import encode

BACKENDS = ("LMDB", "LEVELDB")
SHAPE = (3, 8, 7)
RNG = np.random.default_rng(0)


def write(path: Path, values: list[bytes], backend: str = "LMDB") -> Path:
    with registry().load("database", backend).create(path) as writer:
        writer.put([(b"%08d" % i, value) for i, value in enumerate(values)])
    return path


def picture(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def data(source: Path, backend: str = "LMDB", more: str = "", transform: str = "", batch: int = 2) -> str:
    return (
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} '
        f'data_param {{ source: "{source}" backend: {backend} batch_size: {batch} {more} }} }}'
    )


def build(text: str, phase: Phase = TEST, seed: int = 1) -> Net:
    return net_of_text(text, phase, engine="numpy", seed=seed)


def run(text: str, batches: int = 4) -> None:
    with build(text) as net:
        for _ in range(batches):
            net.run_forward()


def assert_refused(text: str, *phrases: str, batches: int = 4) -> None:
    with pytest.raises(CafxError) as caught:
        run(text, batches)
    for phrase in phrases:
        assert phrase in str(caught.value), str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_database_is_refused(tmp_path: Path, backend: str) -> None:
    assert_refused(data(tmp_path / "none", backend), "none", "no database")


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_folders_are_refused(tmp_path: Path, backend: str) -> None:
    assert_refused(data(tmp_path, backend), "not a database", "empty folder")


def test_a_database_of_another_backend_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)], "LEVELDB")
    assert_refused(data(path, "LMDB"), "backend: LEVELDB")
    run(data(path, "LMDB", 'database: "LEVELDB"'))
    assert_refused(data(path, "LMDB", 'database: "PAPER"'), "PAPER")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_database_is_refused(tmp_path: Path, backend: str) -> None:
    assert_refused(data(write(tmp_path / "db", [], backend), backend), "empty")


def test_a_truncated_lmdb_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture((3, 64, 64)), 0)] * 8)
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(20_000)
    assert_refused(data(path), "damaged")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_database_truncated_while_it_is_read_is_reported(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture((3, 64, 64)), 0) for _ in range(50)], backend)
    with build(data(path, backend, "prefetch: 1")) as net:
        net.run_forward()
        largest = max(path.iterdir(), key=lambda each: each.stat().st_size)
        with largest.open("r+b") as file:
            file.truncate(file.seek(0, 2) - 4096)
        with pytest.raises(CafxError, match="truncated"):  # noqa: PT012 - some batches are prefetched
            for _ in range(100):
                net.run_forward()


def test_an_lmdb_of_random_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(RNG.bytes(40_000))
    assert_refused(data(tmp_path), "damaged")


def test_a_corrupt_leveldb_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "db"
    for index in range(3):  # reopening compacts the log of the first writer into a table
        with registry().load("database", "LEVELDB").create(path, append=True) as writer:
            writer.put([(b"%08d" % (10 * index + i), datum_bytes(picture((3, 64, 64)), 0)) for i in range(10)])
    table = max(path.glob("*.ldb"), key=lambda each: each.stat().st_size)
    with table.open("r+b") as file:
        file.seek(table.stat().st_size // 2)
        file.write(bytes(64))
    assert_refused(data(path, "LEVELDB"), "damaged", batches=40)


def test_a_leveldb_without_manifest_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)], "LEVELDB")
    next(path.glob("MANIFEST-*")).unlink()
    assert_refused(data(path, "LEVELDB"), "damaged")


def test_a_leveldb_locked_by_another_process_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)], "LEVELDB")
    script = f"import plyvel; db = plyvel.DB({str(path)!r}); print('open', flush=True); input()"
    writer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        assert_refused(data(path, "LEVELDB"), "locked")
    finally:
        writer.communicate(b"\n")
    run(data(path, "LEVELDB"))


def test_reading_a_leveldb_does_not_change_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)], "LEVELDB")
    before = {each.name: each.read_bytes() for each in path.iterdir()}
    run(data(path, "LEVELDB"))
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_concurrent_readers_read_the_same_batches(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), i) for i in range(5)], backend)
    with build(data(path, backend)) as one, build(data(path, backend)) as two:
        for _ in range(6):
            one.run_forward()
            two.run_forward()
            np.testing.assert_array_equal(one.blobs["data"].host(), two.blobs["data"].host())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_key_of_an_item_with_another_shape_is_named(tmp_path: Path, backend: str) -> None:
    values = [datum_bytes(picture(), 0)] * 3 + [datum_bytes(picture((3, 9, 7)), 0)]
    assert_refused(data(write(tmp_path / "db", values, backend), backend), "'00000003'", "3×9×7", "3×8×7")


@pytest.mark.parametrize("value", [b"", b"\x08", b"\xff" * 30, datum_bytes(picture(), 1)[:-20]])
def test_the_key_of_an_invalid_datum_is_named(tmp_path: Path, value: bytes) -> None:
    assert_refused(data(write(tmp_path / "db", [datum_bytes(picture(), 0), value])), "'00000001'", "not a Datum")


@pytest.mark.parametrize(
    "image",
    [b"nonsense", b"\xff\xd8\xff\xe0" + bytes(50), encode(picture((8, 7, 3)), ".png", "")[:60]],
    ids=["nonsense", "JPEG", "PNG"],
)
def test_the_key_of_an_undecodable_image_is_named(tmp_path: Path, image: bytes) -> None:
    good = datum_bytes(None, 0, image=encode(picture((8, 7, 3)), ".png", ""), encoded=True)
    bad = datum_bytes(None, 0, image=image, encoded=True)
    assert_refused(data(write(tmp_path / "db", [good, good, bad])), "'00000002'", "decoded")


@pytest.mark.parametrize("more", ["", "allow_negative_labels: false", "shuffle: true"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_negative_labels_go_through(tmp_path: Path, backend: str, more: str) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0), datum_bytes(picture(), -1)], backend)
    with build(data(path, backend, more=more)) as net:
        net.run_forward()
        assert sorted(net.blobs["label"].host().tolist()) == [-1, 0]


def test_an_invalid_mean_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)])
    write_binaryproto(tmp_path / "mean", np.zeros((1, 3, 8, 8), np.float32))
    assert_refused(data(path, transform=f'mean_file: "{tmp_path / "mean"}"'), "mean_file", "3×8×8", "3×8×7")
    assert_refused(data(path, transform="mean_value: 1 mean_value: 2"), "mean_value", "2 values")
    assert_refused(data(path, transform=f'mean_file: "{tmp_path / "none"}"'), "none", "cannot be read")
    assert_refused(data(path, transform=f'mean_value: 1 mean_file: "{tmp_path / "mean"}"'), "both")


def test_a_crop_larger_than_the_image_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)])
    assert_refused(data(path, transform="crop_size: 8"), "crop_size 8", "at most 7")


def images(source: Path, root: str, more: str = "") -> str:
    return (
        f'layer {{ name: "d" type: "ImageData" top: "data" top: "label" '
        f'image_data_param {{ source: "{source}" root_folder: "{root}" {more} }} }}'
    )


def test_invalid_lists_of_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a b.png").write_bytes(encode(picture((8, 7, 3)), ".png", ""))
    listed = tmp_path / "list"
    listed.write_text("a b.png 1\n")
    run(images(listed, f"{tmp_path}/"))
    for text, phrases in (
        ("a b.png 1\nnone.png 2\n", ("none.png", "cannot be read")),
        ("a b.png 1\n\nlabelless.png\n", (f"{listed}:3", "has no label", "PATH LABEL")),
        ("a b.png 1\nlist 0\n", ("list", "decoded")),
        ("\n", ("empty",)),
    ):
        listed.write_text(text)
        assert_refused(images(listed, f"{tmp_path}/"), *phrases)
    assert_refused(images(tmp_path / "nowhere", ""), "nowhere", "cannot be read")
    assert_refused(images(listed, "", "new_height: 4"), "new_width")


def hdf5(source: Path, more: str = "") -> str:
    return (
        'layer { name: "d" type: "HDF5Data" top: "data" top: "label" '
        f'hdf5_data_param {{ source: "{source}" batch_size: 2 }} {more} }}'
    )


def test_invalid_hdf5_files_are_refused(tmp_path: Path) -> None:
    import h5py

    path, listed = tmp_path / "a.h5", tmp_path / "list"
    listed.write_text(f"{path}\n")
    assert_refused(hdf5(listed), "a.h5", "No such file")
    for datasets, phrases in (
        ({"data": np.zeros((4, 2))}, ("no dataset 'label'",)),
        ({"data": np.zeros((4, 2)), "label": np.zeros(3)}, ("4 in 'data'", "3 in 'label'")),
        ({"data": np.zeros((0, 2)), "label": np.zeros(0)}, ("have none",)),
        ({"data": np.float32(1), "label": np.zeros(3)}, ("no rows",)),
    ):
        with h5py.File(path, "w") as file:
            file.update(datasets)
        assert_refused(hdf5(listed), "a.h5", *phrases)
    with h5py.File(path, "w") as file:
        file.update({"data": np.zeros((400, 20)), "label": np.zeros(400)})
    path.write_bytes(path.read_bytes()[:30_000])
    assert_refused(hdf5(listed), "a.h5", "truncated")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert_refused(hdf5(listed), "a.h5", "cannot be opened")
    path.write_bytes(b"<html>not found</html>")
    assert_refused(hdf5(listed), "a.h5", "a web page")
    listed.write_text("")
    assert_refused(hdf5(listed), "lists no HDF5 file")
    assert_refused(hdf5(tmp_path / "nowhere"), "nowhere")
    assert_refused(hdf5(listed, "transform_param { scale: 2 }"), "transform")


def test_a_worker_s_error_is_the_cause_of_the_raised_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with build(data(write(tmp_path / "db", [datum_bytes(picture(), 0)] * 4))) as net:
        cause = RuntimeError("the disk is gone")

        def fail(*_: Any) -> None:
            raise cause

        monkeypatch.setattr(net.layers[0].feed.source, "fill", fail)
        with pytest.raises(CafxError, match=r"layer 'd' .*the disk is gone") as caught:
            net.run_forward()
        assert caught.value.__cause__ is cause


FORKS = """
import os, sys
from cafx.conformance.nets import net_of_text
from cafx.kernel import CafxError

net = net_of_text(sys.stdin.read(), engine="numpy")
net.run_forward()
child = os.fork()
if child == 0:
    try:
        for _ in range(5):
            net.run_forward()
    except CafxError:
        os._exit(7)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_forked_process_raises_instead_of_waiting_for_missing_threads(tmp_path: Path) -> None:
    text = data(write(tmp_path / "db", [datum_bytes(picture(), 0)] * 4), more="prefetch: 1")
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        printed, _ = process.communicate(text, timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("the process hangs")
    assert printed == "7\n"


ENDLESS = """
    import sys
    from cafx.kernel import Net, registry, schema
    text = {text!r}
    net = Net(schema(registry()).parse_text(text, "NetParameter"), 0, engine="numpy")
    net.run_forward()
    print("running", flush=True)
    {rest}
"""


def child(text: str, rest: str) -> subprocess.Popen[bytes]:
    """A process that reads a batch and then runs ``rest``."""
    script = textwrap.dedent(ENDLESS).format(text=text, rest=rest)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    return process


@pytest.mark.parametrize("backend", ["LMDB", pytest.param("LEVELDB", marks=pytest.mark.slow)])
def test_a_process_exits_without_closing_its_net(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)] * 4, backend)
    for rest in ("pass", "sys.exit(0)"):
        process = child(data(path, backend), rest)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("backend", ["LMDB", pytest.param("LEVELDB", marks=pytest.mark.slow)])
def test_a_database_is_usable_after_its_reader_was_killed(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)] * 4, backend)
    process = child(data(path, backend), "while True: net.run_forward()")
    process.kill()
    process.communicate(timeout=30)
    run(data(path, backend))
    with registry().load("database", backend).create(path, append=True) as writer:
        writer.put([(b"9", datum_bytes(picture(), 0))])
    with open_database(path) as reader:
        assert len(reader) == 5


@pytest.mark.slow
def test_sigint_interrupts_a_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)] * 4)
    process = child(data(path), "while True: net.run_forward()")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in errors


@pytest.mark.parametrize("more", ["", "shuffle: true", "rand_skip: 4", "shuffle: true rand_skip: 4"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_restored_net_reads_the_same_batches(tmp_path: Path, backend: str, more: str) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), i) for i in range(7)], backend)
    text = data(path, backend, more, "crop_size: 5 mirror: true", batch=3)
    with build(text, TRAIN, 3) as net, build(text, TRAIN, 4) as other:
        for _ in range(4):
            net.run_forward()
        state = net.state()
        other.run_forward()
        other.restore(state)
        for _ in range(6):
            net.run_forward()
            other.run_forward()
            for name in ("data", "label"):
                np.testing.assert_array_equal(net.blobs[name].host(), other.blobs[name].host())


def test_each_shuffled_epoch_has_every_item_once_in_another_order(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), i) for i in range(20)])
    with build(data(path, more="shuffle: true", batch=10)) as net:
        epochs = []
        for _ in range(3):
            labels: list[float] = []
            for _ in range(2):
                net.run_forward()
                labels += net.blobs["label"].host().tolist()
            epochs.append(labels)
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_closed_net_raises_an_error_and_can_be_closed_again(tmp_path: Path) -> None:
    path = write(tmp_path / "db", [datum_bytes(picture(), 0)] * 4)
    net = build(data(path))
    net.run_forward()
    net.close()
    net.close()
    with pytest.raises(CafxError, match="closed"):
        net.run_forward()
    shutil.rmtree(path)
