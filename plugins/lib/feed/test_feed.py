"""Transformations, Datums, JPEGs and orders, each against a simple reference implementation."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from cafx.kernel import CafxError, Phase, TransformationParameter, schema
from cafx.kernel.net import Streams
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed import images
from cafx_lib_feed.datum import DatumReader, datum_bytes
from cafx_lib_feed.layer import Feed, close_apart
from cafx_lib_feed.order import Order
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_feed.transform import Transformer

COUNT = 6
DECODER_TOLERANCE = 2  # grey levels, by which versions of JPEG decoders differ


def transformer(phase: Phase = Phase.TRAIN, **options: Any) -> Transformer:
    return Transformer(TransformationParameter(**options), phase, CafxError)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("mean", [None, "file", "values", "value"])
@pytest.mark.parametrize("side", [9, 80])
@pytest.mark.parametrize("crop", [0, 5])
def test_batches_and_single_images_are_transformed_by_caffes_formula(
    tmp_path: Any, dtype: Any, phase: Phase, mean: str | None, side: int, crop: int
) -> None:
    rng = np.random.default_rng(side)
    shape = (3, side, side + 1)
    pixels = rng.integers(0, 256, (COUNT, *shape)).astype(dtype)
    image = rng.integers(0, 256, shape).astype(np.float32)
    write_binaryproto(tmp_path / "mean", image[None])
    mean_options: dict[str, Any] = {
        None: {},
        "file": {"mean_file": str(tmp_path / "mean")},
        "values": {"mean_value": [1, 2, 3]},
        "value": {"mean_value": [7]},
    }[mean]
    work = transformer(phase, crop_size=crop and crop + side // 2, mirror=True, scale=0.5, **mean_options)
    draws = work.draw(lambda: np.random.default_rng(1), COUNT)
    out = work.shape(shape)
    stacked, single, decoded = (np.empty((COUNT, *out), np.float32) for _ in range(3))
    work.batch(pixels, stacked, draws)
    means = {None: 0, "file": image, "values": np.float32([1, 2, 3])[:, None, None], "value": 7}[mean]
    for index in range(COUNT):
        work.pixels(pixels[index], single[index], draws, index)
        top, left, flip = work._where(shape[1:], draws, index)
        expected = ((pixels[index] - np.float32(1) * means) * np.float32(0.5))[
            :, top : top + out[1], left : left + out[2]
        ]
        np.testing.assert_array_equal(single[index], expected[..., ::-1] if flip else expected)
        if dtype is np.uint8:
            work.image(np.ascontiguousarray(pixels[index].transpose(1, 2, 0)), decoded[index], draws, index)
    np.testing.assert_array_equal(stacked, single)
    if dtype is np.uint8:
        np.testing.assert_array_equal(decoded, single)


def test_random_crops_reach_every_position() -> None:
    work = transformer(crop_size=2)
    draws = work.draw(lambda: np.random.default_rng(0), 1000)
    positions = {work._where((4, 5), draws, index)[:2] for index in range(1000)}
    assert positions == {(top, left) for top in range(3) for left in range(4)}


@pytest.mark.parametrize("label", [None, 0, 5, 300, -2])
@pytest.mark.parametrize("kind", ["bytes", "floats", "image"])
def test_datums_are_serialised_and_parsed_like_protobuf(label: int | None, kind: str) -> None:
    rng = np.random.default_rng(0)
    message = schema()["Datum"]()
    if label is not None:
        message.label = label
    if kind == "image":
        message.data, message.encoded = b"\xff\xd8\xffpicture", True
        data = datum_bytes(None, label, image=message.data, encoded=True)
    else:
        pixels = rng.integers(0, 256, (2, 3, 4), dtype=np.uint8)
        message.channels, message.height, message.width = pixels.shape
        if kind == "floats":
            pixels = pixels.astype(np.float32)
            message.float_data.extend(pixels.reshape(-1))
        else:
            message.data = pixels.tobytes()
        data = datum_bytes(pixels, label)
    assert data == message.SerializeToString()
    reader = DatumReader()
    for _ in range(2):
        read = reader.read(b"key", memoryview(data))
        assert read.label == (label or 0)
        if kind == "image":
            assert bytes(read.image or b"") == message.data
        else:
            np.testing.assert_array_equal(read.pixels, pixels)


@pytest.mark.parametrize(
    "complete",
    [
        datum_bytes(np.ones((1, 3, 4), np.uint8), 700, encoded=False),
        datum_bytes(np.ones((1, 3, 4), np.uint8)),
        datum_bytes(None, 700, image=b"\xff\xd8" * 80, encoded=True),
    ],
)
def test_truncated_datums_are_rejected(complete: bytes) -> None:
    reader = DatumReader()
    reader.read(b"key", memoryview(complete))
    for size in range(complete.find(b"\x28\xbc") % (len(complete) + 1)):
        with pytest.raises(CafxError, match="'key'"):
            reader.read(b"key", memoryview(complete)[:size])


def test_a_datum_with_too_few_pixels_is_rejected_despite_cached_framing() -> None:
    reader = DatumReader()
    complete = datum_bytes(np.ones((1, 3, 4), np.uint8), 1)
    reader.read(b"key", memoryview(complete))
    short = complete.replace(b"\x22\x0c" + b"\x01" * 12, b"\x22\x0b" + b"\x01" * 11)
    assert len(short) == len(complete) - 1
    with pytest.raises(CafxError, match="11 values"):
        reader.read(b"key", memoryview(short))


def test_one_reader_parses_datums_of_all_sizes_and_kinds() -> None:
    reader = DatumReader()
    rng = np.random.default_rng(0)
    for _ in range(300):
        label, size = int(rng.integers(-3, 300)), int(rng.integers(1, 300))
        if rng.integers(2):
            image = rng.bytes(size)
            read = reader.read(b"", memoryview(datum_bytes(None, label, image=image, encoded=True)))
            assert (read.label, bytes(read.image or b"")) == (label, image)
        else:
            pixels = rng.integers(0, 256, (1, int(rng.integers(1, 4)), size), dtype=np.uint8)
            read = reader.read(b"", memoryview(datum_bytes(pixels, label, encoded=[None, False][size % 2])))
            assert read.label == label
            np.testing.assert_array_equal(read.pixels, pixels)


def jpegs() -> dict[str, bytes]:
    """One JPEG of each common kind, and some that are truncated."""
    cv2 = images.cv2()
    color = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8), (5, 5), 2)
    good = cv2.imencode(".jpg", color)[1].tobytes()
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    rotated = good[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + good[2:]
    return {
        "color": good,
        "small": cv2.imencode(".jpg", color[:9, :7])[1].tobytes(),
        "gray": cv2.imencode(".jpg", color[:, :, 0])[1].tobytes(),
        "rotated": rotated,
        "progressive": cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(),
        "truncated": good[:700],
        "header only": good[:177],
        "half a header": good[:170],
        "two bytes": good[:2],
    }


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_jpegs_in_any_order_are_decoded_like_opencv(channels: int | None) -> None:
    cv2 = images.cv2()
    kinds, buffer = jpegs(), np.empty(40 * 30 * 3, np.uint8)
    flag = {None: cv2.IMREAD_UNCHANGED, 1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR}[channels]
    for name in np.random.default_rng(0).choice(list(kinds), 60):
        expected = cv2.imdecode(np.frombuffer(kinds[name], np.uint8), flag)
        if expected is None:
            with pytest.raises(CafxError, match=name):
                images.decode(kinds[name], channels, name)
            continue
        actual = images.decode(memoryview(kinds[name]), channels, name, lambda count: buffer[:count])
        assert actual.shape == (*expected.shape, 1)[:3], name
        difference = actual.astype(int) - expected.reshape(actual.shape)
        assert np.abs(difference).max() <= DECODER_TOLERANCE, name


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_order_is_the_same_from_any_position(shuffle: bool) -> None:
    expected = Order(7, shuffle, Streams(1), "d", skip=3).numbers(0, 40)
    order = Order(7, shuffle, Streams(1), "d", skip=3)
    for start in (33, 0, 13, 6):
        np.testing.assert_array_equal(order.numbers(start, 7), expected[start : start + 7])
    assert sorted(expected[4:11].tolist()) == list(range(7))


@pytest.mark.slow
@pytest.mark.parametrize(
    "lock",
    ["threading.Lock()", "getattr(threading, '_shutdown_locks_lock', threading.Lock())"],
    ids=["ours", "threading"],
)
def test_a_layer_that_is_collected_does_not_wait_for_its_threads(lock: str) -> None:
    # The second is held where threads end; every new thread takes it before ``start`` returns.
    program = f"import runpy, threading\nrunpy.run_path({__file__!r})['collected']({lock})\nprint('closed')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert result.stdout == "closed\n", result.stderr


def collected(lock: contextlib.AbstractContextManager[Any]) -> None:
    """Close a feed as the garbage collector does where a lock is held that its threads wait for."""
    closed = threading.Event()

    class Waiting(Source):
        """Fills a batch as soon as the lock is free."""

        def close(self) -> None:
            """Say so."""
            closed.set()

        def fetch(self, batch: int) -> None:
            """Nothing to read."""

        def fill(self, fetched: None, number: int, batch: Batch) -> None:
            with lock:
                batch.shape((1,))

    feed = Feed(Waiting(), 2, np.float32)
    for _ in range(5):
        feed.next()
    with lock:
        close_apart(feed)
    closed.wait()
    while threading.active_count() > 1:
        time.sleep(0.01)
