"""The compiled pass equals NumPy's formula bit by bit, and NumPy replaces it where it is unavailable."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import CafxError, Phase, TransformationParameter
from cafx_format_binaryproto import write_binaryproto
from cafx_lib_feed import images, transform
from cafx_lib_feed.transform import Draws, Transformer

streaming = pytest.importorskip("cafx_lib_pixels.streaming", reason="llvmlite is not installed", exc_type=ImportError)
LINE, AROUND = 16, 32
UNTOUCHED = -7.0
SIDE, CROP = 90, 67
THREADS, ROUNDS = 4, 20


@pytest.fixture
def fresh() -> Iterator[None]:
    """Forget whether the compiled pass is available, before and after a test."""
    transform.streaming.cache_clear()
    yield
    transform.streaming.cache_clear()


@st.composite
def passes(draw: st.DrawFn) -> dict[str, Any]:
    """Images, windows, means and alignments of results."""
    channels, planar = draw(st.sampled_from([(1, True), (1, False), (3, True), (3, False), (5, True)]))
    height, width = draw(st.integers(1, 30)), draw(st.integers(LINE, 70))
    rows, columns = draw(st.integers(1, height)), draw(st.integers(LINE, width))
    return {
        "channels": channels,
        "planar": planar,
        "size": (height, width),
        "window": (rows, columns),
        "top": draw(st.integers(0, height - rows)),
        "left": draw(st.integers(0, width - columns)),
        "flip": draw(st.booleans()),
        "mean": draw(st.sampled_from(["image", "channels", "one"])),
        "scale": draw(st.floats(-2, 2, width=32)),
        "start": draw(st.integers(0, LINE - 1)),
        "seed": draw(st.integers(0, 999)),
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(passes())
def test_the_pass_equals_numpy_s_formula_and_writes_nothing_else(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    channels, (height, width), (rows, columns) = case["channels"], case["size"], case["window"]
    pixels = rng.integers(0, 256, (channels, height, width), np.uint8)
    image = pixels if case["planar"] else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    view = image if case["planar"] else image.transpose(2, 0, 1)
    mean = rng.random({"image": view.shape, "channels": (channels, 1, 1), "one": (1, 1, 1)}[case["mean"]], np.float32)
    mean *= np.float32(255)
    cut = np.s_[:, case["top"] : case["top"] + rows, case["left"] : case["left"] + columns]
    expected = (view[cut] - (mean[cut] if case["mean"] == "image" else mean)) * np.float32(case["scale"])
    count = expected.size
    memory = np.full(AROUND + case["start"] + count + AROUND, UNTOUCHED, np.float32)
    out = memory[AROUND + case["start"] :][:count].reshape(expected.shape)
    assert streaming.Stream.fits(view.shape, view.strides, out.shape)
    stream = streaming.Stream(view.strides, out.shape, mean, case["scale"])
    stream(image, case["top"], case["left"], case["flip"], out)
    np.testing.assert_array_equal(out, expected[..., ::-1] if case["flip"] else expected)
    assert (memory[: AROUND + case["start"]] == UNTOUCHED).all()
    assert (memory[AROUND + case["start"] + count :] == UNTOUCHED).all()


@pytest.mark.parametrize(
    ("size", "strides", "shape"),
    [
        ((3, 40, 40), (1600, 40, 1), (3, 40, LINE - 1)),
        ((3, 40, 40), (1600, 40, 1), (3, 41, 40)),
        ((3, 40, 40), (1600, 40, 1), (3, 0, 40)),
        ((0, 40, 40), (1600, 40, 1), (0, 40, 40)),
        ((3, 40, 40), (1600, 40, 1), (3, 40, 41)),
        ((3, 40, 40), (1600, 40, 1), (1, 40, 40)),
        ((4, 40, 40), (1, 160, 4), (4, 40, 40)),
        ((3, 40, 40), (1600, 40, -1), (3, 40, 40)),
        ((17, 40, 40), (1600, 40, 1), (17, 40, 40)),
    ],
)
def test_unsupported_layouts_are_left_to_numpy(size: Any, strides: Any, shape: Any) -> None:
    assert not streaming.Stream.fits(size, strides, shape)


def test_results_with_gaps_or_of_another_dtype_are_left_to_numpy() -> None:
    draws, image = Draws(), np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    expected = image.transpose(2, 0, 1)
    for dtype, step in ((np.float64, 1), (np.float32, 2)):
        out = np.empty((3, SIDE, SIDE * step), dtype)[:, :, ::step]
        work = Transformer(TransformationParameter(), Phase.TEST, CafxError, dtype)
        work.image(image, out, draws, 0)
        np.testing.assert_array_equal(out, expected)
        work.pixels(np.ascontiguousarray(expected), out, draws, 0)
        np.testing.assert_array_equal(out, expected)


def options(tmp_path: Any) -> list[dict[str, Any]]:
    """Combinations of the options of transform_param."""
    mean = np.random.default_rng(2).random((3, SIDE, SIDE), np.float32) * np.float32(255)
    write_binaryproto(tmp_path / "mean", mean[None])
    means: list[dict[str, Any]] = [
        {},
        {"mean_file": str(tmp_path / "mean")},
        {"mean_value": [104, 117, 123.5]},
        {"mean_value": [7]},
    ]
    return [
        {**each, "crop_size": crop, "mirror": mirror, "scale": scale}
        for each in means
        for crop in (0, CROP)
        for mirror in (False, True)
        for scale in (1, 1 / 256)
    ]


def results(work: Transformer, pixels: Any, draws: Draws) -> list[Any]:
    """Transformed images, given as decoded images and as raw pixels."""
    shape = work.shape(pixels.shape[1:])
    out = np.empty((2, len(pixels), *shape), np.float32)
    for index, each in enumerate(pixels):
        work.image(np.ascontiguousarray(each.transpose(1, 2, 0)), out[0, index], draws, index)
        work.pixels(np.frombuffer(each.tobytes(), np.uint8).reshape(each.shape), out[1, index], draws, index)
    return list(out)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_transformer_gives_the_same_results_with_and_without_the_pass_and_opencv(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, phase: Phase
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3, SIDE, SIDE), dtype=np.uint8)
    for each in options(tmp_path):
        outputs = []
        for absent, has_opencv in ((False, True), (True, True), (True, False)):
            with monkeypatch.context() as patch:
                if absent:
                    patch.setattr(transform, "streaming", lambda: None)
                if not has_opencv:
                    patch.setattr(transform, "has_opencv", lambda: False)
                    patch.setattr(transform, "cv2", None)
                work = Transformer(TransformationParameter(**each), phase, CafxError)
                outputs += results(work, pixels, work.draw(lambda: np.random.default_rng(3), len(pixels)))
                assert all((stream is None) == absent for stream in work._streams.values())
        for other in outputs[1:]:
            np.testing.assert_array_equal(outputs[0], other, str(each))


@pytest.mark.usefixtures("fresh")
def test_without_llvmlite_numpy_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("llvmlite", "cafx_lib_llvm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.delitem(sys.modules, "cafx_lib_pixels.streaming")
    monkeypatch.delattr("cafx_lib_pixels.streaming")
    assert transform.streaming() is None
    image = np.full((SIDE, SIDE, 3), 9, np.uint8)
    out = np.empty((3, SIDE, SIDE), np.float32)
    Transformer(TransformationParameter(scale=2), Phase.TEST, CafxError).image(image, out, Draws(), 0)
    assert (out == 2.0 * image[0, 0, 0]).all()


def test_threads_may_share_a_transformer() -> None:
    work = Transformer(TransformationParameter(mean_value=[3], scale=0.5), Phase.TEST, CafxError)

    def share(thread: int) -> None:
        rng = np.random.default_rng(thread)
        for turn in range(ROUNDS):
            side = SIDE + (thread + turn) % (2 * transform.MOST_LAYOUTS)
            image, out = rng.integers(0, 256, (side, side, 3), np.uint8), np.empty((3, side, side), np.float32)
            work.image(image, out, Draws(), 0)
            np.testing.assert_array_equal(out, (image.transpose(2, 0, 1) - np.float32(3)) * np.float32(0.5))

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(share, thread) for thread in range(THREADS)]:
            done.result()
    assert len(work._streams) <= transform.MOST_LAYOUTS


@pytest.mark.parametrize("channels", [1, 3])
def test_truncated_jpegs_are_decoded_or_refused_as_by_opencv(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    good = images.cv2().imencode(".jpg", image)[1].tobytes()
    work = Transformer(TransformationParameter(), Phase.TEST, CafxError)
    flag = {1: images.cv2().IMREAD_GRAYSCALE, 3: images.cv2().IMREAD_COLOR}[channels]
    for size in range(2, len(good), 97):
        expected = images.cv2().imdecode(np.frombuffer(good[:size], np.uint8), flag)
        if expected is None:
            with pytest.raises(CafxError, match="cannot be decoded"):
                images.decode(good[:size], channels, "it", work.decoded)
            continue
        decoded = images.decode(good[:size], channels, "it", work.decoded)
        out = np.empty((channels, SIDE, SIDE), np.float32)
        work.image(decoded, out, Draws(), 0)
        np.testing.assert_array_equal(out, decoded.transpose(2, 0, 1))
        np.testing.assert_array_equal(decoded.reshape(expected.shape), expected)
