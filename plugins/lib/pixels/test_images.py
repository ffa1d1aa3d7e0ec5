"""8-bit images stand for the same floats as NumPy's formula gives, whoever asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.kernel.blob import HOST, SyncedArray
from cafx_lib_pixels import IMAGES, Images
from cafx_lib_pixels import images as module

streaming = pytest.importorskip("cafx_lib_pixels.streaming", reason="llvmlite is not installed", exc_type=ImportError)
COUNT, CHANNELS, HEIGHT, WIDTH = 7, 3, 11, 19
SCALE = 0.5


def batch(*, decoded: bool, whole: bool, whole_mean: bool) -> tuple[Images, Any]:
    """Random images with random marks, and their floats."""
    rng = np.random.default_rng(0)
    rows, columns = (HEIGHT + 4, WIDTH + 5) if whole else (HEIGHT, WIDTH)
    stored = rng.integers(
        0, 256, (COUNT, rows, columns, CHANNELS) if decoded else (COUNT, CHANNELS, rows, columns), np.uint8
    )
    pixels = stored.transpose(0, 3, 1, 2) if decoded else stored
    mean = rng.random((CHANNELS, HEIGHT + 4, WIDTH + 5) if whole_mean else (CHANNELS, 1, 1), np.float32)
    marks = np.stack([rng.integers(0, most, COUNT) for most in (2, 5, 6)], axis=1).astype(np.int32)
    expected = np.empty((COUNT, CHANNELS, HEIGHT, WIDTH), np.float32)
    for image, out, (flip, top, left) in zip(pixels, expected, marks, strict=True):
        cut = np.s_[:, top : top + HEIGHT, left : left + WIDTH]
        values = ((image[cut] if whole else image) - (mean[cut] if whole_mean else mean)) * np.float32(SCALE)
        out[...] = values[..., ::-1] if flip else values
    stream = streaming.Stream(pixels.strides[1:], (CHANNELS, HEIGHT, WIDTH), mean, SCALE)
    return Images(stored, marks, stream, whole), expected


@pytest.mark.parametrize("threads", [1, 2, 3, COUNT + 1])
@pytest.mark.parametrize("whole_mean", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("decoded", [False, True])
def test_threads_write_the_floats(
    monkeypatch: pytest.MonkeyPatch, decoded: bool, whole: bool, whole_mean: bool, threads: int
) -> None:
    monkeypatch.setattr(module, "SHARE", 1)
    monkeypatch.setattr(module, "default_threads", lambda: threads)
    images, expected = batch(decoded=decoded, whole=whole, whole_mean=whole_mean)
    out = np.full(expected.shape, np.nan, np.float32)
    images.write(out)
    np.testing.assert_array_equal(out, expected)


def test_an_array_in_this_place_is_read_from_the_host_and_then_changed_there() -> None:
    images, expected = batch(decoded=True, whole=True, whole_mean=False)
    values = SyncedArray(expected.size, "float32")
    values.mark_written(IMAGES, images)
    assert values.current == (IMAGES,)
    np.testing.assert_array_equal(values.read(HOST), expected.ravel())
    assert values.is_current(IMAGES)
    values.write(HOST)[...] = 1
    assert values.current == (HOST,)
    values.mark_written(IMAGES, images)
    np.testing.assert_array_equal(values.read(HOST), expected.ravel())


def test_nobody_else_writes_there() -> None:
    values = SyncedArray(4, "float32")
    values.write(HOST)[...] = 1
    with pytest.raises(TypeError, match="only data layers"):
        values.read(IMAGES)
    with pytest.raises(TypeError, match="only data layers"):
        IMAGES.from_host(np.zeros(4, np.float32), None)
